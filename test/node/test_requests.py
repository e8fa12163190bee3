"""refine, find and clear_refinements over DDS, with good and bad requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from rose_ros.perception.segments import Status
from rose_ros.srv import Refine


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start(max_waiting_requests=2) as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


@pytest.fixture(autouse=True)
def _fresh(robot: Any) -> Iterator[None]:
    yield
    robot.clear()


def names(message: Any) -> dict[int, str]:
    return {segment.id: segment.label.text for segment in message.segments}


def test_a_renamed_thing_keeps_its_name(robot: Any) -> None:
    before = robot.show("red", "blue")
    target = before.segments[0]
    reply = robot.refine("that is a Funnel", target.id)
    assert (reply.status, names(reply)) == (Status.OK, {target.id: "funnel"}), reply.message
    assert reply.header == before.header
    assert reply.sequence == before.sequence
    assert 0 < reply.elapsed < 30
    assert reply.segments[0].label_source == target.FROM_REFINEMENT
    assert reply.segments[0].revision == target.revision + 1
    for _ in range(3):
        after = robot.show("red", "blue")
        assert names(after) == {**names(before), target.id: "funnel"}
    assert robot.clear().success
    assert names(robot.show("red", "blue")) == names(before)


def test_a_mask_is_corrected_by_the_model(robot: Any) -> None:
    target = robot.show("red").segments[0]
    reply = robot.refine("it is bigger than that", target.id)
    assert reply.status == Status.OK, reply.message
    assert [segment.id for segment in reply.segments] == [target.id]
    assert reply.segments[0].area > 1.1 * target.area


def test_remove_and_undo(robot: Any) -> None:
    before = robot.show("red", "blue")
    gone = before.segments[1].id
    reply = robot.refine(f"remove {gone}")
    assert (reply.status, list(reply.removed_ids)) == (Status.OK, [gone]), reply.message
    assert gone not in names(robot.show("red", "blue"))
    assert robot.refine("undo").status == Status.OK
    assert names(robot.show("red", "blue")) == names(before)


def test_scope_frame_changes_only_the_reply(robot: Any) -> None:
    before = robot.show("red")
    reply = robot.refine("that is a funnel", before.segments[0].id, scope=Refine.Request.FRAME)
    assert list(names(reply).values()) == ["funnel"]
    assert names(robot.show("red")) == names(before)


def test_find_keeps_ids_and_changes_nothing(robot: Any) -> None:
    before = robot.show("red", "blue", "green")
    reply = robot.find("the blue thing")
    blue = next(segment.id for segment in before.segments if "blue" in segment.label.text)
    assert (reply.status, names(reply)) == (Status.OK, {blue: "blue box"}), reply.message
    assert reply.header == before.header
    assert names(robot.show("red", "blue", "green")) == names(before)
    nothing = robot.find("the yellow thing")
    assert (nothing.status, list(nothing.segments)) == (Status.NO_TARGET, [])


@pytest.mark.parametrize(
    ("text", "ids", "fields", "status"),
    [
        ("", (), {}, Status.INVALID_REQUEST),
        ("  \n", (), {}, Status.INVALID_REQUEST),
        ("x" * 5000, (), {}, Status.INVALID_REQUEST),
        ("that is a funnel", (123456,), {}, Status.NO_TARGET),
        ("that is a funnel", (1,), {"scope": 77}, Status.INVALID_REQUEST),
        ("that is a funnel", (1,), {"timeout": -1.0}, Status.INVALID_REQUEST),
        ("that is a funnel", (1,), {"timeout": float("nan")}, Status.INVALID_REQUEST),
        ("that is a funnel", (), {"session_id": 5}, Status.STALE_FRAME),
        ("that is a funnel", (), {"camera": "nowhere"}, None),
        ("explode", (), {"everywhere": True}, Status.INTERNAL_ERROR),
    ],
)
def test_bad_refines_are_answered_and_change_nothing(
    robot: Any, text: str, ids: tuple[int, ...], fields: dict[str, Any], status: Status | None
) -> None:
    before = robot.show("red", "blue")
    if fields.pop("everywhere", False):
        ids = tuple(segment.id for segment in before.segments[:1])
    reply = robot.refine(text, *ids, **fields)
    allowed = [status] if status is not None else list(set(Status) - {Status.OK})
    assert reply.status in allowed, reply.message
    assert reply.message
    assert list(reply.segments) == [] or status is Status.AMBIGUOUS
    assert names(robot.show("red", "blue")) == names(before)


def test_a_stamp_that_was_never_seen_is_stale(robot: Any) -> None:
    stamp = robot.show("red").header.stamp
    stamp.sec -= 3000
    for reply in (robot.refine("that is a funnel", 1, stamp=stamp), robot.find("red", stamp=stamp)):
        assert reply.status == Status.STALE_FRAME, reply.message


def test_bad_finds_are_answered(robot: Any) -> None:
    robot.show("red")
    assert robot.find("").status == Status.INVALID_REQUEST
    assert robot.find("explode").status == Status.INTERNAL_ERROR
    assert "scripted failure" in robot.find("explode").message
    assert robot.find("the red box").status == Status.OK


def test_a_request_that_takes_too_long_changes_nothing(robot: Any) -> None:
    before = robot.show("red")
    started = time.monotonic()
    reply = robot.refine("slowly include more", before.segments[0].id, timeout=0.3)
    assert reply.status == Status.TIMEOUT, reply.message
    assert time.monotonic() - started < 2.0
    assert 0.3 <= reply.elapsed < 1.5
    after = robot.show("red")
    assert after.segments[0].area == before.segments[0].area
    assert after.segments[0].revision == before.segments[0].revision


def test_too_many_requests_are_refused_at_once(robot: Any) -> None:
    robot.show("red")
    request = Refine.Request(text="slowly include more", scope=1)
    request.segment_ids.append(1)
    replies = [robot.call_later(Refine, "/rose/refine", request) for _ in range(8)]
    statuses = [reply().status for reply in replies]
    assert statuses.count(Status.BUSY) >= 4, statuses
    assert robot.find("the red box").status == Status.OK
