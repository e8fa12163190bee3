"""Bytes from the network that claim to be an image: a message, or an ImageError."""

from __future__ import annotations

import array
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from rose_ros.errors import ImageError
from rose_ros.imaging import check_image
from rose_ros.node.inputs import Packet

KINDS = st.sampled_from([Image, CompressedImage])


def image() -> bytes:
    """Serialise a small image."""
    message = Image(height=2, width=2, step=6, encoding="rgb8", data=array.array("B", range(12)))
    message.header.frame_id = "lens"
    return bytes(serialize_message(message))


def opened(kind: type, data: bytes) -> bool:
    """Say whether bytes are a message; anything but an ImageError is a failure."""
    try:
        return isinstance(Packet(kind, data).open(), kind)
    except ImageError:
        return False


@given(KINDS, st.binary(max_size=120))
def test_noise(kind: type, data: bytes) -> None:
    opened(kind, data)


@given(st.data())
def test_a_damaged_image(data: st.DataObject) -> None:
    content = bytearray(image())
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    opened(data.draw(KINDS), bytes(content[: data.draw(st.integers(4, len(content)))]))


@pytest.mark.parametrize("length", [13, 2**16, 2**30, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_length_that_lies_allocates_nothing(length: int) -> None:
    content = image()
    start = content.index(struct.pack("<I", 12) + bytes(range(12)))
    lying = content[:start] + struct.pack("<I", length) + content[start + 4 :]
    assert opened(Image, content)
    assert not opened(Image, lying)


def test_text_that_is_no_utf8() -> None:
    content = image().replace(b"rgb8", b"\xff\xfe\xc3\x28")
    with pytest.raises(ImageError, match="not supported"):
        check_image(Packet(Image, content).open())
