"""Depth images and calibrations of the cameras, and the ones that belong to a colour image."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from rose_ros.errors import GeometryError, RoseError
from rose_ros.imaging import MAX_PIXELS
from rose_ros.node.conversions import time_to_ns
from rose_ros.node.inputs import REVIEW_SECONDS, Stream, read_message
from rose_ros.node.settings import CameraSettings, Settings
from rose_ros.node.throttle import Throttle
from rose_ros.node.timers import steady_timer
from rose_ros.perception.geometry import Intrinsics, usable_depth

#: Depth images per camera that are kept for a colour image that comes later than its depth.
_KEPT = 8
#: s: depth that is this late is not waited for: the camera stopped sending it.
_ALIVE_SECONDS = 1.0
_WARNING_SECONDS = 5.0
#: bytes: enough for the header at the beginning of an Image.
_HEADER_BYTES = 4096
#: Units of depth by encoding (REP 118): type without byte order, and metres.
_ENCODINGS = {"16UC1": ("u2", 0.001), "mono16": ("u2", 0.001), "32FC1": ("f4", 1.0)}


class DepthError(RoseError):
    """There is no depth for an image, or it does not fit."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What belongs to one colour image; metres, NaN where nothing was measured.

    metres: float32 (height, width), of the image's size. stamp: that of the depth image.
    """

    metres: NDArray[np.float32]
    intrinsics: Intrinsics
    stamp: Time


def depth_to_metres(message: Image, max_depth: float = np.inf) -> NDArray[np.float32]:
    """Read a depth image: float32 (height, width), metres, NaN where nothing was measured.

    16UC1 holds millimetres, 32FC1 metres. Raises ``DepthError``.
    """
    if message.encoding not in _ENCODINGS:
        raise DepthError(
            f"depth has the encoding {message.encoding[:40]!r}; "
            f"send one of {', '.join(_ENCODINGS)}, not compressed"
        )
    kind, unit = _ENCODINGS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not 0 < height * width <= MAX_PIXELS:
        raise DepthError(f"depth is {width} x {height} px; allowed are 1 to {MAX_PIXELS} px")
    row = width * int(kind[1])
    if step < row or len(message.data) != step * height:
        raise DepthError(
            f"depth of {width} x {height} px as {message.encoding} has a step of {step} bytes and "
            f"{len(message.data)} bytes of data; it needs a step of at least {row}, and step x "
            "height bytes"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    values = np.ascontiguousarray(rows[:, :row]).view((">" if message.is_bigendian else "<") + kind)
    # Invalid floats may also be signalling NaNs.
    with np.errstate(invalid="ignore"):
        return usable_depth(values.astype(np.float32) * np.float32(unit), max_depth)


def intrinsics_of(info: CameraInfo, height: int, width: int) -> Intrinsics:
    """Return the pinhole camera of images of this size.

    Uses the projection matrix P, as everything does that makes points of depth in ROS, or K where P
    is empty. Lens distortion is not undone. Raises ``GeometryError``.
    """
    bin_x, bin_y = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    full_width, full_height = int(info.roi.width or info.width), int(info.roi.height or info.height)
    if (full_width // bin_x, full_height // bin_y) != (width, height):
        raise GeometryError(
            f"camera_info is for {full_width // bin_x} x {full_height // bin_y} px, the image has "
            f"{width} x {height}; give the camera_info of the depth image"
        )
    if info.p[0] > 0:
        fx, fy, cx, cy = info.p[0], info.p[5], info.p[2], info.p[6]
    else:
        fx, fy, cx, cy = info.k[0], info.k[4], info.k[2], info.k[5]
    return Intrinsics(
        float(fx) / bin_x,
        float(fy) / bin_y,
        (float(cx) - info.roi.x_offset) / bin_x,
        (float(cy) - info.roi.y_offset) / bin_y,
    )


class DepthBuffer:
    """The last few depth messages of a camera, and the best match for the image in work.

    Stamps are nanoseconds. Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._arrived = -np.inf
        self._wanted = 0
        self._best: tuple[int, bytes] | None = None
        self._changed = threading.Condition()

    def add(self, stamp_ns: int, data: bytes) -> None:
        """Keep a message that came."""
        with self._changed:
            self._recent.append((stamp_ns, data))
            self._arrived = time.monotonic()
            self._prefer(self._recent[-1])
            self._changed.notify_all()

    def expect(self, stamp_ns: int) -> None:
        """From now on look for the message nearest to this stamp; of equal ones the latest."""
        with self._changed:
            self._wanted = stamp_ns
            self._best = None
            for message in self._recent:
                self._prefer(message)

    def take(self, tolerance_ns: int, patience: float) -> tuple[int, bytes]:
        """Return the best match, waiting up to ``patience`` seconds for one that may still come.

        Raises ``DepthError`` when none is within the tolerance.
        """
        end = time.monotonic() + patience
        with self._changed:
            while not self._fits(tolerance_ns):
                now = time.monotonic()
                if now >= end or now - self._arrived > _ALIVE_SECONDS or self._is_past():
                    raise DepthError(self._problem(tolerance_ns))
                self._changed.wait(end - now)
            assert self._best is not None
            return self._best

    def _prefer(self, message: tuple[int, bytes]) -> None:
        if self._best is None or self._distance(message) <= self._distance(self._best):
            self._best = message

    def _distance(self, message: tuple[int, bytes]) -> int:
        return abs(message[0] - self._wanted)

    def _fits(self, tolerance_ns: int) -> bool:
        return self._best is not None and self._distance(self._best) <= tolerance_ns

    def _is_past(self) -> bool:
        """Whether the stream is beyond the wanted stamp, so that no better match can come."""
        return bool(self._recent) and self._recent[-1][0] > self._wanted

    def _problem(self, tolerance_ns: int) -> str:
        if self._best is None:
            return "no depth image has come yet"
        return (
            f"no depth image within {tolerance_ns * 1e-9:g} s of the image's stamp, the nearest is "
            f"{self._distance(self._best) * 1e-9:.3f} s away; see depth_tolerance"
        )


