"""Texts about parts mean the pixels of that part, or nothing where it is not there."""

from __future__ import annotations

import numpy as np
import pytest

from rose_ros.data.parts import PartDescription, describe_part
from rose_ros.data.tabletop import render
from rose_ros.data.tabletop.vocabulary import NOVEL_PAIRS, PART_NAMES
from rose_ros.data.views import MIN_AREA, LabelledView


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
        labels = {view.part_names[i] for i in np.unique(view.parts[one.masks[0]])}
        assert labels == {one.name}
        assert len(np.unique(view.ids[one.masks[0]])) == 1
        assert np.count_nonzero(one.masks) >= MIN_AREA
        assert one.name in one.text


def test_some_parts_are_not_there(view: LabelledView) -> None:
    absent = [one for one in described(view) if not len(one.masks)]
    assert 0.1 < len(absent) / len(described(view)) < 0.6
    for one in absent:
        assert one.name in PART_NAMES
        assert one.masks.shape == (0, *view.shape)


def test_held_out_pairs_are_not_said() -> None:
    for seed in range(6):
        novel = LabelledView.from_scene(render(seed, "novel", height=120, width=120))
        for one in described(novel, 20):
            assert not [pair for pair in NOVEL_PAIRS if " ".join(pair) in one.text]
