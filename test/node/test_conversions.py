"""Segments survive the way into a message, over the wire format, and back."""

from __future__ import annotations

import array

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from rose_ros.errors import RequestError
from rose_ros.msg import SegmentArray
from rose_ros.node import conversions
from rose_ros.perception.masks import decode_runs, encode_runs
from rose_ros.perception.segments import (
    FindReply,
    Label,
    LabelSource,
    RefineReply,
    Scope,
    Segment,
    SegmentedFrame,
    Status,
    Timing,
)
from rose_ros.srv import Find, Refine


def frame() -> tuple[SegmentedFrame, list[np.ndarray]]:
    masks = [np.zeros((40, 50), bool) for _ in range(2)]
    masks[0][0:20, 3:30] = True
    masks[1][25:39:2, 30:50] = True
    segments = tuple(
        Segment(
            id=3 + index,
            label=Label("café mug", 0.5),
            alternatives=(Label("cup", 0.25), Label("bowl", 0.125)),
            label_source=LabelSource.FROM_REFINEMENT,
            revision=2,
            score=0.75,
            mask_quality=0.5,
            mask=encode_runs(mask),
            area=int(mask.sum()),
            anchor=(10.0, 5.0),
            truncated=index == 0,
            embedding=np.ones(4, np.float32),
        )
        for index, mask in enumerate(masks)
    )
    timing = Timing(0.25, 0.5, 0.125)
    return SegmentedFrame("front", 12_000_000_034, 9, 40, 50, segments, timing), masks


def message() -> SegmentArray:
    header = Header(stamp=Time(sec=12, nanosec=34), frame_id="lens")
    return conversions.segment_array(
        frame()[0],
        header,
        model="rose-tiny",
        session_id=2**48,
        frames_skipped=7,
        age=0.5,
        queue=0.25,
    )


def test_a_frame_comes_back_from_the_wire() -> None:
    sent, masks = frame()
    received = deserialize_message(serialize_message(message()), SegmentArray)
    assert received == message()
    assert (received.session_id, received.frames_skipped) == (2**48, 7)
    back = conversions.frame_from_message(received)
    assert (back.camera, back.stamp_ns, back.sequence) == ("front", sent.stamp_ns, 9)
    assert back.timing == sent.timing
    for before, after, mask in zip(sent.segments, back.segments, masks, strict=True):
        np.testing.assert_array_equal(decode_runs(after.mask, 40, 50), mask)
        for name in ("id", "label", "alternatives", "label_source", "revision", "score"):
            assert getattr(after, name) == getattr(before, name)
        for name in ("mask_quality", "area", "anchor", "truncated"):
            assert getattr(after, name) == getattr(before, name)


def test_runs_are_an_array_that_rclpy_copies_fast() -> None:
    runs = message().segments[0].mask.runs
    assert isinstance(runs, array.array)
    assert runs.typecode == "I"


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 10**9, 1_795_362_216_123_456_789])
def test_stamps(stamp_ns: int) -> None:
    assert conversions.time_to_ns(conversions.time_from_ns(stamp_ns)) == stamp_ns


def test_a_refine_request() -> None:
    request = Refine.Request(text="no", camera="front", scope=2, session_id=5)
    request.segment_ids.extend([4, 9])
    request.stamp = Time(sec=1, nanosec=2)
    read = conversions.refine_request(request)
    assert (read.text, read.camera, read.segment_ids) == ("no", "front", (4, 9))
    assert (read.stamp_ns, read.session_id, read.scope) == (1_000_000_002, 5, Scope.SESSION)
    with pytest.raises(RequestError, match="scope is 9; choose one of FRAME = 0"):
        conversions.refine_request(Refine.Request(scope=9))


def test_constants_of_the_services_are_those_of_the_project() -> None:
    for status in Status:
        assert getattr(Refine.Response, status.name) == status.value
        assert getattr(Find.Response, status.name) == status.value
    for scope in Scope:
        assert getattr(Refine.Request, scope.name) == scope.value


def test_replies() -> None:
    sent, _ = frame()
    reply = RefineReply(Status.OK, "done", sent, sent.segments[:1], (8,))
    response = conversions.fill_refine_response(Refine.Response(), reply, "lens", 0.5)
    assert (response.status, response.message, response.sequence) == (0, "done", 9)
    assert response.header == message().header
    assert list(response.removed_ids) == [8]
    assert [segment.id for segment in response.segments] == [3]
    assert response.elapsed == 0.5
    empty = conversions.fill_find_response(
        Find.Response(), FindReply(Status.NO_TARGET, "nothing"), "lens"
    )
    assert (empty.status, list(empty.segments)) == (Status.NO_TARGET, [])
    assert empty.header == Header()
