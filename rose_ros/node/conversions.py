"""Turn segments, frames and replies into messages, and requests into what perception takes."""

from __future__ import annotations

import array
from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point32
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from rose_ros.errors import RequestError
from rose_ros.msg import FrameTiming, Label, Mask, Segment, SegmentArray
from rose_ros.perception import segments as perception
from rose_ros.srv import Find, Refine

_NANOSECONDS = 1_000_000_000


def time_to_ns(stamp: Time) -> int:
    """Nanoseconds of a stamp."""
    return int(stamp.sec) * _NANOSECONDS + int(stamp.nanosec)


def time_from_ns(stamp_ns: int) -> Time:
    """Stamp of nanoseconds."""
    sec, nanosec = divmod(stamp_ns, _NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def mask_message(mask: perception.RunMask) -> Mask:
    """Convert a mask."""
    roi = RegionOfInterest(
        x_offset=mask.x, y_offset=mask.y, width=mask.width, height=mask.height, do_rectify=False
    )
    # Only an array.array is copied fast by rclpy; lists and numpy arrays go element by element.
    runs = array.array("I")
    runs.frombytes(mask.runs.astype("uint32").tobytes())
    return Mask(roi=roi, runs=runs)


def label_message(label: perception.Label) -> Label:
    """Convert a label."""
    return Label(text=label.text, score=float(label.score))


def segment_message(segment: perception.Segment) -> Segment:
    """Convert one segment."""
    x, y = segment.anchor
    return Segment(
        id=int(segment.id),
        label=label_message(segment.label),
        alternatives=[label_message(label) for label in segment.alternatives],
        label_source=int(segment.label_source),
        revision=int(segment.revision),
        score=float(segment.score),
        mask_quality=float(segment.mask_quality),
        mask=mask_message(segment.mask),
        area=int(segment.area),
        anchor=Point32(x=float(x), y=float(y), z=0.0),
        truncated=bool(segment.truncated),
    )


def segment_messages(segments: Iterable[perception.Segment]) -> list[Segment]:
    """Convert segments in the order given."""
    return [segment_message(segment) for segment in segments]


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
    return SegmentArray(
        header=header,
        camera=frame.camera,
        height=frame.height,
        width=frame.width,
        model=model,
        session_id=session_id,
        sequence=frame.sequence,
        frames_skipped=frames_skipped,
        timing=FrameTiming(
            age=age,
            queue=queue,
            preprocess=frame.timing.preprocess,
            inference=frame.timing.inference,
            postprocess=frame.timing.postprocess,
        ),
        segments=segment_messages(frame.segments),
    )


def segment_from_message(message: Segment) -> perception.Segment:
    """Read one segment; its embedding is empty, it is not published."""
    roi = message.mask.roi
    runs = np.asarray(message.mask.runs, np.uint32)
    return perception.Segment(
        id=int(message.id),
        label=perception.Label(message.label.text, message.label.score),
        alternatives=tuple(perception.Label(a.text, a.score) for a in message.alternatives),
        label_source=perception.LabelSource(message.label_source),
        revision=int(message.revision),
        score=message.score,
        mask_quality=message.mask_quality,
        mask=perception.RunMask(roi.x_offset, roi.y_offset, roi.width, roi.height, runs),
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
