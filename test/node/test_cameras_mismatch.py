"""A publisher whose QoS does not fit what is asked for is named, with the policy, and only once."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image


def test_a_policy_that_does_not_fit_is_named(robot: Any, start: Any) -> None:
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = robot.node.create_publisher(Image, "/gate/image", qos)
    parameters = {"camera__camera__reliability": "reliable", "image_topics": "[/gate/image]"}
    with start(transport="raw", **parameters) as process:
        robot.wait_for_state("active", process)

        def named() -> DiagnosticStatus | None:
            status = robot.statuses()["camera camera"]
            return status if "RELIABILITY" in status.message else None

        status = robot.wait_until(named, "the policy to be named")
        assert status.level == DiagnosticStatus.WARN
        assert "/robot is not heard on /gate/image" in status.message
        assert "it offers BEST_EFFORT, RELIABLE is asked for" in status.message
        message = robot.message(robot.picture("red"))
        for _ in range(5):
            publisher.publish(message)
            time.sleep(0.1)
        assert robot.array_of(message) is None

        # Another publisher on the same topic that does fit is heard.
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        fitting = robot.node.create_publisher(Image, "/gate/image", qos)

        def heard() -> bool:
            message = robot.message(robot.picture("red"))
            fitting.publish(message)
            time.sleep(0.2)
            return robot.array_of(message) is not None

        robot.wait_until(heard, "an array")
        robot.wait_until(lambda: "/robot is not heard" in process.output, "a warning")
        assert process.output.count("/robot is not heard") == 1
        assert process.running
