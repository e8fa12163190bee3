"""Corrections through a session: what changes, for how long, and what does not."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from rose_ros.perception.segments import (
    LabelSource,
    RefineReply,
    RefineRequest,
    Scope,
    Segment,
    SegmentedFrame,
    Status,
)
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.runtime.base import RegionName

MUG, HANDLE = ("red", 40, 60, 60, 60), ("pink", 100, 75, 15, 25)
BOWL, BALL = ("green", 200, 60, 60, 50), ("yellow", 150, 150, 40, 40)


class Robot:
    """A camera on a table and a planner in front of it."""

    def __init__(self, session: PerceptionSession, paint: Any) -> None:
        self.session = session
        self.paint = paint
        self.stamp_ns = 0
        self.scene: tuple[Any, ...] = (MUG, BOWL)

    def look(self, *boxes: Any, camera: str = "front") -> SegmentedFrame:
        self.stamp_ns += 100_000_000
        image = self.paint(*(boxes or self.scene))
        return self.session.process(image, camera=camera, stamp_ns=self.stamp_ns)

    def say(self, text: str, *ids: int, **fields: Any) -> RefineReply:
        return self.session.refine(RefineRequest(text, ids, **fields))


@pytest.fixture
def robot(session: PerceptionSession, paint: Any) -> Robot:
    return Robot(session, paint)


def by_id(frame: SegmentedFrame | None) -> dict[int, Segment]:
    assert frame is not None
    return {segment.id: segment for segment in frame.segments}


def content(segment: Segment) -> tuple[Any, ...]:
    """All of a segment that can be compared."""
    label = segment.label.text, round(segment.label.score, 6)
    runs = segment.mask.runs.tolist()
    return label, segment.label_source, segment.revision, segment.area, runs


def test_a_rename_is_published_letter_for_letter_and_follows_the_track(robot: Robot) -> None:
    before = by_id(robot.look())
    reply = robot.say('call it "M8 Hülse"', 1)
    assert reply.status is Status.OK
    (segment,) = reply.segments
    assert (segment.id, segment.label.text, segment.revision) == (1, "m8 hülse", 1)
    assert segment.label_source is LabelSource.FROM_REFINEMENT
    assert [a.text for a in segment.alternatives] == ["red mug"]
    assert reply.frame is not None
    assert reply.frame.stamp_ns == robot.stamp_ns
    assert content(by_id(reply.frame)[2]) == content(before[2])
    for step in range(1, 6):
        now = by_id(robot.look(("red", 40 + 10 * step, 60, 60, 60), BOWL))
        assert (now[1].label.text, now[1].revision) == ("m8 hülse", 1)
        assert now[1].label_source is LabelSource.FROM_REFINEMENT
        assert content(now[2]) == content(before[2])


def test_the_text_alone_can_say_which(robot: Robot) -> None:
    robot.look()
    assert robot.say("that is a cup, not a mug").segments[0].id == 1
    assert robot.say("the green bowl is a dish").segments[0].id == 2
    assert robot.say("segment 2 is a pot").segments[0].label.text == "pot"
    names = {s.id: s.label.text for s in robot.look().segments}
    assert names == {1: "cup", 2: "pot"}
    assert robot.say("the pot is a pan").segments[0].id == 2


def test_the_models_name_stays_known_under_a_planners_name(robot: Robot, runtime: Any) -> None:
    robot.look()
    robot.say("call it cup", 1)
    runtime.names["red"] = RegionName("red kettle", 0.9)
    for _ in range(10):
        segment = by_id(robot.look())[1]
    assert segment.label.text == "cup"
    assert "red kettle" in [a.text for a in segment.alternatives]


def test_scope_frame_is_only_in_the_answer(robot: Robot) -> None:
    before = by_id(robot.look())
    for text, ids in (("call it cup", (1,)), ("remove it", (1,)), ("you missed the ball", ())):
        reply = robot.say(text, *ids, scope=Scope.FRAME)
        assert reply.status is (Status.NO_TARGET if "missed" in text else Status.OK)
    assert {i: content(s) for i, s in by_id(robot.look()).items()} == {
        i: content(s) for i, s in before.items()
    }
    assert robot.say("undo").status is Status.NO_CHANGE


def test_a_removed_segment_stays_away_while_tracked(robot: Robot) -> None:
    robot.look()
    reply = robot.say("that is a reflection", 2)
    assert (reply.status, reply.removed_ids, reply.segments) == (Status.OK, (2,), ())
    assert set(by_id(reply.frame)) == {1}
    for _ in range(4):
        assert set(by_id(robot.look())) == {1}
    for _ in range(40):
        robot.look(MUG)
    assert {s.label.text for s in robot.look().segments} == {"red mug", "green bowl"}


@pytest.mark.parametrize("text", ["call it cup", "remove it"])
def test_scope_session_holds_for_later_tracks(robot: Robot, text: str) -> None:
    robot.look()
    assert robot.say(text, 1, scope=Scope.SESSION).status is Status.OK
    for _ in range(40):
        robot.look(BOWL)
    again = by_id(robot.look())
    assert 1 not in again
    reds = [s for s in again.values() if s.id > 2]
    if text == "remove it":
        assert reds == []
    else:
        (segment,) = reds
        assert segment.label.text == "cup"
        assert segment.label_source is LabelSource.FROM_REFINEMENT
        assert segment.revision == 1
    names = {s.label.text for s in robot.look(camera="rear").segments}
    assert names == ({"green bowl"} if text == "remove it" else {"cup", "green bowl"})
    assert robot.session.clear_refinements() == 1
    assert "red mug" in [s.label.text for s in robot.look().segments]


def test_scope_session_leaves_present_segments_and_others_alone(robot: Robot) -> None:
    robot.look(MUG, BOWL, ("red", 40, 150, 50, 50))
    robot.say("call it cup", 1, scope=Scope.SESSION)
    frame = robot.look(MUG, BOWL, ("red", 40, 150, 50, 50))
    assert sorted(s.label.text for s in frame.segments) == ["cup", "green bowl", "red mug"]


def test_scope_track_ends_with_the_track(robot: Robot) -> None:
    robot.look()
    robot.say("call it cup", 1, scope=Scope.TRACK)
    for _ in range(40):
        robot.look(BOWL)
    assert "cup" not in [s.label.text for s in robot.look().segments]


def test_a_mask_correction_follows_the_moving_object(robot: Robot, runtime: Any) -> None:
    runtime.blind_to = {"pink"}
    before = by_id(robot.look(MUG, HANDLE, BOWL))
    reply = robot.say("include the handle", 1)
    assert reply.status is Status.OK
    (segment,) = reply.segments
    assert segment.id == 1
    assert segment.revision == 1
    assert 350 < segment.area - before[1].area < 400
    assert segment.label == before[1].label
    assert content(by_id(reply.frame)[2]) == content(before[2])
    assert runtime.calls[-1] == "Previous: red mug. include the handle"
    for step in range(1, 6):
        shift = 8 * step
        now = by_id(
            robot.look(("red", 40 + shift, 60, 60, 60), ("pink", 100 + shift, 75, 15, 25), BOWL)
        )
        assert 340 < now[1].area - before[1].area < 420
        assert now[1].revision == 1
        assert content(now[2]) == content(before[2])


def test_a_mask_correction_that_does_something_else_is_left_out(robot: Robot, runtime: Any) -> None:
    runtime.blind_to = {"pink"}
    before = by_id(robot.look(MUG, HANDLE, BOWL))
    robot.say("include the handle", 1)
    huge = ("pink", 100, 0, 80, 240)
    assert by_id(robot.look(MUG, huge, BOWL))[1].area == pytest.approx(before[1].area, abs=5)
    assert by_id(robot.look(MUG, HANDLE, BOWL))[1].area > before[1].area + 350


def test_nothing_is_cut_off_for_the_sake_of_what_is_not_there(robot: Robot, runtime: Any) -> None:
    runtime.blind_to = {"pink"}
    before = by_id(robot.look(MUG, HANDLE, BOWL))
    robot.say("include the handle", 1)
    runtime.answers = {"without the kettle": "without the handle"}
    reply = robot.say("without the kettle", 1)
    assert reply.status is Status.NO_TARGET
    assert "'kettle'" in reply.message
    assert by_id(robot.look(MUG, HANDLE, BOWL))[1].area > before[1].area + 350
    runtime.answers = {}
    assert robot.say("without the handle", 1).status is Status.OK


def test_a_request_is_served_in_the_midst_of_a_frame(robot: Robot, paint: Any) -> None:
    robot.look()
    replies = []

    def let_in() -> None:
        replies.append(robot.say("call it cup", 1) if len(replies) == 0 else robot.say("undo"))
        time.sleep(0.05)

    frame = robot.session.process(paint(MUG, BOWL), camera="front", stamp_ns=1, let_in=let_in)
    assert [reply.status for reply in replies] == [Status.OK, Status.OK]
    assert {s.label.text for s in by_id(frame).values()} == {"red mug", "green bowl"}
    assert frame.timing.waiting >= 0.1


def test_mask_corrections_cost_a_bounded_number_of_passes(runtime: Any, paint: Any) -> None:
    session = PerceptionSession(runtime, SessionOptions(max_mask_corrections=2), session_id=1)
    robot = Robot(session, paint)
    scene = []
    for i, colour in enumerate(("red", "green", "blue")):
        scene += [(colour, 20 + 100 * i, 60, 50, 50), ("pink", 70 + 100 * i, 70, 12, 25)]
    runtime.blind_to = {"pink"}
    areas = {s.id: s.area for s in robot.look(*scene).segments}
    replies = [robot.say("include the handle", i) for i in (1, 2, 3)]
    assert "newest 2" in replies[2].message
    assert "newest" not in replies[1].message
    for _ in range(3):
        runtime.calls.clear()
        now = {s.id: s.area for s in robot.look(*scene).segments}
        assert len(runtime.calls) == 3
        assert [now[i] > areas[i] + 200 for i in (1, 2, 3)] == [False, True, True]


def test_corrections_of_one_mask_add_up(robot: Robot, runtime: Any) -> None:
    runtime.blind_to = {"pink", "yellow"}
    ball = ("yellow", 25, 80, 15, 20)
    before = by_id(robot.look(MUG, HANDLE, ball))[1].area
    robot.say("include the handle", 1)
    reply = robot.say("include the ball", 1)
    assert reply.segments[0].area > before + 600
    assert reply.segments[0].revision == 2
    assert by_id(robot.look(MUG, HANDLE, ball))[1].area > before + 600
    robot.say("undo")
    assert before + 350 < by_id(robot.look(MUG, HANDLE, ball))[1].area < before + 420


def test_without_takes_away(robot: Robot) -> None:
    before = by_id(robot.look(MUG, BOWL))[1].area
    robot.look(MUG, HANDLE, BOWL)
    robot.say("include the handle", 1)
    grown = by_id(robot.look(MUG, HANDLE, BOWL))[1].area
    assert grown > before
    reply = robot.say("without the handle", 1)
    assert reply.segments[0].area == pytest.approx(before, abs=30)


def test_what_is_one_piece_does_not_split(robot: Robot) -> None:
    robot.look()
    assert robot.say("split it", 1).status is Status.NO_CHANGE


def test_a_segment_of_two_parts_splits_and_stays_split(robot: Robot, runtime: Any) -> None:
    """Two red boxes are one thing to this model until it is asked to split them."""
    plain = runtime.encode

    def encode(image: Any) -> Any:
        encoding = plain(image)
        reds = [t for t in encoding.features if t.colour == "red"]
        if len(reds) == 2:
            joined = type(reds[0])("red", reds[0].mask | reds[1].mask)
            others = tuple(t for t in encoding.features if t.colour != "red")
            return replace(encoding, features=(joined, *others))
        return encoding

    runtime.encode = encode
    scene = (("red", 40, 60, 60, 60), ("red", 120, 60, 60, 60), BOWL)
    assert len(robot.look(*scene).segments) == 2
    reply = robot.say("those are two mugs, split it", 1)
    assert reply.status is Status.OK
    assert sorted(s.id for s in reply.segments) == [1, 3]
    for step in range(1, 5):
        moved = (("red", 40 + 6 * step, 60, 60, 60), ("red", 120 + 6 * step, 60, 60, 60), BOWL)
        now = by_id(robot.look(*moved))
        assert set(now) == {1, 2, 3}
        assert [now[i].area for i in (1, 3)] == pytest.approx([3600, 3600], rel=0.07)
        assert now[1].anchor[0] < now[3].anchor[0]
    undone = robot.say("undo")
    assert undone.removed_ids == (3,)
    assert len(robot.look(*scene).segments) == 2


def test_what_means_another_segment_changes_nothing(robot: Robot) -> None:
    before = by_id(robot.look())
    reply = robot.say("not that, the bowl", 1)
    assert reply.status is Status.NO_CHANGE
    assert [s.id for s in reply.segments] == [2]
    assert {i: content(s) for i, s in by_id(robot.look()).items()} == {
        i: content(s) for i, s in before.items()
    }


def test_it_is_the_segment_that_is_corrected(
    robot: Robot, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mug, bowl = (segment.id for segment in robot.look().segments)
    monkeypatch.delattr(type(runtime), "perceive")  # names and places can tell
    reply = robot.say("no, the object to the right of it", mug)
    assert reply.status is Status.NO_CHANGE
    assert [segment.id for segment in reply.segments] == [bowl]
    assert str(bowl) in reply.message


def test_what_means_an_unseen_object_adds_it(robot: Robot, runtime: Any) -> None:
    runtime.blind_to = {"yellow"}
    before = by_id(robot.look(MUG, BOWL, BALL))
    reply = robot.say("not that, the ball", 1)
    assert reply.status is Status.OK
    assert [(s.id, s.label.text) for s in reply.segments] == [(3, "yellow ball")]
    assert content(by_id(reply.frame)[1]) == content(before[1])


def test_a_missed_object_is_added_and_stays(robot: Robot, runtime: Any) -> None:
    runtime.blind_to = {"yellow"}
    robot.look(MUG, BOWL, BALL)
    reply = robot.say("you missed the yellow ball")
    assert reply.status is Status.OK
    assert [(s.id, s.label.text) for s in reply.segments] == [(3, "yellow ball")]
    for step in range(1, 4):
        frame = robot.look(MUG, BOWL, ("yellow", 150 + 5 * step, 150, 40, 40))
        assert set(by_id(frame)) == {1, 2, 3}
    assert robot.say("you missed the yellow ball").status is Status.NO_CHANGE
    undone = robot.say("undo")
    assert (undone.status, undone.removed_ids) == (Status.OK, (3,))
    assert set(by_id(robot.look(MUG, BOWL, BALL))) == {1, 2}
    assert robot.say("you missed the blue box").status is Status.NO_TARGET


def test_undo_goes_back_step_by_step(robot: Robot) -> None:
    robot.look()
    robot.say("call it cup", 1)
    robot.say("call it jug", 1)
    robot.say("remove it", 2)
    restored = robot.say("undo")
    assert [s.id for s in restored.segments] == [2]
    assert set(by_id(robot.look())) == {1, 2}
    assert robot.say("undo").segments[0].label.text == "cup"
    assert by_id(robot.look())[1].label.text == "cup"
    last = robot.say("go back").segments[0]
    assert (last.label.text, last.label_source) == ("red mug", LabelSource.FROM_MODEL)
    now = by_id(robot.look())[1]
    assert (now.label.text, now.label_source) == ("red mug", LabelSource.FROM_MODEL)
    assert now.revision == 4
    assert robot.say("undo").status is Status.NO_CHANGE


def test_undo_of_one_segment_leaves_the_others(robot: Robot) -> None:
    robot.look()
    robot.say("call it cup", 1)
    robot.say("call it pot", 2)
    assert [s.id for s in robot.say("undo 1").segments] == [1]
    assert {s.label.text for s in robot.look().segments} == {"red mug", "pot"}
    assert robot.say("undo", 1).status is Status.NO_CHANGE
    assert [s.id for s in robot.say("undo", 2).segments] == [2]


def test_undo_of_a_session_rule_ends_it_everywhere(robot: Robot) -> None:
    robot.look()
    robot.say("call it cup", 1, scope=Scope.SESSION)
    assert "cup" in [s.label.text for s in robot.look(MUG, BOWL, camera="rear").segments]
    robot.say("undo")
    assert "cup" not in [s.label.text for s in robot.look(MUG, BOWL, camera="rear").segments]


def test_clear_takes_everything_back(robot: Robot) -> None:
    robot.look()
    robot.say("call it cup", 1)
    robot.say("remove it", 2)
    assert robot.session.clear_refinements() == 2
    assert {s.label.text for s in robot.look().segments} == {"red mug", "green bowl"}
    assert robot.session.clear_refinements() == 0


def test_an_older_frame_is_corrected_in_its_own_pixels(robot: Robot, runtime: Any) -> None:
    runtime.blind_to = {"pink"}
    old = robot.look(MUG, HANDLE, BOWL)
    robot.look(("red", 60, 90, 60, 60), ("pink", 120, 105, 15, 25), BOWL)
    reply = robot.say("include the handle", 1, stamp_ns=old.stamp_ns)
    assert reply.status is Status.OK
    assert reply.frame is not None
    assert (reply.frame.stamp_ns, reply.frame.sequence) == (old.stamp_ns, 1)
    assert reply.segments[0].mask.x == 40
    assert (
        by_id(robot.look(("red", 60, 90, 60, 60), ("pink", 120, 105, 15, 25), BOWL))[1].area
        > by_id(old)[1].area + 300
    )


def test_a_correction_is_seen_in_all_held_frames(robot: Robot) -> None:
    old = robot.look()
    robot.look()
    robot.say("call it cup", 1)
    reply = robot.say("the cup is a jug", stamp_ns=old.stamp_ns)
    assert reply.status is Status.OK
    assert by_id(robot.look())[1].label.text == "jug"


@pytest.mark.parametrize(
    ("request_fields", "status"),
    [
        ({"text": ""}, Status.INVALID_REQUEST),
        ({"text": "\n\t"}, Status.INVALID_REQUEST),
        ({"text": "x" * 513}, Status.INVALID_REQUEST),
        ({"text": "call it " + "x" * 200, "segment_ids": (1,)}, Status.INVALID_REQUEST),
        ({"text": "call it cup", "segment_ids": (0,)}, Status.INVALID_REQUEST),
        ({"text": "call it cup", "segment_ids": tuple(range(1, 70))}, Status.INVALID_REQUEST),
        ({"text": "call it cup", "segment_ids": (1,), "camera": "x"}, Status.INVALID_REQUEST),
        ({"text": "call it cup", "segment_ids": (1,), "stamp_ns": -1}, Status.INVALID_REQUEST),
        ({"text": "call it cup", "segment_ids": (1,), "stamp_ns": 5}, Status.STALE_FRAME),
        ({"text": "call it cup", "segment_ids": (1,), "session_id": 5}, Status.STALE_FRAME),
        ({"text": "undo", "session_id": 5}, Status.STALE_FRAME),
        ({"text": "call it cup", "segment_ids": (99,)}, Status.NO_TARGET),
        ({"text": "call it cup"}, Status.NO_TARGET),
        ({"text": "include the handle"}, Status.NO_TARGET),
        ({"text": "that is a cup, not a kettle"}, Status.NO_TARGET),
        ({"text": "include the lid", "segment_ids": (1, 2)}, Status.AMBIGUOUS),
        ({"text": "include the lid", "segment_ids": (1,)}, Status.NOT_UNDERSTOOD),
        ({"text": "hmm", "segment_ids": (1,)}, Status.NOT_UNDERSTOOD),
        ({"text": "wrong", "segment_ids": (1,)}, Status.NOT_UNDERSTOOD),
        ({"text": "good", "segment_ids": (1,)}, Status.NO_CHANGE),
        ({"text": "good"}, Status.NO_CHANGE),
        ({"text": "good", "segment_ids": (99,)}, Status.NO_TARGET),
        ({"text": "call it red mug", "segment_ids": (1,)}, Status.NO_CHANGE),
        ({"text": "without the lid", "segment_ids": (1,)}, Status.NO_CHANGE),
        ({"text": "undo"}, Status.NO_CHANGE),
    ],
)
def test_what_cannot_be_done_says_so_and_changes_nothing(
    robot: Robot, request_fields: dict[str, Any], status: Status
) -> None:
    before = by_id(robot.look())
    reply = robot.session.refine(RefineRequest(**request_fields))
    assert reply.status is status
    assert reply.message
    assert reply.removed_ids == ()
    after = by_id(robot.look())
    assert {i: content(s) for i, s in after.items()} == {i: content(s) for i, s in before.items()}
    assert robot.session.clear_refinements() == 0


def test_the_right_session_id_is_accepted(robot: Robot) -> None:
    robot.look()
    assert robot.say("call it cup", 1, session_id=77).status is Status.OK


def test_ambiguity_returns_the_candidates(robot: Robot) -> None:
    robot.look(MUG, ("red", 200, 150, 50, 50))
    reply = robot.say("that is a cup, not a mug")
    assert reply.status is Status.AMBIGUOUS
    assert [s.id for s in reply.segments] == [1, 2]
    assert "1 (red mug)" in reply.message


def test_before_any_frame_nothing_can_be_meant(robot: Robot) -> None:
    assert robot.say("call it cup", 1).status is Status.STALE_FRAME


def test_history_is_bounded_in_frames_and_seconds(runtime: Any, paint: Any) -> None:
    options = SessionOptions(history_frames=3, history_seconds=10.0)
    robot = Robot(PerceptionSession(runtime, options, session_id=1), paint)
    stamps = [robot.look().stamp_ns for _ in range(5)]
    statuses = [robot.say("good", stamp_ns=stamp).status for stamp in stamps]
    assert statuses == [Status.STALE_FRAME] * 2 + [Status.NO_CHANGE] * 3
    robot.stamp_ns += 20_000_000_000
    robot.look()
    assert robot.say("good", stamp_ns=stamps[-1]).status is Status.STALE_FRAME


def test_several_cameras(robot: Robot) -> None:
    front = robot.look(camera="front")
    rear = robot.look(camera="rear")
    assert robot.say("call it cup", 1).frame.camera == "front"  # type: ignore[union-attr]
    assert robot.say("that is a pot, not a bowl").segments[0].id == 4
    assert robot.say("good", stamp_ns=front.stamp_ns).status is Status.NO_CHANGE
    assert robot.say("good", camera="front", stamp_ns=rear.stamp_ns).status is Status.STALE_FRAME
    assert robot.say("undo", camera="front").segments[0].id == 1
    names = {s.id: s.label.text for s in robot.look(camera="rear").segments}
    assert names == {3: "red mug", 4: "pot"}


def test_a_caller_that_gave_up_changes_nothing(robot: Robot) -> None:
    robot.look()
    request = RefineRequest("call it cup", (1,))
    assert robot.session.refine(request, is_wanted=lambda: False).status is Status.TIMEOUT
    assert by_id(robot.look())[1].label.text == "red mug"


def test_removing_a_part_of_a_mask_asks_the_model(robot: Robot, runtime: Any) -> None:
    robot.look()
    reply = robot.say("remove the handle", 1)
    assert reply.status is Status.NOT_UNDERSTOOD
    assert runtime.calls[-1] == "Previous: red mug. remove the handle"
