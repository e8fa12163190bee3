"""Each step is timed where it happens, once, and nothing else changes."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from benchmarks.watch import OWN_STEPS, STEPS, Frame, Stopwatch, medians
from rose_ros.perception import following
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.session import PerceptionSession

NAMING = 0.02
BRIGHT = np.full((48, 64, 3), 200, np.uint8)


def process(watch: Stopwatch, runtime: Any, count: int) -> list[Any]:
    session = PerceptionSession(watch.watch(runtime))
    frames = []
    with watch.installed():
        for number in range(count):
            with watch.frame():
                frames.append(session.process(BRIGHT, camera="a", stamp_ns=number + 1))
    return frames


def test_each_step_is_timed_where_it_happens(slow_runtime: Any) -> None:
    watch = Stopwatch()
    process(watch, slow_runtime, 1)
    (frame,) = watch.frames
    masks = {"decode masks", "sharpen masks", "overlap"}
    steps = {"encode", "perceive", "name", "tracking", "other"} | masks
    assert set(frame.steps) == steps
    assert frame.steps["name"] >= NAMING
    assert frame.seconds == pytest.approx(sum(frame.steps.values()))
    assert frame.own == pytest.approx(frame.seconds - frame.steps["other"])
    assert frame.steps["tracking"] < frame.seconds - NAMING, "naming was counted twice"


def test_timing_changes_no_result_and_leaves_nothing_behind(slow_runtime: Any) -> None:
    original = following.exclusive_shapes
    plain = Perceiver(type(slow_runtime)()).segment(BRIGHT).segments
    (timed,) = process(Stopwatch(), slow_runtime, 1)
    assert [s.label for s in timed.segments] == [s.label for s in plain]
    assert [s.area for s in timed.segments] == [s.area for s in plain] == [24 * 32]
    assert following.exclusive_shapes is original


def test_steps_inside_steps_are_counted_once() -> None:
    watch = Stopwatch()
    inner = watch.timed(lambda: time.sleep(0.02), "name")

    def work() -> None:
        inner()
        inner()
        time.sleep(0.01)

    with watch.frame():
        watch.timed(work, "tracking")()
    steps = watch.frames[0].steps
    assert steps["name"] >= 0.04
    assert 0.01 <= steps["tracking"] < 0.02 + steps["name"]
    assert sum(steps.values()) == pytest.approx(watch.frames[0].seconds)


def test_other_threads_and_times_between_frames_do_not_count() -> None:
    watch = Stopwatch()
    step = watch.timed(lambda: 1, "publish")
    assert step() == 1
    with watch.frame():
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert set(watch.frames[0].steps) == {"other"}


def test_a_frame_that_waited_is_as_long_as_from_when_it_came() -> None:
    watch = Stopwatch()
    with watch.frame(time.monotonic() - 0.5):
        watch.size = (48, 64)
    (frame,) = watch.frames
    assert frame.seconds >= 0.5
    assert (frame.height, frame.width) == (48, 64)
    assert sum(frame.steps.values()) < 0.5


def test_medians_are_milliseconds_in_the_order_of_a_frame() -> None:
    frames = [Frame(1, 1, 0.1, {"name": n * 1e-3, "decode": 2e-3}) for n in (1, 2, 9)]
    assert medians(frames) == {"decode": pytest.approx(2.0), "name": pytest.approx(2.0)}
    assert list(medians(frames)) == ["decode", "name"]


def test_the_perceiver_has_the_steps_between_decoding_and_the_message() -> None:
    assert STEPS[STEPS.index("preprocess") : STEPS.index("message")] == OWN_STEPS


def test_what_is_timed_in_the_node_exists() -> None:
    pytest.importorskip("rclpy")
    from benchmarks.timed_node import PLACES, TimedNode
    from rose_ros.node.perception_node import PerceptionNode

    for owner, name, step in PLACES:
        assert callable(getattr(owner, name)), (owner, name)
        assert step in STEPS
    for name in ("_process", "_publish"):
        assert getattr(TimedNode, name) is not getattr(PerceptionNode, name)
