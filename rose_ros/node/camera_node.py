"""A simulated camera that moves slowly over a table, published like a real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from rose_ros.data.tabletop import SPLITS, build_world
from rose_ros.node.images import array_to_image
from rose_ros.node.rendering import OrbitRenderer
from rose_ros.node.running import run
from rose_ros.node.timers import steady_timer

_FRAME_ID = "camera_optical_frame"
_DEPTH = ParameterDescriptor(description="Publish depth, too.", read_only=True)


def camera_info(
    intrinsics: NDArray[np.float64], size: tuple[int, int], header: Header
) -> CameraInfo:
    """Describe an ideal pinhole camera; ``intrinsics`` (3, 3), ``size`` (height, width)."""
    projection = np.hstack([intrinsics, np.zeros((3, 1))])
    return CameraInfo(
        header=header,
        height=size[0],
        width=size[1],
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=intrinsics.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=projection.ravel().tolist(),
    )


def there_and_back(positions: list[Any]) -> Iterator[int]:
    """Walk up and down a list that may grow meanwhile: 0 1 2 1 0 1 2 3 2 ..."""
    index, step = 0, 1
    while True:
        yield index
        if not 0 <= index + step < len(positions):
            step = -step
        if 0 <= index + step < len(positions):
            index += step


class CameraNode(Node):
    """Publish ``image``, ``camera_info`` and on request ``depth``, aligned, in millimetres.

    Rendering is slower than the camera's rate, so the poses are rendered once, and the camera goes
    up and down the poses that exist so far.
    """

    #: for the executor
    threads = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("camera", **kwargs)
        seed = self._whole("seed", 7, "World to show.", 0, 2**31 - 1)
        height = self._whole("height", 480, "Pixels.", 16, 4096)
        width = self._whole("width", 640, "Pixels.", 16, 4096)
        poses = self._whole("frames", 60, "Poses on the camera's way.", 1, 1000)
        rate = self._number("rate", 30.0, "Images per second.", 0.1, 200.0)
        speed = self._number("speed", 4.0, "Poses per second.", 0.01, 200.0)
        choice = ParameterDescriptor(
            description=f"Kind of world: {', '.join(SPLITS)}.", read_only=True
        )
        split = str(self.declare_parameter("split", "test", choice).value)
        depth = bool(self.declare_parameter("depth", False, _DEPTH).value)
        world = build_world(seed, split)
        self.get_logger().info(f"world {seed}: {', '.join(item.name for item in world.objects)}")
        self._views = world.orbit(poses)
        self._images_per_pose = max(1, round(rate / speed))
        self._sent = 0
        self._frames: list[tuple[Image, CameraInfo, Image | None]] = []
        self._walk = there_and_back(self._frames)
        self._index = 0
        self._image = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self._info = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self._depth: Publisher | None = None
        if depth:
            self._depth = self.create_publisher(Image, "depth", qos_profile_sensor_data)
        steady_timer(self, 1.0 / rate, self._publish)
        self._renderer = OrbitRenderer(
            self._add_pose, seed=seed, split=split, poses=poses, height=height, width=width
        )

    def stop(self, timeout: float) -> bool:
        """Stop rendering; say whether it ended within ``timeout`` seconds."""
        return self._renderer.stop(timeout)

    def _whole(self, name: str, default: int, text: str, low: int, high: int) -> int:
        bounds = [IntegerRange(from_value=low, to_value=high)]
        descriptor = ParameterDescriptor(description=text, read_only=True, integer_range=bounds)
        return int(self.declare_parameter(name, default, descriptor).value)

    def _number(self, name: str, default: float, text: str, low: float, high: float) -> float:
        bounds = [FloatingPointRange(from_value=low, to_value=high)]
        descriptor = ParameterDescriptor(
            description=text, read_only=True, floating_point_range=bounds
        )
        return float(self.declare_parameter(name, default, descriptor).value)

    def _add_pose(self, image: NDArray[np.uint8], depth: NDArray[np.uint16]) -> None:
        """Keep the messages of one more pose, ready to be published again and again."""
        view = self._views[len(self._frames)]
        header = Header(frame_id=_FRAME_ID)
        info = camera_info(view.intrinsics(*image.shape[:2]), image.shape[:2], header)
        kept = array_to_image(depth, header) if self._depth is not None else None
        self._frames.append((array_to_image(image, header), info, kept))
        if len(self._frames) == len(self._views):
            self.get_logger().info(f"all {len(self._frames)} poses are rendered")

    def _publish(self) -> None:
        if not self._frames:
            return
        if self._sent % self._images_per_pose == 0:
            self._index = next(self._walk)
        self._sent += 1
        image, info, depth = self._frames[self._index]
        # The three share their header.
        image.header.stamp = self.get_clock().now().to_msg()
        self._image.publish(image)
        self._info.publish(info)
        if self._depth is not None and depth is not None:
            self._depth.publish(depth)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(CameraNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
