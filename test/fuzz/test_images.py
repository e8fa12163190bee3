"""No image message, whatever is in it, does anything but give an image or an ImageError."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rose_ros import imaging
from rose_ros.errors import ImageError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
NUMBERS = st.one_of(
    st.integers(0, 40), st.sampled_from([2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]), st.just(4)
)


@dataclass
class Raw:
    """An Image message."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: bytes


@dataclass
class Compressed:
    """A CompressedImage message."""

    data: bytes
    format: str = field(default="jpeg")


@given(
    NUMBERS,
    NUMBERS,
    st.one_of(st.sampled_from(imaging.SUPPORTED_ENCODINGS), st.text(max_size=20)),
    st.integers(0, 255),
    NUMBERS,
    st.binary(max_size=400),
)
@example(2**32 - 1, 2**32 - 1, "rgb8", 0, 2**32 - 1, b"")
@example(4, 4, "rgb8", 0, 12, bytes(48))
def test_a_raw_image_is_converted_or_refused(
    height: int, width: int, encoding: str, bigendian: int, step: int, data: bytes
) -> None:
    message = Raw(height, width, encoding, bigendian, step, data)
    try:
        image = imaging.image_to_rgb(message)
    except ImageError:
        return
    assert (image.dtype, image.shape) == (np.uint8, (height, width, 3))


@given(st.sampled_from(imaging.SUPPORTED_ENCODINGS), st.data())
def test_a_well_formed_image_is_converted(encoding: str, data: st.DataObject) -> None:
    height, width = (2 * data.draw(st.integers(1, 8)) for _ in range(2))
    known = imaging._ENCODINGS[encoding]
    step = width * known.channels * known.bits // 8 + data.draw(st.integers(0, 9))
    for rows in (height, height * 3 // 2, height * 3):
        message = Raw(height, width, encoding, 0, step, bytes(rows * step))
        try:
            assert imaging.image_to_rgb(message).shape == (height, width, 3)
            return
        except ImageError:
            continue
    raise AssertionError(f"{encoding} is refused")


def picture(kind: str, height: int = 24, width: int = 32) -> bytes:
    """Encode a picture."""
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(kind, image)[1])


@given(st.sampled_from([".jpg", ".png"]), st.data())
def test_a_damaged_file_is_decoded_or_refused(kind: str, data: st.DataObject) -> None:
    content = bytearray(picture(kind))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        image = imaging.compressed_to_rgb(Compressed(bytes(content)))
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.size <= 3 * imaging.MAX_PIXELS


@given(st.binary(max_size=300), st.sampled_from([b"", PNG_SIGNATURE, b"\xff\xd8\xff"]))
def test_noise_is_refused(noise: bytes, signature: bytes) -> None:
    with pytest.raises(ImageError):
        imaging.compressed_to_rgb(Compressed(signature + noise))


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Make a chunk with its checksum."""
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_bomb(width: int, height: int) -> bytes:
    """Make a small file that says it is a large image of one colour."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min((width // 8 + 1) * height, 100_000)))
    chunks = png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND", b"")
    return PNG_SIGNATURE + b"".join(chunks)


def jpeg_bomb(width: int, height: int, scans: int = 0) -> bytes:
    """Change what a small file says of its size, and repeat its last scan."""
    content = bytearray(picture(".jpg"))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", height, width)
    scan = content[content.index(b"\xff\xda") : -2]
    return bytes(content[:-2] + scan * scans + content[-2:])


@pytest.mark.parametrize(
    "bomb",
    [
        png_bomb(2**31 - 1, 2**31 - 1),
        png_bomb(50_000, 50_000),
        png_bomb(7072, 7072),
        jpeg_bomb(65_535, 65_535),
        jpeg_bomb(7072, 7072),
        jpeg_bomb(32, 24, scans=2000),
    ],
    ids=["png huge", "png large", "png just above", "jpeg huge", "jpeg just above", "jpeg scans"],
)
def test_bombs_are_refused_before_anything_is_decoded(
    bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: Any) -> None:
        raise AssertionError("the file was decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    for check in (imaging.check_compressed, imaging.compressed_to_rgb):
        with pytest.raises(ImageError, match=r"at most|scans"):
            check(Compressed(bomb))


@given(st.integers(1, 70_000), st.integers(1, 70_000))
def test_the_limit_is_exact(width: int, height: int) -> None:
    message = Compressed(png_bomb(width, height))
    if width * height > imaging.MAX_PIXELS:
        with pytest.raises(ImageError, match="at most"):
            imaging.check_compressed(message)
    else:
        imaging.check_compressed(message)
