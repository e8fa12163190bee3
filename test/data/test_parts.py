"""Texts about parts mean the pixels of that part, or nothing where it is not there."""

from __future__ import annotations

import numpy as np
import pytest

from rose_ros.data.parts import EVERY_PART, PartDescription, describe_part
from rose_ros.data.tabletop import render
from rose_ros.data.tabletop.vocabulary import NOVEL_PAIRS, PART_NAMES
from rose_ros.data.views import MIN_AREA, LabelledView
from rose_ros.model import prompts
from rose_ros.model.prompts import find_prompt


@pytest.fixture(scope="module")
def view() -> LabelledView:
    return LabelledView.from_scene(render(6, "test", height=240, width=240))


def described(view: LabelledView, count: int = 60) -> list[PartDescription]:
    made = [describe_part(view, np.random.default_rng(seed)) for seed in range(count)]
    return [one for one in made if one is not None]


def test_a_part_is_where_the_view_has_it(view: LabelledView) -> None:
    there = [one for one in described(view) if len(one.masks)]
    assert there
    for one in there:
        for mask, name in zip(one.masks, one.names, strict=True):
            assert {view.part_names[i] for i in np.unique(view.parts[mask])} == {name}
            assert len(np.unique(view.ids[mask])) == 1
            assert np.count_nonzero(mask) >= MIN_AREA
        if one.part:
            assert one.part.rstrip("s") in one.text


def test_every_part_means_all_of_them(view: LabelledView) -> None:
    every = [one for one in described(view) if one.text == EVERY_PART]
    assert every
    assert len({len(one.masks) for one in every}) == 1
    most = max(len(one.masks) for one in described(view) if one.text != EVERY_PART)
    assert len(every[0].masks) >= most


def test_what_training_asks_is_what_perception_asks() -> None:
    assert find_prompt(EVERY_PART) == prompts.EVERY_PART


def test_all_parts_of_a_kind_are_of_that_kind(view: LabelledView) -> None:
    kinds = [one for one in described(view, 200) if one.text.startswith("all ")]
    assert kinds
    for one in kinds:
        assert {name.rstrip("s") for name in one.names} == {one.part.rstrip("s")}


def test_some_parts_are_not_there(view: LabelledView) -> None:
    absent = [one for one in described(view) if not len(one.masks)]
    assert 0.05 < len(absent) / len(described(view)) < 0.4
    for one in absent:
        assert one.part in PART_NAMES
        assert one.names == ()
        assert one.masks.shape == (0, *view.shape)


def test_held_out_pairs_are_not_said() -> None:
    for seed in range(6):
        novel = LabelledView.from_scene(render(seed, "novel", height=120, width=120))
        for one in described(novel, 20):
            assert not [pair for pair in NOVEL_PAIRS if " ".join(pair) in one.text]
