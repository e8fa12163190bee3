"""The simulated camera: steady images of a table, with a matching CameraInfo."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from rose_ros.data.tabletop import build_world
from rose_ros.node.camera_node import there_and_back
from rose_ros.node.depth import depth_to_metres
from rose_ros.node.images import image_to_rgb

COMMAND = ["-m", "rose_ros.node.camera_node"]
ARGUMENTS = ["-r", "__ns:=/camera", "-p", "seed:=3", "-p", "frames:=5", "-p", "speed:=10.0"]


class Listener:
    """What comes from the camera."""

    def __init__(self, robot: Any) -> None:
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self._robot = robot
        self._subscriptions = [
            robot.node.create_subscription(kind, topic, keep, qos_profile_sensor_data)
            for kind, topic, keep in (
                (Image, "/camera/image", self.images.append),
                (CameraInfo, "/camera/camera_info", self.infos.append),
            )
        ]

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._robot.node.destroy_subscription(subscription)


@pytest.fixture
def listener(robot: Any) -> Iterator[Listener]:
    listener = Listener(robot)
    yield listener
    listener.close()


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_images_and_info(robot: Any, launch: Any, listener: Listener) -> None:
    process = launch(COMMAND, ARGUMENTS)
    try:
        robot.wait_until(lambda: len(listener.images) > 30 and listener.infos, "images")
        robot.wait_until(lambda: "all 5 poses are rendered" in process.output, "all poses")
        first = len(listener.images)
        started = time.monotonic()
        robot.wait_until(lambda: len(listener.images) > first + 40, "more images")
        rate = 40 / (time.monotonic() - started)
    finally:
        code = process.stop()
    assert code == 0, process.output
    assert 1 < rate < 40
    image = listener.images[0]
    assert (image.encoding, image.height, image.width) == ("rgb8", 480, 640)
    assert image.header.frame_id == "camera_optical_frame"
    world = build_world(3, "test")
    views = world.orbit(5)
    rendered = [world.render(view, height=480, width=640).image for view in views]
    # Which pose is the first to arrive depends on when the subscription was found.
    assert any(np.array_equal(image_to_rgb(image), one) for one in rendered)
    assert any((image_to_rgb(later) == rendered[1]).all() for later in listener.images)
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in listener.images]
    assert stamps == sorted(set(stamps))
    info = listener.infos[-1]
    assert info.header.frame_id == image.header.frame_id
    assert (info.height, info.width) == (480, 640)
    np.testing.assert_allclose(info.k, views[0].intrinsics(480, 640).ravel())
    together = {(m.header.stamp.sec, m.header.stamp.nanosec) for m in listener.infos}
    assert len(together & set(stamps)) > 10


def test_depth_comes_on_request_and_belongs_to_the_image(robot: Any, launch: Any) -> None:
    images: list[Image] = []
    depths: list[Image] = []
    subscriptions = [
        robot.node.create_subscription(Image, topic, keep.append, qos_profile_sensor_data)
        for topic, keep in (("/camera/image", images), ("/camera/depth", depths))
    ]
    sizes = ["-p", "height:=120", "-p", "width:=160", "-p", "depth:=true"]
    process = launch(COMMAND, [*ARGUMENTS, *sizes])
    try:
        # The renderer gives way to everything else on a busy machine.
        robot.wait_until(lambda: shared(images, depths), "depth with the header of an image", 200.0)
    finally:
        code = process.stop()
        for subscription in subscriptions:
            robot.node.destroy_subscription(subscription)
    assert code == 0, process.output
    world = build_world(3, "test")
    scenes = [world.render(view, height=120, width=160) for view in world.orbit(5)]
    image, depth = shared(images, depths)[-1]
    (scene,) = [one for one in scenes if np.array_equal(image_to_rgb(image), one.image)]
    assert (depth.encoding, depth.height, depth.width) == ("16UC1", 120, 160)
    np.testing.assert_allclose(depth_to_metres(depth), scene.depth, atol=0.0006)


def shared(images: list[Image], depths: list[Image]) -> list[tuple[Image, Image]]:
    """Pair what has the same header."""
    return [(a, b) for b in list(depths) for a in list(images) if a.header == b.header]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_renderer_never_outlives_the_camera(robot: Any, launch: Any, number: int) -> None:
    process = launch(COMMAND, [*ARGUMENTS, "-p", "frames:=1000"])
    children = robot.wait_until(lambda: children_of(process.pid), "the renderer")
    os.kill(process.pid, number)
    process.wait()
    robot.wait_until(lambda: not any(alive(child) for child in children), "the renderer's end")


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("argument", "reason"),
    [("split:=moon", "split 'moon' is not known"), ("rate:=0.0", "rate"), ("frames:=0", "frames")],
)
def test_wrong_parameters(launch: Any, argument: str, reason: str) -> None:
    process = launch(COMMAND, ["-p", argument])
    assert process.wait() == 2, process.output
    assert reason in process.output
    assert "Traceback" not in process.output


def test_the_way_goes_up_and_down_what_is_there() -> None:
    poses = ["a"]
    walk = there_and_back(poses)
    assert [next(walk) for _ in range(3)] == [0, 0, 0]
    poses += ["b", "c"]
    assert [next(walk) for _ in range(6)] == [1, 2, 1, 0, 1, 2]
