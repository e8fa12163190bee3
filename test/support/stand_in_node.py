"""Stand-ins for a node and its depth, and frames of rectangles, for tests without DDS."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from rose_ros.node.depth import Depth
from rose_ros.node.pipeline import ProcessedFrame
from rose_ros.node.settings import CameraSettings, Settings
from rose_ros.perception.geometry import Intrinsics
from rose_ros.perception.masks import measure
from rose_ros.perception.segments import Label, LabelSource, Segment, SegmentedFrame
from rose_ros.perception.session import SessionOptions


def rectangle(
    number: int, name: str, box: tuple[int, int, int, int], image: tuple[int, int]
) -> Segment:
    """Make a segment: box (x, y, width, height) in an image of (height, width)."""
    x, y, width, height = box
    shape = measure(np.ones((height, width), bool), (x, y), *image)
    assert shape is not None
    return Segment(
        id=number,
        label=Label(name, 0.75),
        alternatives=(Label("cup", 0.125),),
        label_source=LabelSource.FROM_MODEL,
        revision=0,
        score=0.5,
        mask_quality=0.8,
        mask=shape.mask,
        area=shape.area,
        anchor=shape.anchor,
        truncated=shape.truncated,
        embedding=np.zeros(4, np.float32),
    )


def process(frame: SegmentedFrame, header: Header) -> ProcessedFrame:
    """Make what a pipeline gives for a black image with these segments."""
    return ProcessedFrame(
        result=frame,
        image=np.zeros((frame.height, frame.width, 3), np.uint8),
        encoding="rgb8",
        header=header,
        model="fake",
        session_id=77,
        frames_skipped=0,
        queue=0.0,
        clock_jumped=False,
    )


class Recorder:
    """A publisher that keeps what it is given, with a number of subscribers."""

    def __init__(self) -> None:
        self.subscribers = 0
        self.sent: list[Any] = []

    def get_subscription_count(self) -> int:
        return self.subscribers

    def publish(self, message: Any) -> None:
        self.sent.append(message)


class NodeStub:
    """As much of a node as outputs need."""

    def __init__(self) -> None:
        self.publishers: dict[str, Recorder] = {}
        self.log: list[str] = []

    def create_lifecycle_publisher(self, kind: Any, topic: str, qos: Any) -> Recorder:
        return self.publishers.setdefault(topic, Recorder())

    def destroy_lifecycle_publisher(self, publisher: Recorder) -> None:
        self.publishers = {
            topic: one for topic, one in self.publishers.items() if one is not publisher
        }

    def resolve_topic_name(self, topic: str) -> str:
        return f"/rose/{topic}"

    def get_logger(self) -> NodeStub:
        return self

    def info(self, text: str) -> None:
        self.log.append(text)

    warning = debug = info


class DepthStub:
    """Depth of every image; counts how often it was asked for."""

    def __init__(self, metres: np.ndarray, camera: Intrinsics) -> None:
        self.metres = metres
        self.camera = camera
        self.taken = 0
        self.warned: list[str] = []
        self.error: Exception | None = None

    def open(self, settings: Settings) -> None:
        """There is nothing to subscribe to."""

    def take(self, camera: str, size: tuple[int, int], settings: Any) -> Depth:
        self.taken += 1
        if self.error is not None:
            raise self.error
        return Depth(self.metres, self.camera, Time(sec=7))

    def warn(self, camera: str, error: Exception) -> None:
        self.warned.append(f"{camera}: {error}")


def make_settings(**changes: Any) -> Settings:
    """Settings of one camera, "front", with depth."""
    camera = CameraSettings("front", "/front/image", "raw", "auto", 0.0, depth_topic="/front/depth")
    values = dict.fromkeys(Settings.__dataclass_fields__)
    values.update(cameras=(camera,), vision_msgs=False, options=SessionOptions(), **changes)
    return Settings(**values)
