"""What the questions compute from what they measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import naming, node, scaling, steps
from benchmarks.images import SPLIT, there_and_back
from benchmarks.measures import BenchmarkError, Row, Target, machine, p95, trend
from benchmarks.node import Arrival
from benchmarks.runtimes import compare
from benchmarks.watch import Frame
from rose_ros.data.tabletop import Scene, SceneObject, build_world
from rose_ros.perception.masks import encode_runs
from rose_ros.perception.segments import Label, LabelSource, Segment, SegmentedFrame


def segment(name: str, left: int, width: int = 10) -> Segment:
    mask = np.zeros((20, 40), bool)
    mask[5:15, left : left + width] = True
    runs = encode_runs(mask)
    label, source = Label(name, 0.9), LabelSource.FROM_MODEL
    area, anchor = int(mask.sum()), (left + 1.0, 6.0)
    nothing = np.zeros(0, np.float32)
    return Segment(1, label, (), source, 0, 0.9, 0.9, runs, area, anchor, False, nothing)


def frame(*segments: Segment) -> SegmentedFrame:
    return SegmentedFrame("a", 1, 1, 20, 40, tuple(segments))


def values(rows: list[Row]) -> dict[str, float]:
    return {row.what: row.value for row in rows}


def test_targets_hold_on_their_own_side() -> None:
    assert Target(at_least=1.8).holds(1.8)
    assert not Target(at_least=1.8).holds(1.7)
    assert Target(at_most=8.0).holds(8.0)
    assert not Target(at_most=8.0).holds(8.1)
    row = Row("q", "w", 2.0, "x", "higher", Target(at_least=1.8))
    assert (row.ok, row.is_ratio, row.to_json()["target"]) == (True, True, ">= 1.8 x")
    assert replace(row, target=None).ok is None


def test_a_trend_is_the_rise_and_single_slow_frames_are_none() -> None:
    times = np.linspace(0.0, 60.0, 200)
    flat = np.full(200, 0.2)
    flat[[3, 77, 198]] = 5.0
    assert trend(times, flat) == pytest.approx(0.0, abs=1e-6)
    assert trend(times, 0.2 + 0.1 * times / 60) == pytest.approx(0.1 / 0.25, rel=0.02)
    with pytest.raises(BenchmarkError, match="too few"):
        trend([1.0], [1.0])


def test_the_machine_is_described_by_its_kind() -> None:
    described = machine()
    assert set(described) == {"cpu", "cores", "python", "packages"}
    assert described["cores"] >= 1
    assert described["cpu"]


def test_results_are_compared_mask_by_mask() -> None:
    first = frame(segment("red mug", 0), segment("blue box", 20))
    same = compare(first, first)
    assert (same.ious, same.names, same.paired) == ((1.0, 1.0), 2, 2)
    other = compare(first, frame(segment("red mug", 1), segment("red box", 20)))
    assert other.ious == pytest.approx((9 / 11, 1.0))
    assert (other.names, other.paired) == (1, 2)
    missing = compare(first, frame(segment("red mug", 0)))
    assert missing.ious == (1.0, 0.0)
    assert missing.paired == 1
    assert compare(first, frame()).ious == (0.0, 0.0)
    assert compare(frame(), first).ious == ()


def test_names_are_right_where_the_object_has_them() -> None:
    ids = np.ones((20, 40), np.uint8)
    ids[:, 20:] = 2
    objects = tuple(
        SceneObject(i, noun, colour, (0, 0, 0), (1, 1, 1))
        for i, noun, colour in ((1, "mug", "red"), (2, "box", "blue"))
    )
    nothing: Any = np.zeros(0)
    scene = Scene(nothing, ids, ids, (), nothing, nothing, nothing, nothing, objects)
    shown = frame(segment("red mug", 0), segment("red box", 25))
    assert naming.right_names([shown], [scene]) == 0.5
    with pytest.raises(BenchmarkError, match="no segment"):
        naming.right_names([frame()], [scene])


def test_worlds_have_the_objects_they_stand_for() -> None:
    for count, seeds in scaling.WORLDS.items():
        assert scaling.objects_of(build_world(seeds[0], SPLIT)) == count


def test_growth_is_linear_at_100_percent() -> None:
    found = dict.fromkeys((1, 4, 12), 3.0)
    growth = "growth per object against the cost of one"
    linear = values(scaling.rows({1: 10.0, 4: 40.0, 12: 120.0}, found))
    assert linear[growth] == pytest.approx(100.0)
    mild = values(scaling.rows({1: 50.0, 4: 60.0, 12: 80.0}, found))
    assert mild[growth] == pytest.approx(100 * 0.2 / 3)
    steep = scaling.rows({1: 10.0, 4: 30.0, 12: 200.0}, found)
    assert [row.ok for row in steep if row.what == growth] == [False]


def test_a_camera_that_is_too_fast_gives_rate_age_and_trend() -> None:
    own, period = 0.1, 0.105
    arrivals = [Arrival(n * period, 0.15 + 0.0001 * (n % 3), own, 3 * n) for n in range(200)]
    rows = node.overload_rows(arrivals, 30.0)
    assert [row.ok for row in rows] == [True, True, True]
    rate, age, rise = (row.value for row in rows)
    assert rate == pytest.approx(100 * own / period)
    limit = 2.2 * own + 1 / 30
    assert age == pytest.approx(100 * p95([a.age for a in arrivals]) / limit)
    assert rise == pytest.approx(0.0, abs=0.5)
    growing = [replace(a, age=0.15 + 0.001 * n) for n, a in enumerate(arrivals)]
    assert [row.ok for row in node.overload_rows(growing, 30.0)] == [True, False, False]


def test_what_the_node_adds_is_all_but_the_perceiver() -> None:
    own = {"encode": 0.06, "name": 0.04}
    timed = Frame(480, 640, 0.106, {**own, "decode": 0.001, "publish": 0.002, "other": 0.001})
    strange = Frame(0, 0, 9.0, {"other": 9.0})
    found = steps.summarise([strange, timed, timed], {(480, 640): [0.11, 0.11]})
    numbers = values(found.rows)
    assert numbers["node overhead, 640x480"] == pytest.approx(6.0)
    assert numbers["the same from sending to receiving the array, 640x480"] == pytest.approx(10.0)
    assert numbers["receive to publish, 640x480"] == pytest.approx(106.0)
    assert found.steps["640x480"]["encode"] == pytest.approx(60.0)
    with pytest.raises(BenchmarkError, match="2 frames of 640x480 came back, 1 were timed"):
        steps.summarise([timed], {(480, 640): [0.11, 0.11]})


def test_a_camera_goes_there_and_back() -> None:
    walk = there_and_back(3, 2)
    assert [next(walk) for _ in range(10)] == [0, 0, 1, 1, 2, 2, 1, 1, 0, 0]
    assert [next(there_and_back(1, 1)) for _ in range(3)] == [0, 0, 0]
