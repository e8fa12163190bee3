"""The model is asked for names of new and changed objects, and of steady ones now and then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.perception.naming import NameSchedule
from rose_ros.perception.segments import SegmentedFrame
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.perception.tracking import TrackerOptions
from rose_ros.runtime.base import Encoding, RegionName

RED, GREEN = ("red", 40, 60, 60, 60), ("green", 200, 60, 60, 50)
BLUE = ("blue", 120, 160, 50, 50)
#: More frames than any interval.
MANY = 40


class Asked:
    """Count the regions that a runtime is asked to name, per frame."""

    def __init__(self, runtime: Any, session: PerceptionSession, paint: Any) -> None:
        self._session, self._paint = session, paint
        self._name = runtime.name
        runtime.name = self.name
        self._stamp_ns = 0
        self.counts: list[int] = []

    def name(
        self, encoding: Encoding, logits: NDArray[np.float32], embeddings: NDArray[np.float32]
    ) -> list[RegionName]:
        self.counts[-1] += len(logits)
        names: list[RegionName] = self._name(encoding, logits, embeddings)
        return names

    def show(self, *boxes: Any) -> SegmentedFrame:
        self.counts.append(0)
        self._stamp_ns += 100_000_000
        return self._session.process(self._paint(*boxes), camera="a", stamp_ns=self._stamp_ns)


@pytest.fixture
def asked(runtime: Any, session: PerceptionSession, paint: Any) -> Asked:
    return Asked(runtime, session, paint)


def test_a_steady_scene_is_named_seldom_and_never_forgotten(asked: Asked) -> None:
    frames = [asked.show(RED, GREEN) for _ in range(4 * 16)]
    assert asked.counts[0] == 2
    assert sum(asked.counts) <= 0.2 * 2 * len(frames)
    assert all(any(asked.counts[i : i + 16]) for i in range(len(frames) - 16))
    for frame in frames:
        assert sorted(s.label.text for s in frame.segments) == ["green bowl", "red mug"]
        assert all(segment.label.score == pytest.approx(0.9) for segment in frame.segments)


def test_only_a_new_object_is_named_when_it_comes(asked: Asked) -> None:
    for _ in range(MANY):
        asked.show(RED, GREEN)
    steady = asked.counts[-1]
    frame = asked.show(RED, GREEN, BLUE)
    assert {s.label.text for s in frame.segments} == {"red mug", "green bowl", "blue box"}
    assert steady == 0
    assert asked.counts[-1] == 1


def test_an_object_that_grows_or_looks_different_is_named_again(asked: Asked, runtime: Any) -> None:
    for _ in range(MANY + 1):
        asked.show(RED, GREEN)
    assert asked.counts[-1] == 0
    asked.show(("red", 40, 60, 60, 100), GREEN)
    assert asked.counts[-1] == 1
    asked.show(("red", 40, 60, 60, 100), GREEN)
    assert asked.counts[-1] == 0
    # In the same place, with another category embedding.
    asked.show(("red", 40, 60, 60, 100), ("yellow", 200, 60, 60, 50))
    assert asked.counts[-1] == 1


def test_an_object_that_moves_on_is_not_named_again(asked: Asked) -> None:
    for step in range(MANY):
        asked.show(("red", 20 + 5 * step, 60, 60, 60))
    assert sum(asked.counts) <= 8


def test_another_name_is_asked_for_sooner_and_wins_when_it_stays(
    asked: Asked, runtime: Any
) -> None:
    for _ in range(MANY):
        asked.show(RED)
    runtime.names["red"] = RegionName("red cup", 0.9)
    labels = [asked.show(RED).segments[0].label.text for _ in range(6 * 16)]
    assert labels[-1] == "red cup"
    changed = labels.index("red cup")
    assert changed >= 8, "one answer changed the label"
    assert labels[changed:] == ["red cup"] * (len(labels) - changed)


def test_names_are_asked_for_in_every_frame_where_that_is_wanted(asked: Asked) -> None:
    asked._session.options = SessionOptions(tracker=TrackerOptions(naming_interval=1))
    for _ in range(10):
        asked.show(RED, GREEN)
    assert asked.counts == [2] * 10


def test_what_cannot_become_a_segment_is_not_named(asked: Asked, runtime: Any) -> None:
    runtime.objectness = {"green": 0.25}
    frame = asked.show(RED, GREEN)
    assert [s.label.text for s in frame.segments] == ["red mug"]
    assert asked.counts == [1]


def test_an_object_that_jumps_is_found_by_its_name(asked: Asked) -> None:
    first = asked.show(RED, GREEN)
    for _ in range(MANY):
        asked.show(RED, GREEN)
    frame = asked.show(("red", 100, 120, 60, 60), GREEN)
    assert {s.id for s in frame.segments} == {s.id for s in first.segments}
    assert asked.counts[-1] == 1


def test_the_schedule_doubles_and_halves() -> None:
    schedule = NameSchedule()
    looks = np.array([1.0, 0.0], np.float32)

    def asked_in(frames: range, *, is_news: bool) -> list[int]:
        asked = []
        for frame in frames:
            if schedule.is_due(frame, 100, looks, 8):
                schedule.note(100, looks, 8, is_news=is_news)
                asked.append(frame)
        return asked

    assert asked_in(range(1, 30), is_news=False) == [1, 4, 8, 16, 24]
    assert asked_in(range(30, 45), is_news=True) == [32, 36, 40, 44]
