"""The worker's rules, without ROS: newest frame, jobs first, fair to cameras, bounded waiting."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

import pytest

from rose_ros.node.worker import BusyError, CameraFrame, Worker

PATIENCE = 20.0


class Bench:
    """A worker whose frames take as long as the test says."""

    def __init__(self) -> None:
        self.seen: list[CameraFrame[str]] = []
        self.go = threading.Semaphore(0)
        self.started = threading.Semaphore(0)
        self.worker: Worker[str] = Worker(self._process, max_waiting=2)

    def _process(self, frame: CameraFrame[str]) -> None:
        self.started.release()
        assert self.go.acquire(timeout=PATIENCE)
        self.seen.append(frame)
        if frame.message == "poison":
            raise RuntimeError("poison")
        if frame.message == "patient":
            self.worker.serve_requests()
            self.started.release()
            assert self.go.acquire(timeout=PATIENCE)

    def wait(self, count: int) -> list[str]:
        end = time.monotonic() + PATIENCE
        while len(self.seen) < count and time.monotonic() < end:
            time.sleep(0.005)
        return [frame.message for frame in self.seen]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.go.release(100)
    assert bench.worker.stop(PATIENCE)


def begin(bench: Bench, *cameras: str) -> None:
    """Open the cameras and let a first frame be worked on."""
    bench.worker.open(cameras)
    bench.worker.offer(cameras[0], "first")
    assert bench.started.acquire(timeout=PATIENCE)


def test_the_newest_frame_wins_and_the_others_are_counted(bench: Bench) -> None:
    begin(bench, "a")
    assert [bench.worker.offer("a", name) for name in "123"] == [False, True, True]
    bench.go.release(2)
    assert bench.wait(2) == ["first", "3"]
    assert [frame.skipped for frame in bench.seen] == [0, 2]


def test_requests_go_before_frames(bench: Bench) -> None:
    begin(bench, "a")
    bench.worker.offer("a", "second")
    order: list[int] = []
    future = bench.worker.request(lambda: order.append(len(bench.seen)))
    bench.go.release(2)
    future.result(PATIENCE)
    assert bench.wait(2) == ["first", "second"]
    assert order == [1]


def test_requests_are_served_in_the_midst_of_a_frame(bench: Bench) -> None:
    bench.worker.open(("a",))
    bench.worker.offer("a", "patient")
    assert bench.started.acquire(timeout=PATIENCE)
    served = [bench.worker.request(lambda i=i: i) for i in range(2)]
    end = bench.worker.submit(lambda: "end of session")
    bench.go.release()
    assert bench.started.acquire(timeout=PATIENCE), "the frame goes on after them"
    assert [future.result(0) for future in served] == [0, 1]
    late = bench.worker.request(lambda: "late")
    assert not end.done()
    bench.go.release()
    assert end.result(PATIENCE) == "end of session"
    assert late.result(PATIENCE) == "late"


def test_what_waits_for_the_frame_holds_back_what_came_after_it(bench: Bench) -> None:
    bench.worker.open(("a",))
    bench.worker.offer("a", "patient")
    assert bench.started.acquire(timeout=PATIENCE)
    order: list[str] = []
    bench.worker.submit(lambda: order.append("end of session"))
    late = bench.worker.request(lambda: order.append("late"))
    bench.go.release()
    assert bench.started.acquire(timeout=PATIENCE)
    assert not late.done()
    bench.go.release()
    late.result(PATIENCE)
    assert order == ["end of session", "late"]


def test_cameras_take_turns(bench: Bench) -> None:
    begin(bench, "a", "b")
    for _ in range(3):
        bench.worker.offer("a", "a")
        bench.worker.offer("b", "b")
        bench.go.release(2)
        end = time.monotonic() + PATIENCE
        while bench.worker.offer("b", "b") and time.monotonic() < end:
            time.sleep(0.005)
    bench.go.release(10)
    seen = bench.wait(6)[1:]
    assert abs(seen.count("a") - seen.count("b")) <= 2


def test_too_many_requests_are_refused(bench: Bench) -> None:
    begin(bench, "a")
    waiting = [bench.worker.request(lambda: 1) for _ in range(2)]
    with pytest.raises(BusyError, match="2 requests are waiting"):
        bench.worker.request(lambda: 2)
    # One that gave up makes room.
    assert waiting[0].cancel()
    third = bench.worker.request(lambda: 3)
    bench.go.release(1)
    assert (waiting[1].result(PATIENCE), third.result(PATIENCE)) == (1, 3)


def test_errors_reach_the_one_who_asked_and_the_thread_goes_on(bench: Bench) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        bench.worker.submit(fail).result(PATIENCE)
    begin(bench, "a")
    bench.go.release(1)
    bench.wait(1)
    bench.worker.offer("a", "poison")
    bench.go.release(1)
    bench.wait(2)
    bench.worker.offer("a", "after")
    bench.go.release(1)
    assert bench.wait(3) == ["first", "poison", "after"]


def test_max_rate_holds_frames_back() -> None:
    seen: list[float] = []
    worker: Worker[str] = Worker(lambda _: seen.append(time.monotonic()), max_waiting=1)
    worker.open(["a"])
    worker.set_max_rates({"a": 10.0, "unknown": 1.0})
    end = time.monotonic() + 1.05
    while time.monotonic() < end:
        worker.offer("a", "frame")
        time.sleep(0.005)
    assert worker.stop(PATIENCE)
    assert 3 <= len(seen) <= 11
    assert min(b - a for a, b in itertools.pairwise(seen)) > 0.09


def test_a_limit_holds_back_its_own_camera_only() -> None:
    seen: list[str] = []
    worker: Worker[str] = Worker(lambda frame: seen.append(frame.camera), max_waiting=1)
    worker.open(["slow", "free"])
    worker.set_max_rates({"slow": 4.0, "free": 0.0})
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        worker.offer("slow", "frame")
        worker.offer("free", "frame")
        time.sleep(0.005)
    assert worker.stop(PATIENCE)
    assert 1 <= seen.count("slow") <= 5
    assert seen.count("free") > seen.count("slow")


def test_one_that_sends_little_goes_first(bench: Bench) -> None:
    begin(bench, "busy", "rare")
    for turn in range(3):
        bench.worker.offer("busy", f"busy {turn}")
        if turn == 1:
            bench.worker.offer("rare", "rare")
        bench.go.release(1)
        bench.wait(turn + 1)
        assert bench.started.acquire(timeout=PATIENCE)
    bench.go.release(10)
    assert bench.wait(4) == ["first", "busy 0", "rare", "busy 2"]


def test_busy_seconds(bench: Bench) -> None:
    assert bench.worker.busy_seconds == 0.0
    assert bench.worker.is_alive
    begin(bench, "a")
    time.sleep(0.05)
    assert bench.worker.busy_seconds >= 0.05
    bench.go.release(1)
    bench.worker.submit(lambda: None).result(PATIENCE)
    end = time.monotonic() + PATIENCE
    while bench.worker.busy_seconds and time.monotonic() < end:
        time.sleep(0.005)
    assert bench.worker.busy_seconds == 0.0


def test_closed_cameras_take_nothing(bench: Bench) -> None:
    assert bench.worker.offer("a", "early") is False
    begin(bench, "a")
    bench.worker.offer("a", "forgotten")
    bench.worker.close()
    bench.worker.offer("a", "late")
    bench.go.release(5)
    bench.worker.submit(lambda: None).result(PATIENCE)
    assert bench.wait(1) == ["first"]


def test_stop_cancels_what_waits() -> None:
    release: Callable[[], None] = threading.Event().set
    gate = threading.Event()
    worker: Worker[str] = Worker(lambda _: None, max_waiting=4)
    running = worker.submit(lambda: gate.wait(PATIENCE))
    time.sleep(0.1)
    waiting = worker.request(release)
    assert worker.stop(0.1) is False
    gate.set()
    assert worker.stop(PATIENCE) is True
    assert running.result(PATIENCE) is True
    for future in (waiting, worker.submit(release)):
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
