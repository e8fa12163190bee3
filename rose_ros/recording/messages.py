"""The project's messages without ROS: made, written to CDR and read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from rose_ros.errors import RecordingError
from rose_ros.messages import NANOSECONDS, MessageTypes, fill_array, mask_from_message
from rose_ros.paths import message_definitions
from rose_ros.perception.segments import RunMask, SegmentedFrame

SEGMENT_ARRAY = "rose_ros/msg/SegmentArray"
#: Types of image topics.
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"


@dataclass(frozen=True, slots=True)
class Stamp:
    """The header of a message: nanoseconds and the name of the camera's frame."""

    ns: int
    frame_id: str


@cache
def typestore() -> Typestore:
    """Return the message types of ROS 2 Jazzy and this project's own.

    Raises ``RecordingError`` when the definitions of this project are nowhere to be found.
    """
    definitions = message_definitions()
    if not definitions:
        raise RecordingError(
            "the message definitions (SegmentArray.msg, ...) are missing; run from a checkout, "
            "install with pip, or source the workspace that rose_ros was built in"
        )
    store = get_typestore(Stores.ROS2_JAZZY)
    types: Any = {}
    for name, text in definitions.items():
        types.update(get_types_from_msg(text, f"rose_ros/msg/{name}"))
    store.register(types)
    return store


def stamp_of(message: Any) -> Stamp:
    """Read the header of any message that has one."""
    stamp = message.header.stamp
    return Stamp(stamp.sec * NANOSECONDS + stamp.nanosec, message.header.frame_id)


def write_array(
    frame: SegmentedFrame, stamp: Stamp, *, model: str, session_id: int
) -> bytes | memoryview:
    """Write a frame as CDR of rose_ros/msg/SegmentArray, with the header of its image.

    Nothing was published, so the age is unknown (NaN), and no frame waited or was skipped.
    """
    array = fill_array(
        _types(),
        frame,
        _header(stamp),
        model=model,
        session_id=session_id,
        frames_skipped=0,
        age=math.nan,
        queue=0.0,
    )
    return typestore().serialize_cdr(array, SEGMENT_ARRAY)


def read_array(data: bytes) -> Any:
    """Read a rose_ros/msg/SegmentArray from CDR; its fields are those of the message."""
    return typestore().deserialize_cdr(data, SEGMENT_ARRAY)


def mask_of(message: Any) -> RunMask:
    """Read the mask of a segment's message."""
    return mask_from_message(message.mask)


@cache
def _types() -> MessageTypes:
    types = typestore().types
    return MessageTypes(
        segment_array=types[SEGMENT_ARRAY],
        timing=types["rose_ros/msg/FrameTiming"],
        segment=types["rose_ros/msg/Segment"],
        label=types["rose_ros/msg/Label"],
        mask=types["rose_ros/msg/Mask"],
        region=types["sensor_msgs/msg/RegionOfInterest"],
        point=types["geometry_msgs/msg/Point32"],
        runs=lambda runs: runs,
    )


def _header(stamp: Stamp) -> Any:
    types = typestore().types
    sec, nanosec = divmod(stamp.ns, NANOSECONDS)
    time = types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return types["std_msgs/msg/Header"](stamp=time, frame_id=stamp.frame_id)
