"""The camera topics: subscribe, check what comes, hand the usable frames on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from rose_ros.errors import ImageError
from rose_ros.node.diagnostics import Statistics
from rose_ros.node.images import check_compressed, check_image
from rose_ros.node.settings import Settings

#: A best-effort subscription matches every publisher; only the newest frame is of interest.
_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_WARNING_SECONDS = 5.0
#: s: compressed images are ignored while raw ones of the same camera are not older than this.
_RAW_SECONDS = 1.0


class CameraInputs:
    """The subscriptions of all cameras, in a callback group of their own."""

    def __init__(
        self, node: Node, statistics: Statistics, offer: Callable[[str, Any], bool]
    ) -> None:
        """Hand frames to ``offer(camera, message)``, which says whether one was overwritten."""
        self._node = node
        self._statistics = statistics
        self._offer = offer
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscriptions: list[Subscription] = []
        self._last_raw: dict[str, float] = {}

    def open(self, settings: Settings) -> None:
        """Subscribe to the topics of all cameras."""
        self._last_raw = {}
        for source in settings.cameras:
            camera, topic = source.name, source.image_topic
            if source.transport != "compressed":
                self._subscribe(Image, topic, partial(self._on_image, camera))
            if source.transport != "raw":
                self._subscribe(
                    CompressedImage,
                    self._compressed_topic(topic),
                    partial(self._on_compressed, camera),
                )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def drop(self, camera: str, error: ImageError) -> None:
        """Count a frame that cannot be used and warn, but not for every one."""
        self._statistics.invalid(camera, str(error))
        self._node.get_logger().warning(
            f"camera {camera}: a frame is dropped: {error}",
            throttle_duration_sec=_WARNING_SECONDS,
        )

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        self._subscriptions.append(
            self._node.create_subscription(kind, topic, callback, _QOS, callback_group=self._group)
        )

    def _compressed_topic(self, topic: str) -> str:
        """Follow a remapping of the raw topic unless the compressed one has its own."""
        resolve = self._node.resolve_topic_name
        plain = f"{topic}/compressed"
        if resolve(plain) != resolve(plain, only_expand=True):
            return plain
        return f"{resolve(topic)}/compressed"

    def _on_image(self, camera: str, message: Image) -> None:
        self._last_raw[camera] = time.monotonic()
        self._take(camera, message, check_image, message.encoding)

    def _on_compressed(self, camera: str, message: CompressedImage) -> None:
        if time.monotonic() - self._last_raw.get(camera, -math.inf) > _RAW_SECONDS:
            self._take(camera, message, check_compressed, message.format)

    def _take(
        self, camera: str, message: Any, check: Callable[[Any], None], description: str
    ) -> None:
        try:
            check(message)
        except ImageError as error:
            self.drop(camera, error)
            return
        overwrote = self._offer(camera, message)
        self._statistics.received(camera, description, overwrote=overwrote)
