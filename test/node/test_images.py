"""Image messages become the RGB arrays that OpenCV makes of them, or are refused with a reason."""

from __future__ import annotations

import array
import sys

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from rose_ros.errors import ImageError
from rose_ros.node.images import (
    MAX_PIXELS,
    SUPPORTED_ENCODINGS,
    array_to_image,
    check_image,
    compressed_to_rgb,
    image_to_rgb,
)

HEIGHT, WIDTH = 18, 22


def picture() -> np.ndarray:
    """Make a smooth RGB picture in which every channel and direction differs."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = (x * 255 // WIDTH, y * 255 // HEIGHT, (x + 2 * y) * 255 // (WIDTH + 2 * HEIGHT))
    return np.stack(planes, axis=-1).astype(np.uint8)


def message(
    values: np.ndarray, encoding: str, *, padding: int = 0, bigendian: bool = False
) -> Image:
    """Make an Image of an array, with ``padding`` bytes after each row."""
    if values.dtype == np.uint16:
        values = values.astype(">u2" if bigendian else "<u2")
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(values.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    image = Image(height=values.shape[0], width=values.shape[1], encoding=encoding)
    image.step = rows.shape[1]
    image.is_bigendian = int(bigendian)
    image.data = array.array("B", rows.tobytes())
    return image


def encoded(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """Encode an RGB picture with OpenCV, the way a camera driver would."""
    base = encoding.rstrip("0123456789")
    if base in ("rgb", "rgba", "bgr", "bgra", "mono"):
        codes = {
            "rgb": None,
            "rgba": cv2.COLOR_RGB2RGBA,
            "bgr": cv2.COLOR_RGB2BGR,
            "bgra": cv2.COLOR_RGB2BGRA,
            "mono": cv2.COLOR_RGB2GRAY,
        }
        code = codes[base]
        values = rgb if code is None else cv2.cvtColor(rgb, code)
        return values.astype(np.uint16) * 257 if encoding.endswith("16") else values
    if base.endswith("UC"):
        code = {"1": cv2.COLOR_RGB2GRAY, "3": cv2.COLOR_RGB2BGR, "4": cv2.COLOR_RGB2BGRA}
        values = cv2.cvtColor(rgb, code[encoding[-1]])
        return values.astype(np.uint16) * 257 if encoding.startswith("16") else values
    raise AssertionError(encoding)


PLAIN = [name for name in SUPPORTED_ENCODINGS if not name.startswith(("bayer", "yu", "uy", "nv"))]


@pytest.mark.parametrize("encoding", PLAIN)
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("bigendian", [False, True])
def test_plain_encodings(encoding: str, padding: int, bigendian: bool) -> None:
    rgb = picture()
    values = encoded(rgb, encoding)
    result = image_to_rgb(message(values, encoding, padding=padding, bigendian=bigendian))
    grey = values.ndim == 2
    expected = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    np.testing.assert_array_equal(result, expected if grey else rgb)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous


#: OpenCV names a pattern after its second row.
BAYER_CODES = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
#: where red, green and green, and blue are in the first two rows and columns
PATTERNS = {
    "rggb": ("R", "G", "G", "B"),
    "bggr": ("B", "G", "G", "R"),
    "gbrg": ("G", "B", "R", "G"),
    "grbg": ("G", "R", "B", "G"),
}


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """See an RGB picture through a colour filter."""
    raw = np.zeros(rgb.shape[:2], np.uint8)
    for index, letter in enumerate(PATTERNS[pattern]):
        row, column = divmod(index, 2)
        raw[row::2, column::2] = rgb[row::2, column::2, "RGB".index(letter)]
    return raw


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_bayer(pattern: str, bits: int, bigendian: bool, padding: int) -> None:
    """The result is OpenCV's, and OpenCV's is near the picture that was filtered."""
    raw = mosaic(picture(), pattern)
    values = raw.astype(np.uint16) * 257 if bits == 16 else raw
    image = message(values, f"bayer_{pattern}{bits}", padding=padding, bigendian=bigendian)
    result = image_to_rgb(image)
    np.testing.assert_array_equal(result, cv2.cvtColor(raw, BAYER_CODES[pattern]))
    difference = np.abs(result.astype(int) - picture())[2:-2, 2:-2]
    assert difference.mean() < 3


def planes(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Y, U, V (height, width) in the studio range of ITU-R BT.601, as cameras send them."""
    y, v, u = np.moveaxis(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(float), -1, 0)
    scaled = (16 + y * 219 / 255, 128 + (u - 128) * 224 / 255, 128 + (v - 128) * 224 / 255)
    return tuple(np.round(plane).astype(np.uint8) for plane in scaled)  # type: ignore[return-value]


