"""Turn segments, frames and replies into messages, and requests into what perception takes."""

from __future__ import annotations

import array
from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point32
from numpy.typing import NDArray
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from rose_ros.errors import RequestError
from rose_ros.messages import (
    NANOSECONDS,
    MessageTypes,
    fill_array,
    fill_segments,
    mask_from_message,
)
from rose_ros.msg import FrameTiming, Label, Mask, Segment, SegmentArray
from rose_ros.perception import segments as perception
from rose_ros.srv import Find, Refine


def time_to_ns(stamp: Time) -> int:
    """Nanoseconds of a stamp."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def time_from_ns(stamp_ns: int) -> Time:
    """Stamp of nanoseconds."""
    sec, nanosec = divmod(stamp_ns, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def _runs(runs: NDArray[np.uint32]) -> array.array[int]:
    # Only an array.array is copied fast by rclpy; lists and numpy arrays go element by element.
    copied = array.array("I")
    copied.frombytes(runs.tobytes())
    return copied


_TYPES = MessageTypes(
    segment_array=SegmentArray,
    timing=FrameTiming,
    segment=Segment,
    label=Label,
    mask=Mask,
    region=RegionOfInterest,
    point=Point32,
    runs=_runs,
)


def segment_messages(segments: Iterable[perception.Segment]) -> list[Segment]:
    """Convert segments in the order given."""
    return fill_segments(_TYPES, segments)


def segment_array(
    frame: perception.SegmentedFrame,
    header: Header,
    *,
    model: str,
    session_id: int,
    frames_skipped: int,
    age: float,
    queue: float,
) -> SegmentArray:
    """Make the array of one frame; ``header`` is that of the image, times are seconds."""
    message: SegmentArray = fill_array(
        _TYPES,
        frame,
        header,
        model=model,
        session_id=session_id,
        frames_skipped=frames_skipped,
        age=age,
        queue=queue,
    )
    return message


def segment_from_message(message: Segment) -> perception.Segment:
    """Read one segment; its embedding is empty, it is not published."""
    return perception.Segment(
        id=int(message.id),
        label=perception.Label(message.label.text, message.label.score),
        alternatives=tuple(perception.Label(a.text, a.score) for a in message.alternatives),
        label_source=perception.LabelSource(message.label_source),
        revision=int(message.revision),
        score=message.score,
        mask_quality=message.mask_quality,
        mask=mask_from_message(message.mask),
        area=int(message.area),
        anchor=(message.anchor.x, message.anchor.y),
        truncated=message.truncated,
        embedding=np.zeros(0, np.float32),
    )


def frame_from_message(message: SegmentArray) -> perception.SegmentedFrame:
    """Read an array, as a subscriber does that wants masks."""
    timing = message.timing
    return perception.SegmentedFrame(
        camera=message.camera,
        stamp_ns=time_to_ns(message.header.stamp),
        sequence=int(message.sequence),
        height=int(message.height),
        width=int(message.width),
        segments=tuple(segment_from_message(segment) for segment in message.segments),
        timing=perception.Timing(timing.preprocess, timing.inference, timing.postprocess),
    )


def refine_request(request: Refine.Request) -> perception.RefineRequest:
    """Read a refine request; raise ``RequestError`` when a field is out of its range."""
    try:
        scope = perception.Scope(request.scope)
    except ValueError:
        allowed = ", ".join(f"{scope.name} = {scope.value}" for scope in perception.Scope)
        raise RequestError(f"scope is {request.scope}; choose one of {allowed}") from None
    return perception.RefineRequest(
        text=request.text,
        segment_ids=tuple(int(value) for value in request.segment_ids),
        camera=request.camera,
        stamp_ns=time_to_ns(request.stamp),
        session_id=int(request.session_id),
        scope=scope,
    )


def find_request(request: Find.Request) -> perception.FindRequest:
    """Read a find request."""
    return perception.FindRequest(
        text=request.text, camera=request.camera, stamp_ns=time_to_ns(request.stamp)
    )


def fill_refine_response(
    response: Refine.Response, reply: perception.RefineReply, frame_id: str, elapsed: float
) -> Refine.Response:
    """Write a reply into a response; ``elapsed`` is seconds since the request came."""
    response.status = int(reply.status)
    response.message = reply.message
    if reply.frame is not None:
        response.header = _header(reply.frame, frame_id)
        response.sequence = int(reply.frame.sequence)
    response.segments = segment_messages(reply.segments)
    response.removed_ids = array.array("I", (int(value) for value in reply.removed_ids))
    response.elapsed = elapsed
    return response


def fill_find_response(
    response: Find.Response, reply: perception.FindReply, frame_id: str
) -> Find.Response:
    """Write a reply into a response."""
    response.status = int(reply.status)
    response.message = reply.message
    if reply.frame is not None:
        response.header = _header(reply.frame, frame_id)
    response.segments = segment_messages(reply.segments)
    return response


def _header(frame: perception.SegmentedFrame, frame_id: str) -> Header:
    return Header(stamp=time_from_ns(frame.stamp_ns), frame_id=frame_id)
