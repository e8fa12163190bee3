"""The camera topics: subscribe with a QoS that fits, and hand frames on as they came.

Frames are taken raw and deserialised only when the model is free for them: most frames of a fast
camera are dropped, and a frame that is dropped costs one copy of its bytes and no more.
``python -m benchmarks.cameras --takes`` on two busy cores of an AMD EPYC: 3.2 ms of CPU instead of
3.5 for a dropped image of 640x480, 14.6 instead of 15.4 at 1920x1080; most of it is the way through
DDS. And bytes that are no image fail where they are counted, not inside the executor.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import CompressedImage, Image

from rose_ros.errors import ImageError, RoseError
from rose_ros.node.diagnostics import Statistics
from rose_ros.node.qos import Connection, choose_reliability, describe, input_qos, join
from rose_ros.node.settings import CameraSettings, Settings
from rose_ros.node.throttle import Throttle
from rose_ros.node.timers import steady_timer

AnyImage: TypeAlias = Image | CompressedImage

_WARNING_SECONDS = 5.0
#: s: what is wrong with a connection stays so until somebody mends it.
_CONNECTION_WARNING_SECONDS = 60.0
#: s: compressed images are ignored while raw ones of the same camera are not older than this.
_RAW_SECONDS = 1.0
#: s: how often it is looked whether publishers came or went.
REVIEW_SECONDS = 0.5


def read_message(data: bytes, kind: type, failure: type[RoseError]) -> Any:
    """Deserialise what came over the network; raises ``failure`` when it is no such message."""
    try:
        return deserialize_message(data, kind)
    except Exception as error:  # of many kinds: UnicodeDecodeError, RMWError, ...
        raise failure(f"{len(data)} bytes are no {kind.__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class Packet:
    """An image message as it came over the network."""

    kind: type
    data: bytes

    def open(self) -> AnyImage:
        """Deserialise it; raises ``ImageError`` when it is no such message."""
        return read_message(self.data, self.kind, ImageError)


class Stream:
    """One subscription, made anew when another reliability fits the publishers better.

    ``review`` and ``close`` may be called from any thread. connection: as of the last review.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        topic: str,
        asked: str,
        callback: Callable[[bytes], None],
        group: MutuallyExclusiveCallbackGroup,
    ) -> None:
        """Subscribe. ``asked`` is one of ``parameters.RELIABILITIES``."""
        self._node = node
        self._kind = kind
        self._topic = topic
        self._asked = asked
        self._callback = callback
        self._group = group
        self.connection = Connection()
        self._lock = threading.Lock()
        self._present = choose_reliability(asked, (), ReliabilityPolicy.BEST_EFFORT)
        self._subscription: Subscription | None = None
        with self._lock:  # events of the subscription may come before there is one here
            self._subscription = self._subscribe()
        self.review()

    def review(self) -> None:
        """Look at the publishers; subscribe anew when another reliability fits them."""
        with self._lock:
            if self._subscription is None:
                return
            topic = self._subscription.topic_name
            publishers = self._node.get_publishers_info_by_topic(topic)
            wanted = choose_reliability(self._asked, publishers, self._present)
            if wanted != self._present:
                self._present = wanted
                self._node.destroy_subscription(self._subscription)
                self._subscription = self._subscribe()
                self._node.get_logger().info(f"{topic} is subscribed {wanted.name.lower()}")
            self.connection = describe(topic, _type_name(self._kind), publishers, wanted)

    def close(self) -> None:
        """Unsubscribe."""
        with self._lock:
            if self._subscription is not None:
                self._node.destroy_subscription(self._subscription)
                self._subscription = None

    def _subscribe(self) -> Subscription:
        # Both events say that there is a publisher that is not heard.
        return self._node.create_subscription(
            self._kind,
            self._topic,
            self._callback,
            input_qos(self._present),
            callback_group=self._group,
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=lambda _: self.review(), incompatible_type=lambda _: self.review()
            ),
            raw=True,
        )


