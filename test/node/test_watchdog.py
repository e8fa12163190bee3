"""When the watchdog gives a node up, and when it does not; without ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from rose_ros.node.watchdog import Watchdog
from rose_ros.node.worker import Worker

PATIENCE = 20.0


class Kennel:
    """A worker that can be kept busy, and its watchdog."""

    def __init__(self) -> None:
        self.worker: Worker[str] = Worker(lambda _: None, max_waiting=2)
        self.reasons: list[str] = []
        self.watchdog = Watchdog(self.worker, self.reasons.append)
        self.go = threading.Event()

    def busy(self) -> None:
        """Keep the worker busy until ``go`` is set."""
        self.worker.submit(lambda: self.go.wait(PATIENCE))

    def reason(self) -> str:
        """Wait for the node to be given up."""
        end = time.monotonic() + PATIENCE
        while not self.reasons and time.monotonic() < end:
            time.sleep(0.01)
        return self.reasons[0] if self.reasons else ""


@pytest.fixture
def kennel() -> Iterator[Kennel]:
    kennel = Kennel()
    yield kennel
    kennel.go.set()
    kennel.watchdog.stop()
    kennel.worker.stop(PATIENCE)


def test_a_hanging_worker_is_given_up_once(kennel: Kennel) -> None:
    kennel.watchdog.max_seconds = 0.3
    kennel.busy()
    assert "the model has not answered for" in kennel.reason()
    time.sleep(0.8)
    assert len(kennel.reasons) == 1


def test_an_idle_worker_is_not(kennel: Kennel) -> None:
    kennel.watchdog.max_seconds = 0.2
    time.sleep(1.0)
    assert kennel.watchdog.problem() == ""
    assert not kennel.reasons


def test_zero_means_never(kennel: Kennel) -> None:
    kennel.busy()
    for _ in range(1000):
        kennel.watchdog.failed()
    time.sleep(1.0)
    assert not kennel.reasons


def test_time_does_not_count_while_paused(kennel: Kennel) -> None:
    kennel.watchdog.max_seconds = 0.2
    with kennel.watchdog.paused():
        kennel.busy()
        time.sleep(1.0)
        assert not kennel.reasons
        kennel.go.set()
        kennel.worker.submit(lambda: None).result(PATIENCE)
    time.sleep(0.6)
    assert not kennel.reasons


def test_only_failures_in_a_row_count(kennel: Kennel) -> None:
    kennel.watchdog.max_failures = 3
    for _ in range(5):
        kennel.watchdog.failed()
        kennel.watchdog.failed()
        kennel.watchdog.succeeded()
    time.sleep(0.8)
    assert not kennel.reasons
    for _ in range(3):
        kennel.watchdog.failed()
    assert kennel.reason() == "the model failed on 3 frames in a row"


def test_a_dead_worker_is_given_up(kennel: Kennel) -> None:
    kennel.worker.stop(PATIENCE)
    assert kennel.reason() == "the worker's thread has died"
