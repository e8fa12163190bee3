"""Images that cannot be used are dropped and counted, with one warning, and good ones go on."""

from __future__ import annotations

import array
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start() as process:
        robot.wait_for_state("active", process)
        robot.show("red")
        yield process
        assert process.running, process.output


def test_bad_images_then_good_ones(robot: Any, process: Any) -> None:
    good = robot.picture("red", "blue")
    arrays = len(robot.arrays)
    sent = 0

    def count_of(*bad: dict[str, Any]) -> int:
        """Publish bad images one by one and return how many were counted so far."""
        nonlocal sent
        for changes in bad:
            robot.send(robot.message(good, **changes))
            sent += 1
            time.sleep(0.05)
        return int(robot.counters()["frames_invalid"])

    robot.wait_until(lambda: count_of({"step": 3}), "a wrong step to be counted")
    assert "step is 3 bytes; rgb8 of width 160 needs at least 480" in process.output
    robot.wait_until(
        lambda: (
            count_of(
                {"step": 0},
                {"data": array.array("B", b"123")},
                {"data": array.array("B")},
                {"height": 0},
                {"width": 0},
                {"encoding": "32FC4"},
                {"encoding": "\x07; rm -rf"},
                {"height": 4_000_000_000, "width": 4_000_000_000},
            )
            >= 9
        ),
        "all bad images to be counted",
    )
    assert len(robot.arrays) == arrays
    assert robot.see(robot.message(good)).segments
    now = robot.counters()
    assert int(now["frames_invalid"]) <= sent
    assert now["last_error"]
    # At most one in five seconds, however many come.
    assert 1 <= process.output.count("a frame is dropped") <= 4


def test_a_broken_compressed_image(robot: Any) -> None:
    before = int(robot.counters()["frames_invalid"])

    def counted() -> bool:
        message = CompressedImage(format="jpeg", data=array.array("B", b"\xff\xd8\xff\x00"))
        robot.stamp(message)
        robot.send(message)
        return int(robot.counters()["frames_invalid"]) > before

    robot.wait_until(counted, "a broken jpeg to be counted")
    assert robot.show("red").segments


def test_a_frame_that_the_model_fails_on(robot: Any, process: Any) -> None:
    poison = np.array(robot.picture("red"))
    poison[0, 0] = (255, 0, 255)

    def counted() -> bool:
        robot.send(robot.message(poison))
        return int(robot.counters()["frames_failed"]) > 0

    robot.wait_until(counted, "a failing frame to be counted")
    assert "scripted failure" in process.output
    assert robot.show("red").segments
