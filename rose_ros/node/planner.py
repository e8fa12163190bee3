"""A client of the perception node: what a planner sees and how it asks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from rose_ros.msg import SegmentArray
from rose_ros.node.conversions import frame_from_message, time_to_ns
from rose_ros.node.images import image_to_rgb
from rose_ros.perception.segments import SegmentedFrame
from rose_ros.srv import Find, Refine

T = TypeVar("T")

#: Images kept until their array comes: six seconds of a camera at 30 Hz.
_MAX_IMAGES = 180
_MAX_ARRAYS = 400
#: s: the longest that a request may take, and how much longer its reply may be on the way.
REQUEST_SECONDS = 10.0
_REPLY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class View:
    """One published frame: the message, its content and the image it was made from.

    published: seconds since 1970.
    """

    message: SegmentArray
    published: float
    frame: SegmentedFrame
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Arrival:
    """An array and when it came, on the monotonic clock; ``published`` is seconds since 1970."""

    message: SegmentArray
    received: float
    published: float


class Planner(Node):
    """Listen to ``segments`` and ``image``; ask ``refine`` and ``find``.

    The callbacks run on an executor's thread, everything else may be called from another one.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("planner", **kwargs)
        self.arrivals: deque[Arrival] = deque(maxlen=_MAX_ARRAYS)
        self._images: OrderedDict[int, Image] = OrderedDict()
        self._view: View | None = None
        self._lock = threading.Lock()
        self.create_subscription(SegmentArray, "segments", self._on_segments, 5)
        # Deep: each array needs exactly its own image, so as few as possible may be lost.
        qos = QoSProfile(depth=30, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(Image, "image", self._on_image, qos)
        self._refine = self.create_client(Refine, "refine")
        self._find = self.create_client(Find, "find")

    @property
    def latest(self) -> Arrival | None:
        """The array that came last."""
        return self.arrivals[-1] if self.arrivals else None

    @property
    def view(self) -> View | None:
        """The newest frame whose image is at hand too; both come without a guarantee."""
        return self._view

    def since(self, moment: float) -> list[SegmentArray]:
        """Return the arrays that were published after ``moment``, seconds since 1970."""
        return [item.message for item in list(self.arrivals) if item.published > moment]

    def rate(self) -> float:
        """Arrays per second of late."""
        times = [item.received for item in list(self.arrivals)[-10:]]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def refine(self, view: View, text: str, *ids: int) -> Refine.Response | None:
        """Ask for a correction of what a view shows; None when no reply comes."""
        request = Refine.Request(text=text, scope=Refine.Request.TRACK, timeout=REQUEST_SECONDS)
        request.segment_ids.extend(ids)
        request.stamp = view.message.header.stamp
        request.session_id = view.message.session_id
        return self._ask(self._refine, request)

    def find(self, view: View, text: str) -> Find.Response | None:
        """Look for something in what a view shows; None when no reply comes."""
        request = Find.Request(text=text, timeout=REQUEST_SECONDS)
        request.stamp = view.message.header.stamp
        return self._ask(self._find, request)

    def _ask(self, client: Any, request: Any) -> Any:
        if not client.wait_for_service(_REPLY_SECONDS):
            return None
        future = client.call_async(request)
        return wait_for(
            lambda: future.result() if future.done() else None, REQUEST_SECONDS + _REPLY_SECONDS
        )

    def _on_image(self, message: Image) -> None:
        with self._lock:
            self._images[time_to_ns(message.header.stamp)] = message
            while len(self._images) > _MAX_IMAGES:
                self._images.popitem(last=False)

    def _on_segments(self, message: SegmentArray) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        published = stamp_ns * 1e-9 + message.timing.age
        self.arrivals.append(Arrival(message, time.monotonic(), published))
        with self._lock:
            image = self._images.get(stamp_ns)
        if image is not None:
            self._view = View(message, published, frame_from_message(message), image_to_rgb(image))


def wait_for(condition: Callable[[], T | None], seconds: float) -> T | None:
    """Return the first value of ``condition`` that is not None; None when time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value is not None or time.monotonic() > end:
            return value
        time.sleep(0.02)
