"""Where a text says plainly what kind of change it wants, the model is asked in several ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.data.damage import iou
from rose_ros.data.phrases import HELD_OUT, TRAINING
from rose_ros.perception.parts import part_alone
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.redrawing import redraw

MUG, HANDLE, BOX = ("red", 40, 60, 60, 60), ("pink", 100, 75, 20, 30), ("blue", 200, 60, 60, 60)
SLOTS = {"part": "handle", "noun": "mug", "a_part": "a handle", "is_part": "is", "s_part": "s"}


def filled(*shapes: tuple[str, int, int, int, int]) -> NDArray[np.bool_]:
    mask = np.zeros((240, 320), bool)
    for _, x, y, width, height in shapes:
        mask[y : y + height, x : x + width] = True
    return mask


def redrawn(runtime: Any, image: Any, before: NDArray[np.bool_], text: str) -> NDArray[np.bool_]:
    perceiver = Perceiver(runtime)
    encoding = perceiver.encode(image)
    found = redraw(perceiver, encoding, before, "red mug", text)
    return perceiver.masks(encoding, found)


@pytest.mark.parametrize("kind", ["part", "contradict_part", "too_small_part", "whole"])
def test_which_texts_want_a_part_alone(kind: str) -> None:
    alone = {
        said: part_alone(said)
        for said in (phrase.format(**SLOTS) for phrase in TRAINING[kind] + HELD_OUT[kind])
    }
    if kind == "contradict_part":
        assert alone["only the handle"] == alone["restrict it to the handle"] == "handle"
        assert alone["include the handle"] == alone["without the handle"] == ""
    else:
        assert set(alone.values()) == ({"handle"} if kind == "part" else {""})


def test_a_part_alone_is_what_the_model_sees_when_it_looks_for_parts(
    runtime: Any, paint: Any
) -> None:
    (mask,) = redrawn(runtime, paint(MUG, HANDLE), filled(MUG, HANDLE), "nothing but the handle")
    assert iou(mask, filled(HANDLE)) > 0.9


def test_parts_of_other_things_and_parts_of_other_names_do_not_count(
    runtime: Any, paint: Any
) -> None:
    elsewhere = paint(MUG, HANDLE, BOX)
    assert not len(redrawn(runtime, elsewhere, filled(BOX), "only the handle"))
    assert not len(redrawn(runtime, elsewhere, filled(MUG, HANDLE), "only the lid"))


def test_a_bad_outline_becomes_what_is_drawn_anew_when_the_text_says_nothing(
    runtime: Any, paint: Any
) -> None:
    loose = filled(("", 30, 50, 80, 80))
    (mask,) = redrawn(runtime, paint(MUG, BOX), loose, "the contour is far too generous")
    assert iou(mask, filled(MUG)) > 0.95


def test_an_answer_that_is_another_thing_does_not_move_an_outline(runtime: Any, paint: Any) -> None:
    runtime.answers = {"a smoother outline": "not that, the blue box"}
    (mask,) = redrawn(runtime, paint(MUG, BOX), filled(MUG), "a smoother outline")
    assert iou(mask, filled(MUG)) > 0.95


def test_an_outline_is_the_mean_of_what_is_drawn(runtime: Any, paint: Any) -> None:
    """One answer of two has the handle: the mean has it where that answer is the surer one."""
    runtime.answers = {"the rim is rough": "include the handle"}
    (mask,) = redrawn(runtime, paint(MUG, HANDLE), filled(MUG), "the rim is rough")
    assert iou(mask, filled(MUG)) > 0.95
    runtime.answers["refine the edge"] = "include the handle"
    (mask,) = redrawn(runtime, paint(MUG, HANDLE), filled(MUG), "the rim is rough")
    assert iou(mask, filled(MUG, HANDLE)) > 0.95
