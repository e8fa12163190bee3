"""Whatever planners say about whatever a model sees: an answer by the rules, and sound frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rose_ros.node.audit import one_line
from rose_ros.perception.masks import decode_runs
from rose_ros.perception.perceiver import MAX_NAME_BYTES, clean_name
from rose_ros.perception.segments import (
    FindRequest,
    RefineRequest,
    Scope,
    SegmentedFrame,
    Status,
)
from rose_ros.perception.session import PerceptionSession

#: What breaks terminals, shells, format strings, XML and languages with templates.
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "$(reboot) `id` ; rm -rf / # && |",
    "%n%s%x {0.__class__} {} ${HOME} \\u0000",
    "<script>alert(1)</script> &lt;!ENTITY",
    "../../etc/passwd\x00.png",
    "'; DROP TABLE segments; --",
    "mug\r\n[FATAL] [rose]: forged line",
    "\u202egum der\u202c \u200b\ufeff",
    "\ud800 half",
    "mu\u0301g " * 90,
    "🍵" * 200,
)
SENTENCES = (
    "that is a bowl, not a mug",
    "segment 1 is a funnel",
    "remove {id}",
    "{id} is wrong",
    "undo",
    "good",
    "include the handle",
    "without the plate",
    "only the lid",
    "split it",
    "you missed the screwdriver on the left",
    'call it "{text}"',
    "that is a {text}",
    "rename {id} to {text}",
    "segments {id}, 2 and 3 are the same",
)
ANY_TEXT = st.one_of(st.text(max_size=80), st.sampled_from(HOSTILE), st.just("x" * 600))
TEXTS = st.one_of(
    ANY_TEXT,
    st.builds(
        lambda sentence, number, text: sentence.replace("{id}", str(number)).replace(
            "{text}", text
        ),
        st.sampled_from(SENTENCES),
        st.integers(0, 12),
        ANY_TEXT,
    ),
)
IDS = st.lists(st.one_of(st.integers(0, 8), st.just(2**32 - 1)), max_size=4)
CAMERAS = st.sampled_from(["", "left", "right", "nowhere", "\x1b[31m"])
STAMPS = st.one_of(st.just(0), st.integers(0, 12), st.just(2**63))
FRAMES = st.tuples(
    st.just("frame"), st.integers(0, 255), st.sampled_from([(24, 32), (32, 24), (1, 1), (40, 40)])
)
REFINES = st.tuples(st.just("refine"), TEXTS, IDS, CAMERAS, STAMPS, st.sampled_from(list(Scope)))
FINDS = st.tuples(st.just("find"), TEXTS, CAMERAS, STAMPS)
OTHERS = st.sampled_from([("clear",), ("reset",)])
STEPS = st.lists(st.one_of(FRAMES, FRAMES, REFINES, FINDS, OTHERS), min_size=2, max_size=14)


def check_text(text: str, most: int = MAX_NAME_BYTES) -> None:
    """Check that a published name is short and has nothing in it that is not to be seen."""
    assert text.isprintable(), repr(text)
    assert len(text.encode()) <= most


def check_frame(frame: SegmentedFrame) -> None:
    """Check what holds of every published frame."""
    ids = [segment.id for segment in frame.segments]
    assert ids == sorted(set(ids))
    taken = np.zeros((frame.height, frame.width), bool)
    for segment in frame.segments:
        mask = decode_runs(segment.mask, frame.height, frame.width)
        assert int(mask.sum()) == segment.area > 0
        assert not (mask & taken).any()
        taken |= mask
        x, y = segment.anchor
        assert mask[int(y), int(x)]
        assert 0 <= segment.score <= 1
        assert 0 <= segment.mask_quality <= 1
        for label in (segment.label, *segment.alternatives):
            check_text(label.text)
            assert 0 <= label.score <= 1


@given(st.lists(ANY_TEXT, max_size=4), STEPS)
def test_a_session_stays_sound(
    wild: Callable[[list[str]], Any], names: list[str], steps: list[tuple[Any, ...]]
) -> None:
    session = PerceptionSession(wild(names), session_id=5)
    stamps = itertools.count(1)
    cameras = itertools.cycle(["left", "left", "right"])
    seen: dict[str, int] = {}
    for kind, *step in steps:
        if kind == "frame":
            value, (height, width) = step
            image = np.full((height, width, 3), value, np.uint8)
            camera = next(cameras)
            frame = session.process(image, camera=camera, stamp_ns=next(stamps))
            seen[camera] = seen.get(camera, 0) + 1
            assert frame.sequence == seen[camera]
            check_frame(frame)
        elif kind == "refine":
            text, ids, camera, stamp, scope = step
            request = RefineRequest(text, tuple(ids), camera, stamp, 0, scope)
            reply = session.refine(request)
            assert reply.status in set(Status) - {Status.BUSY, Status.NOT_ACTIVE}
            assert reply.status is not Status.INTERNAL_ERROR
            assert reply.message
            for segment in reply.segments:
                check_text(segment.label.text)
            if reply.status not in (Status.OK, Status.AMBIGUOUS, Status.NO_CHANGE):
                assert not reply.segments
                assert not reply.removed_ids
        elif kind == "find":
            text, camera, stamp = step
            reply = session.find(FindRequest(text, camera, stamp))
            assert reply.message
            assert bool(reply.segments) == (reply.status is Status.OK)
        elif kind == "clear":
            assert session.clear_refinements() >= 0
        else:
            session.reset("left")
            session.reset()


@given(ANY_TEXT)
def test_a_models_name_is_published_clean(text: str) -> None:
    name = clean_name(text)
    check_text(name)
    assert clean_name(name) == name


@given(ANY_TEXT, st.integers(1, 600))
def test_what_is_recorded_is_one_clean_line(text: str, most: int) -> None:
    check_text(one_line(text, most), most)


def test_a_text_of_megabytes_costs_nothing() -> None:
    assert len(one_line("ä\n" * 5_000_000, 512)) <= 512
