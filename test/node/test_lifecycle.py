"""Up and down, illegal and failing transitions: answered, logged, survived."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from rose_ros.perception.segments import Status

#: of the node with its default of four waiting requests
EXECUTOR_THREADS = 9
#: What five rounds may leave behind; the pools of threads and of memory are warm by then.
MAX_GROWTH_MB = 10.0


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start(autostart=False) as process:
        robot.wait_for_state("unconfigured", process)
        yield process
        assert process.running, process.output


@pytest.fixture(autouse=True)
def _unconfigured(robot: Any) -> Iterator[None]:
    yield
    if robot.state() == "active":
        assert robot.change("deactivate")
    if robot.state() == "inactive":
        assert robot.change("cleanup")
    assert robot.state() == "unconfigured"


def test_requests_are_answered_in_every_state(robot: Any) -> None:
    for transition in ("configure", "activate", "deactivate", "cleanup"):
        if robot.state() != "active":
            assert robot.refine("that is a funnel", 1).status == Status.NOT_ACTIVE
            assert robot.find("a funnel").status == Status.NOT_ACTIVE
            assert not robot.clear().success
        assert robot.change(transition)
    assert robot.find("a funnel").status == Status.NOT_ACTIVE


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def memory_of(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_ten_times_up_and_down(robot: Any, process: Any) -> None:
    sessions, threads, memory = set(), [], []
    for _ in range(10):
        assert robot.change("configure")
        assert robot.change("activate")
        message = robot.show("red")
        assert [segment.id for segment in message.segments] == [1]
        assert message.sequence == 1
        sessions.add(message.session_id)
        assert robot.change("deactivate")
        assert robot.state() == "inactive"
        robot.wait_until(lambda: not robot.node.count_subscribers("/camera/image"), "unsubscribed")
        assert robot.change("cleanup")
        robot.wait_until(lambda: not robot.node.count_publishers("/rose/segments"), "unpublished")
        threads.append(threads_of(process.pid))
        memory.append(memory_of(process.pid))
    assert len(sessions) == 10
    # The executor's pool grows to its size when it first needs to; nothing else may grow.
    assert threads[-1] <= threads[0] + EXECUTOR_THREADS, threads
    # test/soak/lifecycle.py does it two hundred times.
    assert memory[-1] < memory[4] + MAX_GROWTH_MB, memory


def test_inactive_keeps_the_model_and_sees_nothing(robot: Any, process: Any) -> None:
    assert robot.change("configure")
    assert robot.change("activate")
    first = robot.show("red")
    assert robot.change("deactivate")
    robot.send(robot.message(robot.picture("red")))
    configured = process.output.count("configured: fake")
    assert robot.change("activate")
    second = robot.show("red")
    assert process.output.count("configured: fake") == configured
    assert second.session_id != first.session_id
    assert next(a.sequence for a in robot.arrays if a.session_id == second.session_id) == 1


def test_illegal_transitions_are_refused(robot: Any, process: Any) -> None:
    for illegal in ("activate", "deactivate", "cleanup"):
        assert not robot.change(illegal)
        assert robot.state() == "unconfigured"
    assert robot.change("configure")
    for illegal in ("configure", "deactivate"):
        assert not robot.change(illegal)
        assert robot.state() == "inactive"
    assert "is not possible while unconfigured" in process.output
    assert robot.change("activate")
    assert robot.show("red").segments


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("missing", "no checkpoint at /nowhere/model.safetensors: no such file"),
        ("broken", "ValueError: tensor of 3 bytes"),
    ],
)
def test_a_model_that_does_not_load(robot: Any, process: Any, model: str, reason: str) -> None:
    assert robot.set(model=model) == ""
    try:
        assert not robot.change("configure")
        assert robot.state() == "unconfigured"
        robot.wait_until(lambda: f"configure failed: {reason}" in process.output, "the reason")
    finally:
        assert robot.set(model="fake") == ""
    assert robot.change("configure")
    assert robot.change("activate")
    assert robot.show("red").segments


def test_cameras_and_topics_must_fit(robot: Any, process: Any) -> None:
    assert robot.set(cameras=["left", "right"]) == ""
    assert not robot.change("configure")
    robot.wait_until(lambda: "give one topic per camera" in process.output, "the reason")
    assert robot.set(cameras=["camera"]) == ""
    assert robot.change("configure")
