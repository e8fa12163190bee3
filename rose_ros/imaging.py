"""Turn image messages into RGB arrays, without cv_bridge and without ROS.

The messages are those of sensor_msgs, made by rclpy or by anything else that reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ImageError

#: px: a larger image is refused before anything is allocated for it.
MAX_PIXELS = 50_000_000

#: A progressive JPEG has about ten; each costs a pass over the whole image, however few its bytes.
MAX_SCANS = 100

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_SCAN_MARKER = b"\xff\xda"
#: JPEG start-of-frame markers carry the size (ITU-T T.81, table B.1); C4, C8, CC are others.
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARKERS_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}


class Image(Protocol):
    """The fields of sensor_msgs/Image that matter here; ``data`` is a buffer of bytes."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


class CompressedImage(Protocol):
    """The fields of sensor_msgs/CompressedImage that matter here."""

    format: str
    data: Any


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How one encoding lies in memory and how it becomes RGB.

    half_rows: rows of ``step`` bytes for two rows of the image, more than 2 where planes of colour
    follow. even: the widths and heights that share their colour among pixels must be even.
    """

    channels: int
    bits: int
    to_rgb: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    even: tuple[str, ...] = ()
    half_rows: int = 2


def _identity(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image


def _convert(code: int) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    return partial(_cvt_color, code=code)


def _cvt_color(image: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _nv21_to_rgb(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert rows (1.5 height, width): brightness, then at half the size V and U in turns."""
    return _cvt_color(rows, cv2.COLOR_YUV2RGB_NV21)


