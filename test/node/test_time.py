"""Simulated time: the clock starts late, runs, stands still and is set back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rosgraph_msgs.msg import Clock

from rose_ros.perception.segments import Status


class SimulatedClock:
    """Publishes /clock at 50 Hz from a thread; ``now`` is seconds of simulated time."""

    def __init__(self, robot: Any, now: float) -> None:
        self.now = now
        self.running = True
        self._publisher = robot.node.create_publisher(Clock, "/clock", 10)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop publishing."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            if self.running:
                self.now += 0.02
                self._publisher.publish(Clock(clock=stamp(self.now)))


def stamp(seconds: float) -> Time:
    sec, nanosec = divmod(round(seconds * 1e9), 10**9)
    return Time(sec=sec, nanosec=nanosec)


def show_at(robot: Any, when: float, *names: str) -> Any:
    """Show a picture that was taken at ``when`` and return its array."""
    message = robot.message(robot.picture(*names))
    message.header.stamp = stamp(when)
    return robot.see(message)


def wait_for(robot: Any, part: str, key: str, value: str) -> None:
    """Wait until a part of the diagnostics says ``value`` for a key."""
    robot.wait_until(
        lambda: robot.diagnostics()[part][key] == value, f"{key} of {part} to be {value}"
    )


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start(use_sim_time=True, max_rate=20.0) as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


@pytest.fixture(scope="module")
def clock(robot: Any, process: Any) -> Iterator[SimulatedClock]:
    clock = SimulatedClock(robot, 1000.0)
    yield clock
    clock.close()


def test_before_the_first_time(robot: Any) -> None:
    array = show_at(robot, 999.0, "red")
    assert array.segments
    assert math.isnan(array.timing.age)
    assert robot.report().header.stamp == Time()
    assert robot.diagnostics()["node"]["clock"] == "waiting"


def test_ages_and_reports_follow_the_clock(robot: Any, clock: SimulatedClock) -> None:
    wait_for(robot, "node", "clock", "simulated")
    array = show_at(robot, clock.now - 0.5, "red")
    assert 0.4 < array.timing.age < 30.0
    assert abs(robot.report().header.stamp.sec - clock.now) < 5


def test_a_paused_clock(robot: Any, clock: SimulatedClock) -> None:
    clock.running = False
    try:
        wait_for(robot, "node", "clock", "paused")
        time.sleep(2.5)  # longer than a camera may be silent
        camera = robot.statuses()["camera camera"]
        assert camera.level == DiagnosticStatus.OK, camera.message
        assert camera.message == "the clock is paused"
        # Frames, requests and limits of rates do not need it to run.
        first = show_at(robot, clock.now, "red", "blue")
        second = show_at(robot, clock.now + 0.01, "red", "blue")
        assert [s.id for s in first.segments] == [s.id for s in second.segments]
        reply = robot.refine("that is a funnel", first.segments[0].id)
        assert reply.status == Status.OK, reply.message
    finally:
        clock.running = True
    wait_for(robot, "node", "clock", "simulated")


def test_a_clock_that_is_set_back(robot: Any, clock: SimulatedClock, process: Any) -> None:
    before = show_at(robot, clock.now, "red")
    jumps = int(robot.diagnostics()["node"]["clock_jumps"])
    clock.now = 10.0
    wait_for(robot, "node", "clock_jumps", str(jumps + 1))
    after = show_at(robot, clock.now, "red")
    assert after.session_id != before.session_id
    assert after.sequence == 1
    assert [segment.id for segment in after.segments] == [1]
    # Clock and stamps went back together; that was one jump.
    again = show_at(robot, clock.now + 0.1, "red")
    assert (again.session_id, again.sequence) == (after.session_id, 2)
    assert robot.diagnostics()["node"]["clock_jumps"] == str(jumps + 1)
    assert "the clock went back; identities start anew" in process.output
    reply = robot.refine("that is a funnel", 1, stamp=before.header.stamp)
    assert reply.status == Status.STALE_FRAME
