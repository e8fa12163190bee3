"""Stamps that do not follow the node's clock: looped recordings, zeros, repetitions."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from rose_ros.perception.segments import Status


def stamp(seconds: float) -> Time:
    sec, nanosec = divmod(round(seconds * 1e9), 10**9)
    return Time(sec=sec, nanosec=nanosec)


def show_at(robot: Any, when: float, *names: str) -> Any:
    """Show a picture that was taken at ``when`` and return its array."""
    robot.arrays.clear()  # of the loop before, with the same stamps
    message = robot.message(robot.picture(*names))
    message.header.stamp = stamp(when)
    return robot.see(message)


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start(tracking__max_missed_seconds=0.3) as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


def test_a_recording_that_loops_without_a_clock(robot: Any) -> None:
    loops = [[show_at(robot, 500.0 + 0.5 * i, "red") for i in range(5)] for _ in range(3)]
    sessions = [{array.session_id for array in loop} for loop in loops]
    assert [len(ids) for ids in sessions] == [1, 1, 1]
    assert len(set.union(*sessions)) == 3
    for loop in loops:
        assert [array.sequence for array in loop] == [1, 2, 3, 4, 5]
        assert {segment.id for array in loop for segment in array.segments} == {1}
        assert all(array.frames_skipped == 0 for array in loop)
    assert robot.counters()["clock_jumps"] == "2"
    camera = robot.statuses()["camera camera"]
    # The ages mean nothing, and it says so instead of being silent.
    assert camera.level == DiagnosticStatus.WARN
    assert "set use_sim_time" in camera.message


def test_stamps_of_zero(robot: Any) -> None:
    """Accepted as they are; identities hold while things stay, and end when they are gone."""

    def show(*names: str) -> Any:
        message = robot.message(robot.picture(*names))
        message.header.stamp = Time()
        count = len(robot.arrays)

        def seen() -> Any:
            robot.send(message)
            time.sleep(0.1)
            return robot.arrays[count:]

        return robot.wait_until(seen, "an array")[-1]

    show("red")
    first, second = show("red"), show("red")
    assert first.header.stamp == Time()
    assert math.isnan(first.timing.age)
    assert first.session_id == second.session_id
    (segment,) = first.segments
    assert [s.id for s in second.segments] == [segment.id]
    for _ in range(15):  # more frames and more time than a thing may be missing
        assert not show().segments
    (later,) = show("red").segments
    assert later.id > segment.id
    assert robot.refine("that is a funnel", later.id).status == Status.OK
    assert int(robot.counters()["frames_unstamped"]) > 15


def test_a_stamp_repeated_is_no_jump(robot: Any) -> None:
    when = time.time()
    first = show_at(robot, when, "red")
    second = show_at(robot, when, "red")
    assert second.sequence > first.sequence
    assert (second.session_id, second.header.stamp) == (first.session_id, first.header.stamp)
    assert [s.id for s in second.segments] == [s.id for s in first.segments]
