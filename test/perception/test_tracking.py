"""Identity through motion, occlusion and flicker; names that stay."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rose_ros.errors import ImageError, RequestError
from rose_ros.perception.masks import decode_runs
from rose_ros.perception.naming import LabelVotes
from rose_ros.perception.segments import SegmentedFrame
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.perception.tracking import TrackerOptions
from rose_ros.runtime.base import RegionName

STEP_NS = 100_000_000


class Film:
    """Feeds frames to a session, ten a second."""

    def __init__(self, session: PerceptionSession, paint: Any) -> None:
        self.session = session
        self.paint = paint
        self.stamp_ns = 0

    def show(self, *boxes: Any, camera: str = "front", after_s: float = 0.1) -> SegmentedFrame:
        self.stamp_ns += round(after_s * 1e9)
        return self.session.process(self.paint(*boxes), camera=camera, stamp_ns=self.stamp_ns)


@pytest.fixture
def film(session: PerceptionSession, paint: Any) -> Film:
    return Film(session, paint)


def ids(frame: SegmentedFrame) -> dict[str, int]:
    return {segment.label.text: segment.id for segment in frame.segments}


RED, GREEN = ("red", 40, 60, 60, 60), ("green", 200, 60, 60, 50)


def test_a_static_scene_stays_the_same(film: Film) -> None:
    first = film.show(RED, GREEN)
    for number in range(2, 8):
        frame = film.show(RED, GREEN)
        assert frame.sequence == number
        assert [(s.id, s.label.text, s.revision) for s in frame.segments] == [
            (s.id, s.label.text, 0) for s in first.segments
        ]
        assert [s.area for s in frame.segments] == [s.area for s in first.segments]


def test_ids_follow_moving_objects_that_cross(film: Film) -> None:
    first = ids(film.show(("red", 20, 60, 50, 50), ("green", 240, 110, 50, 50)))
    for step in range(1, 12):
        frame = film.show(
            ("red", 20 + 20 * step, 60, 50, 50), ("green", 240 - 20 * step, 110, 50, 50)
        )
        assert ids(frame) == first


def test_two_alike_do_not_swap(film: Film) -> None:
    def centres(frame: SegmentedFrame) -> dict[int, float]:
        return {segment.id: segment.anchor[0] for segment in frame.segments}

    first = centres(film.show(("red", 40, 60, 40, 40), ("red", 140, 60, 40, 40)))
    for step in range(1, 6):
        now = film.show(("red", 40 + 12 * step, 60, 40, 40), ("red", 140 + 12 * step, 60, 40, 40))
        assert sorted(now_id for now_id in centres(now)) == sorted(first)
    assert [i for i, _ in sorted(centres(now).items(), key=lambda item: item[1])] == [
        i for i, _ in sorted(first.items(), key=lambda item: item[1])
    ]


def test_an_object_comes_back_under_its_id(film: Film) -> None:
    first = ids(film.show(RED, GREEN))
    for _ in range(5):
        assert ids(film.show(GREEN)) == {"green bowl": first["green bowl"]}
    assert ids(film.show(("red", 55, 70, 60, 60), GREEN)) == first


def test_an_object_gone_for_long_is_a_new_one(film: Film) -> None:
    first = ids(film.show(RED, GREEN))
    for _ in range(40):
        film.show(GREEN)
    again = ids(film.show(RED, GREEN))
    assert again["green bowl"] == first["green bowl"]
    assert again["red mug"] > max(first.values())


def test_few_frames_a_second_do_not_end_tracks(film: Film) -> None:
    first = ids(film.show(RED, GREEN))
    film.show(GREEN, after_s=2.0)
    film.show(GREEN, after_s=2.0)
    assert ids(film.show(RED, GREEN, after_s=2.0)) == first


def test_another_thing_in_the_same_place_keeps_no_name(film: Film) -> None:
    first = ids(film.show(RED))
    frame = film.show(("blue", 250, 150, 50, 50))
    assert ids(frame)["blue box"] != first["red mug"]


def test_ids_are_unique_across_cameras(film: Film) -> None:
    left = ids(film.show(RED, GREEN, camera="left"))
    right = ids(film.show(RED, GREEN, camera="right"))
    assert set(left.values()).isdisjoint(right.values())
    assert ids(film.show(RED, GREEN, camera="left")) == left
    assert film.show(RED, camera="right").sequence == 2


def test_one_wrong_name_does_not_flicker_but_many_win(film: Film, runtime: Any) -> None:
    film.session.options = SessionOptions(tracker=TrackerOptions(naming_interval=1))
    for _ in range(5):
        film.show(RED)
    runtime.names["red"] = RegionName("red cup", 0.9)
    (segment,) = film.show(RED).segments
    assert segment.label.text == "red mug"
    assert [a.text for a in segment.alternatives] == ["red cup"]
    assert segment.label.score > segment.alternatives[0].score
    names = [film.show(RED).segments[0].label.text for _ in range(12)]
    assert names[-1] == "red cup"
    assert sum(a != b for a, b in itertools.pairwise(names)) <= 1


def test_votes_need_a_clear_lead_to_change_the_name() -> None:
    votes = LabelVotes(decay=0.8, margin=1.5)
    rng = np.random.default_rng(0)
    changes, last = 0, ""
    for _ in range(200):
        votes.add("mug" if rng.random() < 0.75 else "cup", 0.6)
        changes += votes.label.text != last
        last = votes.label.text
        assert 0.0 <= votes.label.score <= 1.0
    assert changes <= 10
    votes.add("", 0.0)
    assert votes.label.text == last


def test_a_tracked_object_survives_a_weak_frame_a_new_one_does_not_begin(
    film: Film, runtime: Any
) -> None:
    first = ids(film.show(RED))
    runtime.objectness = {"red": 0.25, "green": 0.25}
    assert ids(film.show(RED, GREEN)) == first
    runtime.objectness = {"red": 0.1}
    assert ids(film.show(RED)) == {}


def test_a_changed_resolution_starts_anew(session: PerceptionSession, paint: Any) -> None:
    first = session.process(paint(RED), camera="front", stamp_ns=1)
    other = session.process(paint(RED, size=(300, 320)), camera="front", stamp_ns=2)
    assert ids(other)["red mug"] > ids(first)["red mug"]
    assert (other.height, other.width) == (300, 320)


def test_an_object_at_the_border_is_truncated_and_masks_fit(film: Film) -> None:
    (segment,) = film.show(("red", -20, 60, 60, 60)).segments
    assert segment.truncated
    x, y = segment.anchor
    assert decode_runs(segment.mask, 240, 320)[int(y), int(x)]


def test_a_wrong_image_changes_nothing(film: Film, session: PerceptionSession) -> None:
    first = film.show(RED)
    with pytest.raises(ImageError):
        session.process(np.zeros((3, 3), np.uint8), camera="front", stamp_ns=film.stamp_ns)
    again = film.show(RED)
    assert ids(again) == ids(first)
    assert again.sequence == 2


def test_reset_begins_new_identities(film: Film, session: PerceptionSession) -> None:
    left = ids(film.show(RED, camera="left"))
    right = ids(film.show(RED, camera="right"))
    session.reset("left")
    assert ids(film.show(RED, camera="left"))["red mug"] > right["red mug"] > left["red mug"]
    assert ids(film.show(RED, camera="right")) == right
    session.reset()
    assert ids(film.show(RED, camera="right")) != right


def test_options_can_be_replaced_while_running(
    film: Film, session: PerceptionSession, runtime: Any
) -> None:
    runtime.objectness = {"red": 0.5}
    assert ids(film.show(RED, GREEN)).keys() == {"red mug", "green bowl"}
    options = session.options
    session.options = replace(
        options, perceiver=replace(options.perceiver, objectness_threshold=0.8)
    )
    assert ids(film.show(RED, GREEN)).keys() == {"green bowl"}


def test_tracker_options_out_of_range_are_refused() -> None:
    with pytest.raises(RequestError, match="switch_margin"):
        TrackerOptions(switch_margin=0.5)
    with pytest.raises(RequestError, match="naming_interval"):
        TrackerOptions(naming_interval=0)
    with pytest.raises(RequestError, match="min_iou"):
        SessionOptions(tracker=TrackerOptions(min_iou=2.0))


def test_times_are_filled(film: Film) -> None:
    timing = film.show(RED, GREEN).timing
    assert timing.inference > 0
    assert timing.postprocess > 0
