"""Looking for a description: what is returned, and that nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from rose_ros.perception.segments import FindRequest, LabelSource, RefineRequest, Status
from rose_ros.perception.session import PerceptionSession

MUG, BOWL, BALL = ("red", 40, 60, 60, 60), ("green", 200, 60, 60, 50), ("yellow", 150, 150, 40, 40)


@pytest.fixture
def looking(session: PerceptionSession, paint: Any, runtime: Any) -> PerceptionSession:
    """Return a session that saw a mug and a bowl, but not the ball beside them."""
    runtime.blind_to = {"yellow"}
    session.process(paint(MUG, BOWL, BALL), camera="front", stamp_ns=10)
    return session


def test_what_is_tracked_keeps_its_id_and_published_name(looking: PerceptionSession) -> None:
    looking.refine(RefineRequest("call it cup", (1,)))
    reply = looking.find(FindRequest("the red mug"))
    assert reply.status is Status.OK
    (segment,) = reply.segments
    assert (segment.id, segment.label.text, segment.revision) == (1, "cup", 1)
    assert segment.label_source is LabelSource.FROM_REFINEMENT
    assert reply.frame is not None
    assert (reply.frame.camera, reply.frame.stamp_ns) == ("front", 10)


def test_a_name_made_up_by_a_planner_is_found(looking: PerceptionSession) -> None:
    looking.refine(RefineRequest('call it "spare flurb"', (1,)))
    reply = looking.find(FindRequest("the spare flurb"))
    assert reply.status is Status.OK
    assert [(one.id, one.label.text) for one in reply.segments] == [(1, "spare flurb")]


def test_what_is_not_tracked_has_id_0(looking: PerceptionSession, paint: Any) -> None:
    (segment,) = looking.find(FindRequest("the yellow ball")).segments
    assert (segment.id, segment.label.text) == (0, "yellow ball")
    frame = looking.process(paint(MUG, BOWL, BALL), camera="front", stamp_ns=20)
    assert [s.id for s in frame.segments] == [1, 2]


def test_several_that_fit_all_come(looking: PerceptionSession, paint: Any) -> None:
    image = paint(MUG, BOWL, ("red", 40, 160, 50, 50))
    looking.process(image, camera="front", stamp_ns=20)
    assert [s.id for s in looking.find(FindRequest("a mug")).segments] == [1, 3]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"text": ""}, Status.INVALID_REQUEST),
        ({"text": "x" * 600}, Status.INVALID_REQUEST),
        ({"text": "the mug", "camera": "rear"}, Status.INVALID_REQUEST),
        ({"text": "the mug", "stamp_ns": 11}, Status.STALE_FRAME),
        ({"text": "the blue box"}, Status.NO_TARGET),
    ],
)
def test_what_cannot_be_found_says_so(
    looking: PerceptionSession, fields: dict[str, Any], status: Status
) -> None:
    reply = looking.find(FindRequest(**fields))
    assert reply.status is status
    assert reply.segments == ()
    assert reply.message


def test_before_any_frame(session: PerceptionSession) -> None:
    assert session.find(FindRequest("the mug")).status is Status.STALE_FRAME
