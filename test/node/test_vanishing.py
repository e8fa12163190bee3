"""A camera that goes away and comes back as another one, and bytes that are no image at all."""

from __future__ import annotations

import array
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start() as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


def test_a_camera_vanishes_and_returns(robot: Any, process: Any) -> None:
    before = robot.show("red")
    robot.node.destroy_publisher(robot._raw)
    robot.wait_until(lambda: robot.counters()["publishers"] != "2", "the camera to be missed")
    robot.wait_until(lambda: float(robot.counters()["last_frame_age_s"]) > 2.0, "silence")
    # Another driver: unreliable, larger, and in grey.
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    robot._raw = robot.node.create_publisher(Image, "/camera/image", qos)
    grey = np.full((240, 320), 90, np.uint8)
    message = Image(height=240, width=320, encoding="mono8", step=320)
    message.data = array.array("B", grey.tobytes())
    robot.stamp(message)
    after = robot.see(message)
    assert (after.height, after.width) == (240, 320)
    assert after.session_id == before.session_id
    assert robot.counters()["encoding"] == "mono8"
    assert robot.counters()["resolution"] == "320x240"
    # And back: what was tracked in the other size does no harm.
    for height, width in ((120, 160), (60, 80), (180, 240)):
        shown = robot.see(robot.message(robot.picture("red", height=height, width=width)))
        assert (shown.height, shown.width) == (height, width)
        assert [segment.label.text for segment in shown.segments] == ["red box"]
    assert "Traceback" not in process.output


def test_bytes_that_are_no_image(robot: Any, process: Any) -> None:
    good = robot.show("red")
    before = int(robot.counters()["frames_invalid"])

    def counted() -> bool:
        for noise in (b"", b"\x00\x01\x00\x00", bytes(range(200)), b"\xff" * 64):
            robot._raw.publish(noise)
            time.sleep(0.05)
        return int(robot.counters()["frames_invalid"]) > before

    robot.wait_until(counted, "noise to be counted")
    assert robot.show("red").session_id == good.session_id
    assert "Traceback" not in process.output