class DepthInputs:
    """The depth and camera_info subscriptions of all cameras that have a depth topic."""

    def __init__(self, node: Node) -> None:
        """Subscribe on ``node``, later."""
        self._node = node
        self._buffers: dict[str, DepthBuffer] = {}
        self._infos: dict[str, bytes] = {}
        self._streams: list[Stream] = []
        self._timer: Timer | None = None
        self._throttle = Throttle(_WARNING_SECONDS)
        self._lock = threading.Lock()

    def open(self, settings: Settings) -> None:
        """Subscribe."""
        with self._lock:
            for camera in settings.cameras:
                if camera.depth_topic:
                    self._buffers[camera.name] = DepthBuffer()
                    self._subscribe(camera)
            if self._streams:
                self._timer = steady_timer(
                    self._node, REVIEW_SECONDS, self._review, MutuallyExclusiveCallbackGroup()
                )

    def close(self) -> None:
        """Unsubscribe and forget everything."""
        with self._lock:
            if self._timer is not None:
                self._node.destroy_timer(self._timer)
                self._timer = None
            for stream in self._streams:
                stream.close()
            self._streams = []
            self._buffers = {}
            self._infos = {}

    def expect(self, camera: str, header: Header) -> None:
        """Look for the depth of an image that is about to be segmented."""
        buffer = self._buffers.get(camera)
        if buffer is not None:
            buffer.expect(time_to_ns(header.stamp))

    def take(self, camera: str, size: tuple[int, int], settings: Settings) -> Depth:
        """Return the depth of the expected image of ``size`` (height, width).

        Raises ``DepthError`` or ``GeometryError`` when there is none that fits.
        """
        buffer = self._buffers.get(camera)
        if buffer is None:
            raise DepthError("the camera has no depth topic")
        _, data = buffer.take(round(settings.depth_tolerance * 1e9), settings.depth_wait)
        message = read_message(data, Image, DepthError)
        metres = depth_to_metres(message, settings.max_depth)
        if metres.shape != size:
            raise DepthError(
                f"depth is {metres.shape[1]} x {metres.shape[0]} px, the image {size[1]} x "
                f"{size[0]}; give depth that is aligned to the image"
            )
        info = self._infos.get(camera)
        if info is None:
            raise GeometryError("no camera_info has come yet; see camera_info_topic")
        calibration = read_message(info, CameraInfo, DepthError)
        return Depth(metres, intrinsics_of(calibration, *size), message.header.stamp)

    def _subscribe(self, camera: CameraSettings) -> None:
        group = MutuallyExclusiveCallbackGroup()
        depth = self._node.resolve_topic_name(camera.depth_topic)
        info = camera.camera_info_topic or f"{depth.rpartition('/')[0]}/camera_info"
        topics: tuple[tuple[type, str, Callable[[bytes], None]], ...] = (
            (Image, depth, partial(self._on_depth, camera.name)),
            (CameraInfo, info, partial(self._on_info, camera.name)),
        )
        self._streams += [
            Stream(self._node, kind, topic, camera.reliability, callback, group)
            for kind, topic, callback in topics
        ]

    def _on_depth(self, camera: str, data: bytes) -> None:
        buffer = self._buffers.get(camera)
        if buffer is None:
            return
        try:
            # An Image begins with its header; the rest is read only when it is needed.
            header = read_message(data[:_HEADER_BYTES], Header, DepthError)
        except DepthError as error:
            self.warn(camera, error)
            return
        buffer.add(time_to_ns(header.stamp), data)

    def _on_info(self, camera: str, data: bytes) -> None:
        self._infos[camera] = data

    def warn(self, camera: str, error: Exception) -> None:
        """Say what is wrong with a camera's depth, but not for every frame."""
        if self._throttle.allows(camera):
            self._node.get_logger().warning(f"camera {camera}: no 3D: {error}")

    def _review(self) -> None:
        with self._lock:
            for stream in self._streams:
                stream.review()
                for problem in stream.connection.problems:
                    if self._throttle.allows(problem):
                        self._node.get_logger().warning(problem)
