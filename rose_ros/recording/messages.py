"""The project's messages without ROS: made, written to CDR and read from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from rose_ros.errors import RecordingError
from rose_ros.paths import message_definitions
from rose_ros.perception.segments import Label, RunMask, Segment, SegmentedFrame

SEGMENT_ARRAY = "rose_ros/msg/SegmentArray"
#: Types of image topics.
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

_NANOSECONDS = 1_000_000_000


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
    return Stamp(stamp.sec * _NANOSECONDS + stamp.nanosec, message.header.frame_id)


def write_array(
    frame: SegmentedFrame, stamp: Stamp, *, model: str, session_id: int
) -> bytes | memoryview:
    """Write a frame as CDR of rose_ros/msg/SegmentArray, with the header of its image.

    Nothing was published, so the age is unknown (NaN), and no frame waited or was skipped.
    """
    timing = frame.timing
    array = _make(
        "SegmentArray",
        header=_header(stamp),
        camera=frame.camera,
        height=frame.height,
        width=frame.width,
        model=model,
        session_id=session_id,
        sequence=frame.sequence,
        frames_skipped=0,
        timing=_make(
            "FrameTiming",
            age=math.nan,
            queue=0.0,
            preprocess=timing.preprocess,
            inference=timing.inference,
            postprocess=timing.postprocess,
        ),
        segments=[_segment(segment) for segment in frame.segments],
    )
    return typestore().serialize_cdr(array, SEGMENT_ARRAY)


def read_array(data: bytes) -> Any:
    """Read a rose_ros/msg/SegmentArray from CDR; its fields are those of the message."""
    return typestore().deserialize_cdr(data, SEGMENT_ARRAY)


def mask_of(message: Any) -> RunMask:
    """Read the mask of a segment's message."""
    roi = message.mask.roi
    runs = np.asarray(message.mask.runs, np.uint32)
    return RunMask(roi.x_offset, roi.y_offset, roi.width, roi.height, runs)


def _segment(segment: Segment) -> Any:
    x, y = segment.anchor
    return _make(
        "Segment",
        id=int(segment.id),
        label=_label(segment.label),
        alternatives=_labels(segment.alternatives),
        label_source=int(segment.label_source),
        revision=int(segment.revision),
        score=float(segment.score),
        mask_quality=float(segment.mask_quality),
        mask=_mask(segment.mask),
        area=int(segment.area),
        anchor=_type("geometry_msgs/msg/Point32")(x=float(x), y=float(y), z=0.0),
        truncated=bool(segment.truncated),
    )


def _labels(labels: Iterable[Label]) -> list[Any]:
    return [_label(label) for label in labels]


def _label(label: Label) -> Any:
    return _make("Label", text=label.text, score=float(label.score))


def _mask(mask: RunMask) -> Any:
    roi = _type("sensor_msgs/msg/RegionOfInterest")(
        x_offset=mask.x, y_offset=mask.y, height=mask.height, width=mask.width, do_rectify=False
    )
    return _make("Mask", roi=roi, runs=mask.runs.astype(np.uint32))


def _header(stamp: Stamp) -> Any:
    sec, nanosec = divmod(stamp.ns, _NANOSECONDS)
    time = _type("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    return _type("std_msgs/msg/Header")(stamp=time, frame_id=stamp.frame_id)


def _make(name: str, **fields: Any) -> Any:
    return _type(f"rose_ros/msg/{name}")(**fields)


def _type(name: str) -> Any:
    return typestore().types[name]