YUV422_CODES = {
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
}


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", YUV422_CODES)
def test_yuv422(encoding: str, padding: int) -> None:
    y, u, v = planes(picture())
    colour = np.where(np.arange(WIDTH) % 2 == 0, u, v)
    order = (colour, y) if encoding in ("uyvy", "yuv422") else (y, colour)
    values = np.stack(order, axis=-1)
    result = image_to_rgb(message(values, encoding, padding=padding))
    np.testing.assert_array_equal(result, cv2.cvtColor(values, YUV422_CODES[encoding]))
    assert np.abs(result.astype(int) - picture()).mean() < 6


def semi_planar(encoding: str, luma: np.ndarray, colour: np.ndarray, *, padding: int = 0) -> Image:
    """Make an Image of a plane of brightness and one of colour, rows padded in proportion."""
    times = colour.shape[1] // luma.shape[1]
    first = np.pad(luma, ((0, 0), (0, padding)), constant_values=0xAB)
    second = np.pad(colour, ((0, 0), (0, times * padding)), constant_values=0xAB)
    image = Image(height=luma.shape[0], width=luma.shape[1], encoding=encoding)
    image.step = first.shape[1]
    image.data = array.array("B", first.tobytes() + second.tobytes())
    return image


def nv21() -> tuple[np.ndarray, np.ndarray]:
    y, u, v = planes(picture())
    colour = np.stack([v[::2, ::2], u[::2, ::2]], axis=-1)
    return y, colour.reshape(HEIGHT // 2, WIDTH)


def nv24() -> tuple[np.ndarray, np.ndarray]:
    y, u, v = planes(picture())
    return y, np.stack([u, v], axis=-1).reshape(HEIGHT, 2 * WIDTH)


@pytest.mark.parametrize("padding", [0, 10])
def test_nv21(padding: int) -> None:
    luma, colour = nv21()
    result = image_to_rgb(semi_planar("nv21", luma, colour, padding=padding))
    expected = cv2.cvtColor(np.concatenate([luma, colour]), cv2.COLOR_YUV2RGB_NV21)
    np.testing.assert_array_equal(result, expected)
    assert np.abs(result.astype(int) - picture()).mean() < 6


@pytest.mark.parametrize("padding", [0, 10])
def test_nv24(padding: int) -> None:
    """OpenCV knows no nv24; with the colours of nv21 in every pixel it must say the same."""
    luma, colour = nv24()
    result = image_to_rgb(semi_planar("nv24", luma, colour, padding=padding))
    assert np.abs(result.astype(int) - picture()).mean() < 3
    quarter = nv21()[1].reshape(HEIGHT // 2, WIDTH // 2, 2)[..., ::-1]
    repeated = quarter.repeat(2, axis=0).repeat(2, axis=1).reshape(HEIGHT, 2 * WIDTH)
    coarse = image_to_rgb(semi_planar("nv24", luma, repeated, padding=padding))
    expected = cv2.cvtColor(np.concatenate([luma, nv21()[1]]), cv2.COLOR_YUV2RGB_NV21)
    np.testing.assert_allclose(coarse.astype(int), expected, atol=1)


@pytest.mark.parametrize(("encoding", "parts"), [("nv21", nv21()), ("nv24", nv24())])
def test_step_over_all_planes(encoding: str, parts: tuple[np.ndarray, np.ndarray]) -> None:
    """Some drivers give as step what all planes hold per row of the image."""
    image = semi_planar(encoding, *parts)
    expected = image_to_rgb(image)
    image.step = len(image.data) // image.height
    np.testing.assert_array_equal(image_to_rgb(image), expected)


def test_every_encoding_is_covered() -> None:
    tested = {*PLAIN, *YUV422_CODES, "nv21", "nv24"}
    tested |= {f"bayer_{pattern}{bits}" for pattern in PATTERNS for bits in (8, 16)}
    assert tested == set(SUPPORTED_ENCODINGS)


def test_rgb8_is_not_copied() -> None:
    image = message(picture(), "rgb8")
    assert np.shares_memory(image_to_rgb(image), np.frombuffer(image.data, np.uint8))


def broken(**changes: object) -> Image:
    image = message(picture(), "rgb8")
    for name, value in changes.items():
        setattr(image, name, value)
    return image


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (broken(step=10), "step is 10 bytes.*at least 66"),
        (broken(step=0), "step is 0 bytes"),
        (broken(data=array.array("B", b"abc")), "data holds 3 bytes.*needs 1188"),
        (broken(data=array.array("B")), "data holds 0 bytes"),
        (broken(data=array.array("B", bytes(5000))), "data holds 5000 bytes"),
        (broken(width=0), "0 x 18 pixels"),
        (broken(height=0), "22 x 0 pixels"),
        (broken(height=2**31, width=2**31, step=2**32 - 1), f"at most {MAX_PIXELS}"),
        (broken(encoding="32FC1"), "'32FC1' is not supported; send one of rgb8"),
        (broken(encoding=""), "'' is not supported"),
        (broken(encoding="yuyv", width=21), "even width"),
        (broken(encoding="nv21", width=21), "even width"),
        (broken(encoding="nv21", height=17), "even height"),
        (broken(encoding="nv21"), "data holds 1188 bytes; nv21 with step 66 x height 18 needs 178"),
        (broken(encoding="nv24", step=23), "data holds 1188 bytes.*needs 1242"),
        (broken(encoding="bayer_rggb16", step=43), "step is 43 bytes.*at least 44"),
    ],
)
def test_broken_images_are_refused(image: Image, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        check_image(image)
    with pytest.raises(ImageError, match=reason):
        image_to_rgb(image)


def compressed(data: bytes, name: str = "jpeg") -> CompressedImage:
    return CompressedImage(format=f"rgb8; {name} compressed bgr8", data=array.array("B", data))


def encode(extension: str) -> bytes:
    """Compress the picture the way image_transport does: in OpenCV's order of channels."""
    done, data = cv2.imencode(extension, cv2.cvtColor(picture(), cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


def test_png_is_exact() -> None:
    np.testing.assert_array_equal(compressed_to_rgb(compressed(encode(".png"), "png")), picture())


def test_jpeg_is_close() -> None:
    difference = compressed_to_rgb(compressed(encode(".jpg"))).astype(int) - picture()
    assert np.abs(difference).mean() < 6


def test_jpeg_with_padding_behind_the_end() -> None:
    assert compressed_to_rgb(compressed(encode(".jpg") + bytes(7))).shape == (HEIGHT, WIDTH, 3)


def png_header(height: int, width: int) -> bytes:
    data = bytearray(encode(".png"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)


def jpeg_header(height: int, width: int) -> bytes:
    data = bytearray(encode(".jpg"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (compressed(b""), "0 bytes is neither jpeg nor png"),
        (compressed(b"GIF89a" + bytes(50)), "neither jpeg nor png"),
        (compressed(encode(".jpg")[:-40]), "cut off"),
        (compressed(encode(".png")[:-40], "png"), "does not decode|end"),
        (compressed(encode(".png")[:20], "png"), "no readable header"),
        (compressed(b"\xff\xd8\xff\xe0\x00\x00" + bytes(20) + b"\xff\xd9"), "no readable header"),
        (compressed(png_header(60000, 60000), "png"), "60000 x 60000 pixels; at most"),
        (compressed(jpeg_header(65000, 65000)), "65000 x 65000 pixels; at most"),
        (compressed(png_header(0, 5), "png"), "5 x 0 pixels"),
        (CompressedImage(format="16UC1; compressedDepth png"), "carries depth"),
    ],
)
def test_broken_compressed_images_are_refused(message: CompressedImage, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        compressed_to_rgb(message)


def test_arrays_become_images() -> None:
    header = Header(frame_id="lens")
    rgb = array_to_image(picture(), header)
    assert (rgb.encoding, rgb.height, rgb.width, rgb.step) == ("rgb8", HEIGHT, WIDTH, WIDTH * 3)
    assert rgb.header is header
    np.testing.assert_array_equal(image_to_rgb(rgb), picture())
    ids = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)
    image = array_to_image(ids, header)
    assert (image.encoding, image.step, image.is_bigendian) == ("16UC1", WIDTH * 2, 0)
    np.testing.assert_array_equal(np.frombuffer(image.data, "<u2").reshape(ids.shape), ids)
    assert sys.getsizeof(image.data) >= ids.nbytes
    with pytest.raises(ImageError, match="float64"):
        array_to_image(np.zeros((3, 3)), header)  # type: ignore[arg-type]
