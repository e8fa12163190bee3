"""A model that raises, gives no numbers, hangs or dies: frames are dropped, requests answered."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from rose_ros.perception.segments import Status
from rose_ros.srv import Refine

#: Top left pixels, as the scripted model reads them.
RAISE, NAN_OBJECTNESS, NAN_LOGITS = (255, 0, 255), (0, 255, 255), (0, 255, 254)
TOO_FEW_NAMES, HANG = (0, 255, 253), (255, 255, 255)


@pytest.fixture
def robot(robot: Any) -> Iterator[Any]:
    """A robot that has never heard of the nodes that were killed; they would swallow requests."""
    fresh = type(robot)()
    yield fresh
    fresh.close()


def faulty(robot: Any, corner: tuple[int, int, int]) -> Any:
    """Make an image of a new box, to be named, that lets the model do what its corner says."""
    image = np.array(robot.picture("blue"))
    image[0, 0] = corner
    return robot.message(image)


def later(stamp: Any, other: Any) -> bool:
    """Say whether a stamp is later than another."""
    return (stamp.sec, stamp.nanosec) > (other.sec, other.nanosec)


def send_until(robot: Any, message: Any, condition: Any, what: str) -> None:
    """Publish an image again and again until something is true."""

    def sent() -> bool:
        robot.stamp(message)
        robot.send(message)
        time.sleep(0.1)
        return bool(condition())

    robot.wait_until(sent, what)


@pytest.mark.parametrize(
    ("corner", "reason"),
    [
        (RAISE, "scripted failure"),
        (NAN_OBJECTNESS, "objectness that are not finite numbers"),
        (NAN_LOGITS, "mask logits that are not finite numbers"),
        (TOO_FEW_NAMES, "names of shape (0,) instead of (1,)"),
    ],
)
def test_a_failing_frame_is_dropped_and_nothing_else_changes(
    robot: Any, start: Any, corner: tuple[int, int, int], reason: str
) -> None:
    with start(max_failures=0) as process:
        robot.wait_for_state("active", process)
        before = robot.show("red")
        failed = lambda: int(robot.counters()["frames_failed"]) > 0  # noqa: E731
        first = robot.message(robot.picture("red")).header.stamp
        send_until(robot, faulty(robot, corner), failed, "a failing frame to be counted")
        assert not [a for a in robot.arrays if later(a.header.stamp, first)]
        assert reason in robot.counters()["last_error"]
        after = robot.show("red")
        assert [s.id for s in after.segments] == [s.id for s in before.segments]
        assert after.session_id == before.session_id
        assert robot.refine("that is a funnel", after.segments[0].id).status == Status.OK


def test_a_model_that_fails_on_everything_ends_the_process(robot: Any, start: Any) -> None:
    with start(max_failures=5) as process:
        robot.wait_for_state("active", process)
        robot.show("red")
        send_until(robot, faulty(robot, RAISE), lambda: not process.running, "the node's end")
        assert process.wait() == 1, process.output
        assert re.search(r"the model failed on \d+ frames in a row", process.output)
        assert "Traceback" not in process.output


def test_a_hanging_frame_ends_the_process_and_requests_are_answered(robot: Any, start: Any) -> None:
    with start(watchdog_seconds=10.0) as process:
        robot.wait_for_state("active", process)
        robot.show("red")
        busy = lambda: robot.refine("undo", timeout=0.1).status == Status.TIMEOUT  # noqa: E731
        send_until(robot, faulty(robot, HANG), busy, "the model to hang")
        started = time.monotonic()
        reply = robot.find("the red box", timeout=0.5)
        assert reply.status == Status.TIMEOUT, reply.message
        assert time.monotonic() - started < 5.0
        assert process.wait() == 1, process.output
        assert "the model has not answered for" in process.output
        assert "Traceback" not in process.output


def test_a_hanging_request_ends_the_process_too(robot: Any, start: Any) -> None:
    with start(watchdog_seconds=10.0) as process:
        robot.wait_for_state("active", process)
        target = robot.show("red").segments[0].id
        reply = robot.refine("forever include more", target, timeout=0.5)
        assert reply.status == Status.TIMEOUT, reply.message
        assert process.wait() == 1, process.output


def test_a_slow_load_is_no_hang(robot: Any, start: Any) -> None:
    with start(model="fake:load=8.0", watchdog_seconds=5.0) as process:
        robot.wait_for_state("active", process)
        assert robot.show("red").segments


def test_a_killed_node_comes_back_as_new(robot: Any, start: Any) -> None:
    with start() as process:
        robot.wait_for_state("active", process)
        first = robot.show("red")
        assert robot.refine("that is a funnel", first.segments[0].id).status == Status.OK
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    # What launch does with respawn.
    with start() as process:
        second = robot.wait_until(lambda: new_array(robot, first.session_id), "a new session")
        assert second.sequence >= 1
        again = robot.show("red")
        assert again.session_id != first.session_id
        assert again.segments[0].label.text == "red box"


def new_array(robot: Any, session_id: int) -> Any:
    """Publish an image; return an array of another session, if one has come."""
    robot.send(robot.message(robot.picture("red")))
    time.sleep(0.1)
    return next((a for a in reversed(robot.arrays) if a.session_id != session_id), None)


def catches_signals(pid: int) -> bool:
    """Say whether a process has a handler of its own for SIGTERM."""
    with open(f"/proc/{pid}/status") as file:
        caught = next(line.split()[1] for line in file if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_a_signal_during_configure(robot: Any, start: Any, delay: float) -> None:
    with start(model="fake:load=3.0") as process:
        # Not by the network: it still remembers the node that was killed before.
        robot.wait_until(lambda: catches_signals(process.pid), "the imports to be over")
        time.sleep(delay)
        assert process.stop() == 0, process.output
        assert "Traceback" not in process.output
        assert "failed" not in process.output


def test_a_signal_while_the_model_hangs(robot: Any, start: Any) -> None:
    with start() as process:
        robot.wait_for_state("active", process)
        target = robot.show("red").segments[0].id
        assert robot.refine("forever more", target, timeout=0.2).status == Status.TIMEOUT
        assert process.stop() == 0, process.output


def test_a_hundred_refinements_at_once(robot: Any, start: Any) -> None:
    with start(max_waiting_requests=4, max_refine_rate=0.0) as process:
        robot.wait_for_state("active", process)
        target = robot.show("red").segments[0].id
        request = Refine.Request(text="it is bigger than that", scope=1, timeout=10.0)
        request.segment_ids.append(target)
        replies = [robot.call_later(Refine, "/rose/refine", request) for _ in range(100)]
        with ThreadPoolExecutor(10) as pool:
            statuses = [reply.status for reply in pool.map(lambda reply: reply(), replies)]
        assert len(statuses) == 100
        assert set(statuses) <= {Status.OK, Status.NO_CHANGE, Status.BUSY}, set(statuses)
        assert statuses.count(Status.OK) + statuses.count(Status.NO_CHANGE) >= 1
        assert robot.show("red").segments
        assert robot.refine("undo").status == Status.OK
