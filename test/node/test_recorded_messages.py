"""What is written into recordings without ROS is what a node publishes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from rose_ros.msg import SegmentArray
from rose_ros.node.conversions import segment_array, time_from_ns
from rose_ros.perception.masks import encode_runs
from rose_ros.perception.segments import (
    Label,
    LabelSource,
    Segment,
    SegmentedFrame,
    Timing,
)
from rose_ros.recording.messages import Stamp, mask_of, read_array, stamp_of, write_array

STAMP_NS = 1_700_000_000_123_456_789


def frame(count: int) -> SegmentedFrame:
    """Make a frame of ``count`` segments with odd values."""
    rng = np.random.default_rng(count)
    segments = tuple(
        Segment(
            id=i,
            label=Label("rote Täße " * i, 0.25),
            alternatives=tuple(Label(f"other {k}", 0.125 * k) for k in range(i)),
            label_source=LabelSource.FROM_REFINEMENT,
            revision=i * 3,
            score=0.5,
            mask_quality=0.75,
            mask=encode_runs(rng.random((7 * i, 11)) < 0.5, (i, 2 * i)),
            area=17,
            anchor=(1.5, 2.5),
            truncated=bool(i % 2),
            embedding=np.zeros(0, np.float32),
        )
        for i in range(1, count + 1)
    )
    return SegmentedFrame("front", STAMP_NS, 9, 480, 640, segments, Timing(0.25, 0.5, 0.125))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_written_without_ros_and_by_ros_they_are_equal(count: int) -> None:
    made = write_array(frame(count), Stamp(STAMP_NS, "lens"), model="rose-tiny", session_id=2**40)
    header = Header(stamp=time_from_ns(STAMP_NS), frame_id="lens")
    expected = segment_array(
        frame(count),
        header,
        model="rose-tiny",
        session_id=2**40,
        frames_skipped=0,
        age=0.0,
        queue=0.0,
    )
    received = deserialize_message(bytes(made), SegmentArray)
    assert math.isnan(received.timing.age)
    received.timing.age = 0.0
    assert received == expected


def test_what_a_node_published_is_read_without_ros() -> None:
    known = frame(3)
    header = Header(stamp=time_from_ns(STAMP_NS), frame_id="lens")
    published = segment_array(
        known, header, model="m", session_id=7, frames_skipped=4, age=0.5, queue=0.25
    )
    array = read_array(serialize_message(published))
    assert stamp_of(array) == Stamp(STAMP_NS, "lens")
    assert (array.session_id, array.frames_skipped, array.sequence) == (7, 4, 9)
    for segment, original in zip(array.segments, known.segments, strict=True):
        mask = mask_of(segment)
        assert (mask.x, mask.y, mask.width, mask.height) == (
            original.mask.x,
            original.mask.y,
            original.mask.width,
            original.mask.height,
        )
        np.testing.assert_array_equal(mask.runs, original.mask.runs)
        assert segment.label.text == original.label.text
