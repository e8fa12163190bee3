"""The node with depth: real messages in, segments in space out."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from rose_ros.msg import Segment3DArray

HEIGHT, WIDTH = 120, 160
#: s: far above what anything takes, also on a machine that is busy with something else.
PATIENCE = 200.0
KINDS = {"segments_3d": Segment3DArray, "markers": MarkerArray, "points": PointCloud2}


class Listener:
    """What comes in 3D, and a camera with depth to send."""

    def __init__(self, robot: Any) -> None:
        self.robot = robot
        self.received: dict[str, list[Any]] = {name: [] for name in KINDS}
        self._depth = robot.node.create_publisher(Image, "/camera/depth", 10)
        self._info = robot.node.create_publisher(CameraInfo, "/camera/camera_info", 10)
        self._subscriptions: list[Any] = []

    def listen(self) -> None:
        """Subscribe to everything in 3D."""
        if self._subscriptions:
            return
        create = self.robot.node.create_subscription
        self._subscriptions = [
            create(kind, f"/rose/{name}", self.received[name].append, 5)
            for name, kind in KINDS.items()
        ]

    def close(self) -> None:
        for subscription in self._subscriptions:
            self.robot.node.destroy_subscription(subscription)
        self.robot.node.destroy_publisher(self._depth)
        self.robot.node.destroy_publisher(self._info)

    def show(self, metres: np.ndarray) -> Any:
        """Send depth (h, w), calibration and an image with the same stamp; return its array."""
        image = self.robot.message(self.robot.picture("red", "blue"))
        info = CameraInfo(header=image.header, height=HEIGHT, width=WIDTH)
        info.k = [150.0, 0.0, 79.5, 0.0, 150.0, 59.5, 0.0, 0.0, 1.0]
        self._info.publish(info)
        height, width = metres.shape
        depth = Image(header=image.header, height=height, width=width, encoding="32FC1")
        depth.step = width * 4
        depth.data = array.array("B", metres.astype("<f4").tobytes())
        self._depth.publish(depth)
        return self.robot.see(image)

    def of(self, header: Header) -> dict[str, Any]:
        """Return what came for an image, by topic."""
        found = {}
        for name, messages in self.received.items():
            for message in list(messages):
                first = message.markers[0] if name == "markers" else message
                if first.header == header:
                    found[name] = message
        return found


@pytest.fixture(scope="module")
def process(start: Any, robot: Any) -> Iterator[Any]:
    with start(camera__camera__depth_topic="/camera/depth", depth_wait=1.0) as process:
        robot.wait_until(lambda: "active:" in process.output, "the node", PATIENCE)
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


@pytest.fixture(scope="module")
def listener(robot: Any, process: Any) -> Iterator[Listener]:
    listener = Listener(robot)
    yield listener
    listener.close()


def test_a_frame_is_published_in_space(robot: Any, listener: Listener) -> None:
    depth = np.full((HEIGHT, WIDTH), 3.0)
    depth[:, 0:44] = 1.0  # red stands at 1 m
    depth[60, :] = np.nan
    depth[61, :] = np.inf
    listener.listen()

    def complete() -> Any:
        message = listener.show(depth)
        found = listener.of(message.header)
        return (message, found) if len(found) == len(KINDS) else None

    message, found = robot.wait_until(complete, "all three topics", PATIENCE)
    where = found["segments_3d"]
    assert (where.session_id, where.sequence) == (message.session_id, message.sequence)
    assert where.depth_stamp == message.header.stamp
    assert [one.id for one in where.segments] == [one.id for one in message.segments]
    red, blue = where.segments
    assert red.label.text == "red box"
    assert red.position.x == pytest.approx((20.5 - 79.5) / 150, abs=0.02)
    assert red.position.z == pytest.approx(1.0, abs=1e-3)
    assert blue.position.z == pytest.approx(3.0, abs=1e-3)
    # 80 px high, 26 px of 1 / 150 m wide.
    assert (red.size.x, red.size.y) == pytest.approx((80 / 150, 26 / 150), abs=0.05)
    assert 0.9 < red.coverage < 1.0
    drawn = {marker.ns for marker in found["markers"].markers[1:]}
    assert drawn == {"boxes", "points", "names"}
    points = read_cloud(found["points"])
    assert set(np.unique(points["instance"])) == {0, red.id, blue.id}
    measured = np.isfinite(points["z"])
    assert not measured[60:62].any()
    assert measured[:60].all()


def test_depth_that_does_not_fit_is_reported_and_frames_go_on(
    robot: Any, listener: Listener, process: Any
) -> None:
    listener.listen()

    def warned() -> bool:
        message = listener.show(np.ones((60, 80)))
        assert len(message.segments) == 2
        return "depth is 80 x 60 px, the image 160 x 120" in process.output

    robot.wait_until(warned, "a warning", PATIENCE)


def read_cloud(cloud: PointCloud2) -> np.ndarray:
    """Read position and instance of an organised cloud, (height, width)."""
    offsets = {field.name: field.offset for field in cloud.fields}
    kind = np.dtype(
        {
            "names": ["z", "instance"],
            "formats": ["<f4", "<u4"],
            "offsets": [offsets["z"], offsets["instance"]],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, kind).reshape(cloud.height, cloud.width)
