"""A part that nothing in a corrected mask can be changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from rose_ros.perception.parts import part_meant
from rose_ros.perception.segments import RefineRequest, Status
from rose_ros.perception.session import PerceptionSession

MUG, HANDLE = ("red", 40, 60, 60, 60), ("pink", 100, 75, 15, 25)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("include the handle", "handle"),
        ("Only its handles.", "handles"),
        ("it has a lid, include that", "lid"),
        ("cover the left side", ""),
        ("the whole mug, not only the handle", ""),
        ("more than the lid", ""),
        ("without the plate", ""),
    ],
)
def test_what_part_a_text_speaks_of(text: str, part: str) -> None:
    assert part_meant(text) == part


def test_a_part_that_is_not_there_changes_nothing(
    session: PerceptionSession, runtime: Any, paint: Any
) -> None:
    frame = session.process(paint(MUG, HANDLE), camera="front", stamp_ns=1)
    mug = next(one for one in frame.segments if one.label.text == "red mug")
    runtime.answers = {"include the lid": "include the pink"}
    reply = session.refine(RefineRequest("include the lid", (mug.id,)))
    assert reply.status is Status.NO_TARGET
    assert "lid" in reply.message
    runtime.parts = {"lid"}
    assert session.refine(RefineRequest("include the lid", (mug.id,))).status is Status.OK
