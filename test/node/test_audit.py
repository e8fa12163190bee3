"""Refinements are limited in rate and leave a trail; hostile text does no harm anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from rose_ros.msg import Refinement
from rose_ros.node.ratelimit import RateLimit
from rose_ros.perception.segments import Status
from rose_ros.srv import Refine

QOS = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
HOSTILE = "\x1b[2J%n%s{0.__class__} $(reboot) `id`;\r\n[FATAL] forged\x07 \u202egum"


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start(max_refine_rate=0.0) as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


@pytest.fixture
def trail(robot: Any) -> Iterator[list[Refinement]]:
    """What comes on the audit topic, beginning with what was said before."""
    heard: list[Refinement] = []
    subscription = robot.node.create_subscription(
        Refinement, "/rose/refinements", heard.append, QOS
    )
    yield heard
    robot.node.destroy_subscription(subscription)


def entry(robot: Any, trail: list[Refinement], text: str) -> Refinement:
    """Wait for the entry with a text."""
    return robot.wait_until(
        lambda: next((e for e in trail if e.text == text), None), f"an entry {text!r}"
    )


def test_a_correction_is_recorded(robot: Any, trail: list[Refinement]) -> None:
    seen = robot.show("red", "blue")
    target = seen.segments[0].id
    reply = robot.refine("that is a funnel", target)
    assert reply.status == Status.OK, reply.message
    recorded = entry(robot, trail, "that is a funnel")
    assert recorded.kind == Refinement.REFINE
    assert (recorded.status, recorded.scope) == (Status.OK, Refine.Request.TRACK)
    assert list(recorded.requested_ids) == list(recorded.corrected_ids) == [target]
    assert (recorded.camera, recorded.sequence) == ("camera", seen.sequence)
    assert recorded.frame_stamp == seen.header.stamp
    assert abs(recorded.stamp.sec - time.time()) < 100
    assert 0 < recorded.elapsed < 40


def test_refusals_and_clearing_are_recorded_too(robot: Any, trail: list[Refinement]) -> None:
    robot.show("red")
    assert robot.refine("that is a spoon", 4711).status == Status.NO_TARGET
    refused = entry(robot, trail, "that is a spoon")
    assert (refused.status, list(refused.requested_ids)) == (Status.NO_TARGET, [4711])
    assert list(refused.corrected_ids) == []
    assert robot.clear().success
    cleared = robot.wait_until(
        lambda: next((e for e in trail if e.kind == Refinement.CLEAR), None), "the clearing"
    )
    assert (cleared.status, cleared.text) == (Status.OK, "")


def test_whoever_comes_late_hears_it(robot: Any, trail: list[Refinement]) -> None:
    assert entry(robot, trail, "that is a funnel").kind == Refinement.REFINE


def test_hostile_text_is_recorded_clean_and_runs_nothing(
    robot: Any, process: Any, trail: list[Refinement]
) -> None:
    target = robot.show("red").segments[0].id
    for text in (HOSTILE, f'call it "{HOSTILE}"', "x" * 100_000, HOSTILE * 50):
        reply = robot.refine(text, target, camera="\x1b[31mcamera")
        assert reply.message.isprintable(), repr(reply.message)
        reply = robot.refine(text, target)
        assert reply.message.isprintable(), repr(reply.message)
        for segment in robot.show("red").segments:
            assert segment.label.text.isprintable()
            assert len(segment.label.text.encode()) <= 128
    robot.wait_until(lambda: sum("gum" in e.text for e in trail) >= 4, "the entries")
    for recorded in trail:
        for text in (recorded.text, recorded.message, recorded.camera):
            assert text.isprintable(), repr(text)
            assert len(text.encode()) <= 512
    assert "\n[FATAL] forged" not in process.output
    assert robot.clear().success


def test_too_many_refinements_are_refused(robot: Any, trail: list[Refinement]) -> None:
    robot.show("red")
    assert robot.set(max_refine_rate=0.1) == ""
    try:
        request = Refine.Request(text="remove 4712", scope=1)
        waiting = [robot.call_later(Refine, "/rose/refine", request) for _ in range(20)]
        replies = [reply() for reply in waiting]
        busy = [reply for reply in replies if reply.status == Status.BUSY]
        assert len(busy) >= 5
        assert any("max_refine_rate" in reply.message for reply in busy)
        # Only refinements are limited.
        assert robot.find("the red box").status == Status.OK
        assert not any("max_refine_rate" in recorded.message for recorded in trail)
        assert int(robot.diagnostics()["requests"]["refine_busy_count"]) >= 5
    finally:
        assert robot.set(max_refine_rate=0.0) == ""
    assert robot.refine("remove 4712").status == Status.NO_TARGET


def test_the_limit_by_itself() -> None:
    limit = RateLimit(5.0)
    assert [limit.take() for _ in range(8)] == [True] * 5 + [False] * 3
    time.sleep(0.25)
    assert limit.take()
    assert all(RateLimit(0.0).take() for _ in range(1000))
    slow = RateLimit(0.1)
    assert (slow.take(), slow.take()) == (True, False)