def _nv24_to_rgb(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert rows (3 height, width): brightness, then for each pixel U and V.

    OpenCV has no code for it; written as YUYV, every pixel twice, it converts exactly.
    """
    height, width = rows.shape[0] // 3, rows.shape[1]
    twice = np.empty((height, width, 2, 2), np.uint8)
    twice[..., 0] = rows[:height, :, None]
    twice[..., 1] = rows[height:].reshape(height, width, 2)
    rgb = _cvt_color(twice.reshape(height, 2 * width, 2), cv2.COLOR_YUV2RGB_YUY2)
    return np.ascontiguousarray(rgb[:, ::2])


def _encodings() -> dict[str, _Encoding]:
    """List what can be read; the names are those of sensor_msgs/image_encodings.hpp."""
    table: dict[str, _Encoding] = {}
    bgr = _convert(cv2.COLOR_BGR2RGB)
    mono = _convert(cv2.COLOR_GRAY2RGB)
    for bits in (8, 16):
        table[f"rgb{bits}"] = _Encoding(3, bits, _identity)
        table[f"bgr{bits}"] = _Encoding(3, bits, bgr)
        table[f"rgba{bits}"] = _Encoding(4, bits, _convert(cv2.COLOR_RGBA2RGB))
        table[f"bgra{bits}"] = _Encoding(4, bits, _convert(cv2.COLOR_BGRA2RGB))
        table[f"mono{bits}"] = _Encoding(1, bits, mono)
        # Plain OpenCV types say nothing about the order of channels; OpenCV itself uses BGR.
        table[f"{bits}UC1"] = _Encoding(1, bits, mono)
        table[f"{bits}UC3"] = _Encoding(3, bits, bgr)
        table[f"{bits}UC4"] = _Encoding(4, bits, _convert(cv2.COLOR_BGRA2RGB))
        # OpenCV names a Bayer pattern after its second row, so rggb is its BG.
        for name, code in (
            ("rggb", cv2.COLOR_BayerBG2RGB),
            ("bggr", cv2.COLOR_BayerRG2RGB),
            ("gbrg", cv2.COLOR_BayerGR2RGB),
            ("grbg", cv2.COLOR_BayerGB2RGB),
        ):
            table[f"bayer_{name}{bits}"] = _Encoding(1, bits, _convert(code))
    for name in ("uyvy", "yuv422"):
        table[name] = _Encoding(2, 8, _convert(cv2.COLOR_YUV2RGB_UYVY), ("width",))
    for name in ("yuyv", "yuv422_yuy2"):
        table[name] = _Encoding(2, 8, _convert(cv2.COLOR_YUV2RGB_YUY2), ("width",))
    table["nv21"] = _Encoding(1, 8, _nv21_to_rgb, ("width", "height"), half_rows=3)
    table["nv24"] = _Encoding(1, 8, _nv24_to_rgb, half_rows=6)
    return table


_ENCODINGS = _encodings()

#: names of the encodings that ``image_to_rgb`` reads
SUPPORTED_ENCODINGS: tuple[str, ...] = tuple(_ENCODINGS)


def check_image(message: Image) -> None:
    """Check that an Image can be converted, at no cost; raise ``ImageError`` if not."""
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ImageError(
            f"encoding {message.encoding[:40]!r} is not supported; "
            f"send one of {', '.join(SUPPORTED_ENCODINGS)}"
        )
    _check_size(message.height, message.width)
    for side in encoding.even:
        if getattr(message, side) % 2:
            raise ImageError(
                f"{message.encoding} of {side} {getattr(message, side)}; it needs an even {side}, "
                "pixels share their colour"
            )
    row = _row_bytes(message.width, encoding)
    if message.step < row:
        raise ImageError(
            f"step is {message.step} bytes; {message.encoding} of width {message.width} needs "
            f"at least {row}"
        )
    needed = _stride(message, encoding) * message.height * encoding.half_rows // 2
    if len(message.data) != needed:
        raise ImageError(
            f"data holds {len(message.data)} bytes; {message.encoding} with step {message.step} x "
            f"height {message.height} needs {needed}"
        )


def image_to_rgb(message: Image) -> NDArray[np.uint8]:
    """Convert an Image to RGB (height, width, 3); a view of the message where that is possible.

    16-bit values keep their high byte. Raises ``ImageError`` with what was given and what is
    allowed.
    """
    check_image(message)
    encoding = _ENCODINGS[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(-1, _stride(message, encoding))
    if encoding.half_rows > 2:
        return encoding.to_rgb(_without_padding(rows, message.height, message.width))
    used = np.ascontiguousarray(rows[:, : _row_bytes(message.width, encoding)])
    if encoding.bits == 16:
        order = ">u2" if message.is_bigendian else "<u2"
        used = (used.view(order) >> 8).astype(np.uint8)
    shape: tuple[int, ...] = (message.height, message.width)
    if encoding.channels > 1:
        shape += (encoding.channels,)
    return encoding.to_rgb(used.reshape(shape))


def check_compressed(message: CompressedImage) -> None:
    """Check format, size and completeness of a CompressedImage without decoding it.

    Raises ``ImageError``.
    """
    data = bytes(message.data)
    if "compressedDepth" in message.format:
        raise ImageError(
            f"format {message.format[:60]!r} carries depth; send jpeg or png colour images"
        )
    if data.startswith(_PNG_SIGNATURE):
        size = _png_size(data)
    elif data.startswith(_JPEG_SIGNATURE):
        size = _jpeg_size(data)
        if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise ImageError(f"jpeg of {len(data)} bytes has no end marker; it was cut off")
        scans = data.count(_JPEG_SCAN_MARKER)
        if scans > MAX_SCANS:
            raise ImageError(f"jpeg of {scans} scans; at most {MAX_SCANS} are allowed")
    else:
        raise ImageError(
            f"format {message.format[:60]!r} with {len(data)} bytes is neither jpeg nor png; "
            "send one of these (image_transport republish converts others)"
        )
    if size is None:
        raise ImageError(f"image of {len(data)} bytes has no readable header; send jpeg or png")
    _check_size(*size)


def compressed_to_rgb(message: CompressedImage) -> NDArray[np.uint8]:
    """Decode a jpeg or png CompressedImage to RGB (height, width, 3). Raises ``ImageError``."""
    check_compressed(message)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(message.data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"image of {len(message.data)} bytes does not decode: {error}") from error
    if image is None:
        raise ImageError(
            f"image of {len(message.data)} bytes does not decode; send a complete jpeg or png"
        )
    return _cvt_color(np.asarray(image, np.uint8), cv2.COLOR_BGR2RGB)


def _row_bytes(width: int, encoding: _Encoding) -> int:
    return width * encoding.channels * encoding.bits // 8


def _stride(message: Image, encoding: _Encoding) -> int:
    """Return the bytes from one row of the first plane to the next.

    Some drivers give as step what all planes together hold per row of the image.
    """
    together = message.width * encoding.half_rows // 2
    is_together = encoding.half_rows > 2 and message.step == together
    if is_together and len(message.data) == together * message.height:
        return message.width
    return message.step


def _without_padding(rows: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return the used bytes of planes in rows (n, stride) as (n, width)."""
    stride = rows.shape[1]
    if stride == width:
        return rows
    count = len(rows) - height
    # Rows of the second plane are as long as its share of the data: stride, or twice that.
    length = stride * max(1, count // height)
    second = rows[height:].reshape(-1, length)[:, : length // stride * width]
    return np.concatenate([rows[:height, :width], second.reshape(-1, width)])


def _check_size(height: int, width: int) -> None:
    if height <= 0 or width <= 0:
        raise ImageError(f"image is {width} x {height} pixels; both must be above zero")
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"image is {width} x {height} pixels; at most {MAX_PIXELS} pixels are allowed"
        )


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Read (height, width) from the IHDR chunk, which must come first."""
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Read (height, width) from the first start-of-frame marker."""
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _JPEG_MARKERS_WITHOUT_LENGTH:
            position += 2
        elif marker in _JPEG_FRAME_MARKERS:
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            return height, int.from_bytes(data[position + 7 : position + 9], "big")
        else:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            if length < 2:
                return None
            position += 2 + length
    return None