class CameraInputs:
    """The subscriptions of all cameras; those of each one in a callback group of their own."""

    def __init__(
        self, node: Node, statistics: Statistics, offer: Callable[[str, Packet], bool]
    ) -> None:
        """Hand frames to ``offer(camera, packet)``, which says whether one was overwritten."""
        self._node = node
        self._statistics = statistics
        self._offer = offer
        self._lock = threading.Lock()
        self._streams: dict[str, list[Stream]] = {}
        self._timer: Timer | None = None
        self._last_raw: dict[str, float] = {}
        self._throttle = Throttle(_WARNING_SECONDS)
        self._connection_throttle = Throttle(_CONNECTION_WARNING_SECONDS)

    def open(self, settings: Settings) -> None:
        """Subscribe to the topics of all cameras."""
        with self._lock:
            self._last_raw = {}
            for camera in settings.cameras:
                self._streams[camera.name] = self._subscribe(camera)
            self._timer = steady_timer(
                self._node, REVIEW_SECONDS, self._review, MutuallyExclusiveCallbackGroup()
            )

    def close(self) -> None:
        """Unsubscribe."""
        with self._lock:
            if self._timer is not None:
                self._node.destroy_timer(self._timer)
                self._timer = None
            for streams in self._streams.values():
                for stream in streams:
                    stream.close()
            self._streams = {}

    def drop(self, camera: str, error: ImageError) -> None:
        """Count a frame that cannot be used and warn, but not for every one."""
        self._statistics.invalid(camera, str(error))
        if self._throttle.allows(camera):
            self._node.get_logger().warning(f"camera {camera}: a frame is dropped: {error}")

    def _subscribe(self, camera: CameraSettings) -> list[Stream]:
        group = MutuallyExclusiveCallbackGroup()
        topics: list[tuple[type, str, Callable[[bytes], None]]] = []
        if camera.transport != "compressed":
            topics.append((Image, camera.image_topic, partial(self._on_image, camera.name)))
        if camera.transport != "raw":
            topic = self._compressed_topic(camera.image_topic)
            topics.append((CompressedImage, topic, partial(self._on_compressed, camera.name)))
        return [
            Stream(self._node, kind, topic, camera.reliability, callback, group)
            for kind, topic, callback in topics
        ]

    def _compressed_topic(self, topic: str) -> str:
        """Follow a remapping of the raw topic unless the compressed one has its own."""
        resolve = self._node.resolve_topic_name
        plain = f"{topic}/compressed"
        if resolve(plain) != resolve(plain, only_expand=True):
            return plain
        return f"{resolve(topic)}/compressed"

    def _review(self) -> None:
        """Follow the publishers that came and went, and report what does not fit."""
        with self._lock:
            for camera, streams in self._streams.items():
                for stream in streams:
                    stream.review()
                connection = join([stream.connection for stream in streams])
                self._statistics.connected(camera, connection)
                for problem in connection.problems:
                    if self._connection_throttle.allows(problem):
                        self._node.get_logger().warning(f"camera {camera}: {problem}")

    def _on_image(self, camera: str, data: bytes) -> None:
        self._last_raw[camera] = time.monotonic()
        self._take(camera, Packet(Image, data))

    def _on_compressed(self, camera: str, data: bytes) -> None:
        if time.monotonic() - self._last_raw.get(camera, -math.inf) > _RAW_SECONDS:
            self._take(camera, Packet(CompressedImage, data))

    def _take(self, camera: str, packet: Packet) -> None:
        overwrote = self._offer(camera, packet)
        self._statistics.received(camera, overwrote=overwrote)


def _type_name(kind: Any) -> str:
    """Return a type's name as endpoints give it, such as "sensor_msgs/msg/Image"."""
    package, folder, _ = kind.__module__.split(".", 2)
    return f"{package}/{folder}/{kind.__name__}"
