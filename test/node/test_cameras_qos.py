"""Publishers come and go with other QoS: the camera stays connected, what does not fit is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import String

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def wait_for_reliability(robot: Any, value: str) -> dict[str, str]:
    """Wait until the camera is subscribed so; return what is reported of it."""

    def reached() -> dict[str, str] | None:
        counters: dict[str, str] = robot.counters()
        return counters if counters["reliability"] == value else None

    return dict(robot.wait_until(reached, f"reliability {value}"))


def comes_through(robot: Any, publisher: Any) -> bool:
    """Publish pictures until one of them gives an array."""
    sent = []

    def arrived() -> bool:
        message = robot.message(robot.picture("red"))
        sent.append(message)
        publisher.publish(message)
        time.sleep(0.2)
        return any(robot.array_of(message) is not None for message in sent)

    return bool(robot.wait_until(arrived, "an array"))


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start(image_topics="[/gate/image]", transport="raw") as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


def test_publishers_come_and_go(robot: Any) -> None:
    assert robot.counters()["publishers"] == "0"
    wait_for_reliability(robot, "best_effort")

    first = robot.node.create_publisher(Image, "/gate/image", RELIABLE)
    assert wait_for_reliability(robot, "reliable")["publishers"] == "1"
    assert comes_through(robot, first)

    second = robot.node.create_publisher(Image, "/gate/image", BEST_EFFORT)
    assert wait_for_reliability(robot, "best_effort")["publishers"] == "2"
    assert comes_through(robot, second)
    assert comes_through(robot, first)

    robot.node.destroy_publisher(second)
    wait_for_reliability(robot, "reliable")
    assert comes_through(robot, first)

    # A camera that restarts finds what it left.
    robot.node.destroy_publisher(first)
    robot.wait_until(lambda: robot.counters()["publishers"] == "0", "nobody")
    wait_for_reliability(robot, "reliable")
    third = robot.node.create_publisher(Image, "/gate/image", BEST_EFFORT)
    wait_for_reliability(robot, "best_effort")
    assert comes_through(robot, third)
    robot.node.destroy_publisher(third)


def test_bytes_that_are_no_image(robot: Any) -> None:
    """A text that is no UTF-8 and a message cut off are counted; the next image is seen."""
    publisher = robot.node.create_publisher(Image, "/gate/image", RELIABLE)
    assert comes_through(robot, publisher)
    good = robot.message(robot.picture("red"))
    good.encoding = "?" * 4
    data = bytes(serialize_message(good))

    def counted() -> bool:
        publisher.publish(data.replace(b"????", b"\xff\xfe\xfd\xfc"))
        time.sleep(0.2)
        publisher.publish(data[:40])
        return int(robot.counters()["frames_invalid"]) >= 2

    robot.wait_until(counted, "bad bytes to be counted")
    assert comes_through(robot, publisher)
    robot.node.destroy_publisher(publisher)


def test_no_large_image_is_lost(robot: Any) -> None:
    """Each is sent once. Best effort, most raw images of this size are lost on the way."""
    publisher = robot.node.create_publisher(Image, "/gate/image", RELIABLE)
    wait_for_reliability(robot, "reliable")
    robot.wait_until(publisher.get_subscription_count, "the subscriber")
    assert comes_through(robot, publisher)
    picture = robot.picture("red", height=480, width=640)
    for _ in range(10):
        message = robot.message(picture)
        publisher.publish(message)
        robot.wait_until(lambda message=message: robot.array_of(message), "its array")
    robot.node.destroy_publisher(publisher)


def test_another_type_is_named(robot: Any) -> None:
    # A process cannot have two types on one topic; this is another one as far as DDS can see.
    context = Context()
    context.init()
    stranger = Node("stranger", context=context)
    stranger.create_publisher(String, "/gate/image", RELIABLE)
    text = "/stranger publishes std_msgs/msg/String on /gate/image, not sensor_msgs/msg/Image"
    try:
        robot.wait_until(
            lambda: text in robot.statuses()["camera camera"].message, "the type to be named"
        )
    finally:
        stranger.destroy_node()
        context.try_shutdown()
