"""Fill the project's messages. Their classes are given: rclpy's in a node, others without ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.segments import Label, RunMask, Segment, SegmentedFrame

NANOSECONDS = 1_000_000_000

#: Makes a message from its fields, all of which are given by keyword.
MessageClass = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class MessageTypes:
    """The message classes of one library.

    runs: turns uint32 run lengths into what the library copies fast.
    """

    segment_array: MessageClass
    timing: MessageClass
    segment: MessageClass
    label: MessageClass
    mask: MessageClass
    region: MessageClass
    point: MessageClass
    runs: Callable[[NDArray[np.uint32]], Any]


def fill_array(
    types: MessageTypes,
    frame: SegmentedFrame,
    header: Any,
    *,
    model: str,
    session_id: int,
    frames_skipped: int,
    age: float,
    queue: float,
) -> Any:
    """Make the array of one frame; ``header`` is that of the image, times are seconds."""
    return types.segment_array(
        header=header,
        camera=frame.camera,
        height=frame.height,
        width=frame.width,
        model=model,
        session_id=session_id,
        sequence=frame.sequence,
        frames_skipped=frames_skipped,
        timing=types.timing(
            age=age,
            queue=queue,
            preprocess=frame.timing.preprocess,
            inference=frame.timing.inference,
            postprocess=frame.timing.postprocess,
        ),
        segments=fill_segments(types, frame.segments),
    )


def fill_segments(types: MessageTypes, segments: Iterable[Segment]) -> list[Any]:
    """Make the messages of segments, in the order given."""
    return [_segment(types, segment) for segment in segments]


def _segment(types: MessageTypes, segment: Segment) -> Any:
    x, y = segment.anchor
    return types.segment(
        id=int(segment.id),
        label=_label(types, segment.label),
        alternatives=[_label(types, label) for label in segment.alternatives],
        label_source=int(segment.label_source),
        revision=int(segment.revision),
        score=float(segment.score),
        mask_quality=float(segment.mask_quality),
        mask=_mask(types, segment.mask),
        area=int(segment.area),
        anchor=types.point(x=float(x), y=float(y), z=0.0),
        truncated=bool(segment.truncated),
    )


def _label(types: MessageTypes, label: Label) -> Any:
    return types.label(text=label.text, score=float(label.score))


def _mask(types: MessageTypes, mask: RunMask) -> Any:
    region = types.region(
        x_offset=mask.x, y_offset=mask.y, width=mask.width, height=mask.height, do_rectify=False
    )
    return types.mask(roi=region, runs=types.runs(np.asarray(mask.runs, np.uint32)))


def mask_from_message(message: Any) -> RunMask:
    """Read the rose_ros/Mask of either library."""
    roi = message.roi
    runs = np.asarray(message.runs, np.uint32)
    return RunMask(roi.x_offset, roi.y_offset, roi.width, roi.height, runs)
