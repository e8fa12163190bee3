"""Image messages in and out: what ``rose_ros.imaging`` reads, and the messages that are sent."""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from rose_ros.errors import ImageError
from rose_ros.imaging import (
    MAX_PIXELS,
    SUPPORTED_ENCODINGS,
    check_compressed,
    check_image,
    compressed_to_rgb,
    image_to_rgb,
)

__all__ = [
    "MAX_PIXELS",
    "SUPPORTED_ENCODINGS",
    "array_to_image",
    "check_compressed",
    "check_image",
    "compressed_to_rgb",
    "image_to_rgb",
]


def array_to_image(values: NDArray[np.uint8] | NDArray[np.uint16], header: Header) -> Image:
    """Make an Image of rgb8 (height, width, 3) uint8 or 16UC1 (height, width) uint16."""
    colour = values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] == 3
    if not colour and not (values.dtype == np.uint16 and values.ndim == 2):
        raise ImageError(
            f"array of {values.dtype} {values.shape} has no image encoding here; "
            "give uint8 (height, width, 3) or uint16 (height, width)"
        )
    message = Image(header=header, height=values.shape[0], width=values.shape[1])
    message.encoding = "rgb8" if colour else "16UC1"
    message.step = values.shape[1] * (3 if colour else 2)
    data = array.array("B")
    ordered = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    data.frombytes(ordered.reshape(-1).view(np.uint8).data)
    message.data = data
    return message
