"""A model slower than the camera: the newest frame wins, and requests are answered meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter

from rose_ros.perception.segments import Status

DELAY = 0.3
PERIOD = 0.05


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start(model=f"fake:delay={DELAY}") as process:
        robot.wait_for_state("active", process)
        robot.show("red")
        yield process
        assert process.running, process.output


class Camera:
    """Publish pictures at a steady rate from a thread."""

    def __init__(self, robot: Any) -> None:
        self._robot = robot
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        picture = self._robot.picture("red", "blue")
        while not self._stop.wait(PERIOD):
            self._robot.send(self._robot.message(picture))
            self.sent += 1


def test_the_newest_frame_wins(robot: Any) -> None:
    first = len(robot.arrays)
    with Camera(robot) as camera:
        robot.wait_until(lambda: len(robot.arrays) >= first + 10, "ten arrays")
    arrays = robot.arrays[first + 2 :]
    ages = [message.timing.age for message in arrays]
    # A frame waits for the one before it and is then worked on itself; never for a queue.
    assert np.median(ages) < 2 * DELAY + 2 * PERIOD + 0.5, ages
    assert ages[-1] < ages[0] + 1.0, ages
    stamps = [(a.header.stamp.sec, a.header.stamp.nanosec) for a in arrays]
    assert stamps == sorted(set(stamps))
    skipped = [message.frames_skipped for message in arrays]
    assert skipped == sorted(skipped)
    processed = arrays[-1].sequence - arrays[0].sequence
    assert skipped[-1] - skipped[0] > processed
    assert arrays[-1].frames_skipped + arrays[-1].sequence <= camera.sent + 10


def test_a_request_is_answered_while_a_frame_is_processed(robot: Any) -> None:
    target = robot.show("red", "blue").segments[0].id
    with Camera(robot):
        time.sleep(3 * PERIOD)
        first = len(robot.arrays)
        replies = [robot.refine("that is a funnel", target, timeout=10.0) for _ in range(3)]
        processed = len(robot.arrays) - first
    assert {reply.status for reply in replies} <= {Status.OK, Status.NO_CHANGE}
    # Each request waits for the frame in work at most, not for the frames behind it.
    assert processed <= 6
    assert max(reply.elapsed for reply in replies) < DELAY + 2.0


def test_several_parameters_change_together_or_not_at_all(robot: Any) -> None:
    """The scripted model gives its masks a quality of 0.8 and sees the colours of the text."""

    def change(**values: float | str) -> str:
        request = SetParametersAtomically.Request()
        for name, value in values.items():
            request.parameters.append(Parameter(name, value=value).to_parameter_msg())
        service = "/rose/perception/set_parameters_atomically"
        result = robot.call(SetParametersAtomically, service, request).result
        assert result.successful == (not result.reason)
        return str(result.reason)

    robot.clear()
    assert "range" in change(quality_threshold=0.9, max_rate=-1.0)
    assert "no key 'rate'" in change(**{"quality_threshold": 0.9, "camera.camera.rate": 1.0})
    assert len(robot.show("red", "blue").segments) == 2

    assert change(quality_threshold=0.9) == ""
    robot.wait_until(lambda: not robot.show("red", "blue").segments, "nothing good enough")
    first = len(robot.arrays)
    with Camera(robot):
        robot.wait_until(lambda: len(robot.arrays) > first + 1, "arrays")
        # With the first of the two alone, both things would be seen in a frame between.
        assert change(quality_threshold=0.5, text="Segment the red box.") == ""
        robot.wait_until(lambda: robot.arrays[-1].segments, "the red box")
        assert change(quality_threshold=0.5, text="") == ""
    names = [tuple(s.label.text for s in array.segments) for array in robot.arrays[first:]]
    assert ("red box",) in names, names
    red = names.index(("red box",))
    assert set(names[:red]) == {()}, names
    robot.wait_until(lambda: len(robot.show("red", "blue").segments) == 2, "both again")


def test_max_rate_can_change_while_running(robot: Any) -> None:
    assert robot.set(max_rate=1.0) == ""
    try:
        with Camera(robot):
            time.sleep(0.5)
            first, started = len(robot.arrays), time.monotonic()
            robot.wait_until(lambda: len(robot.arrays) >= first + 4, "four arrays")
            rate = 4 / (time.monotonic() - started)
    finally:
        assert robot.set(max_rate=0.0) == ""
    assert rate <= 1.5
