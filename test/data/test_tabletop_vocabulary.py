"""The words of the tabletop world and which of them a split may combine."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rose_ros.data.tabletop import (
    COLOURS,
    NOUNS,
    NOVEL_PAIRS,
    PART_NAMES,
    PARTS,
    SURFACES,
    build_world,
)
from rose_ros.data.tabletop.catalogue import BUILDERS, VARIANTS, accent_of, shape_of
from rose_ros.data.tabletop.vocabulary import colours_of


def test_the_vocabulary_is_large_enough_and_has_no_doubles() -> None:
    assert len(NOUNS) == len(set(NOUNS)) >= 24
    assert len(COLOURS) == len(set(COLOURS)) >= 12
    assert set(BUILDERS) == set(NOUNS)
    assert set(PARTS) <= set(NOUNS)
    assert not set(SURFACES) & set(NOUNS)


def test_novel_pairs_spare_every_word() -> None:
    assert len(NOVEL_PAIRS) >= 24
    assert max(Counter(noun for _, noun in NOVEL_PAIRS).values()) <= 2
    assert max(Counter(colour for colour, _ in NOVEL_PAIRS).values()) <= 3
    assert all(colour in colours_of(noun) for colour, noun in NOVEL_PAIRS)


@pytest.mark.parametrize("noun", NOUNS)
def test_a_mesh_stands_on_the_table_and_carries_its_parts(noun: str) -> None:
    shape = shape_of(noun, VARIANTS - 1, False)
    assert shape.corners.shape == shape.normals.shape == (len(shape.slots), 3, 3)
    assert len(shape.slots) < 2500
    assert shape.corners[..., 2].min() == pytest.approx(0.0, abs=1e-6)
    centre = (shape.corners.min(axis=(0, 1)) + shape.corners.max(axis=(0, 1)))[:2]
    np.testing.assert_allclose(centre, 0.0, atol=1e-6)
    assert 0.03 < shape.extents.max() < 0.34
    np.testing.assert_allclose(np.linalg.norm(shape.normals, axis=2), 1.0, atol=1e-4)
    named = {PART_NAMES[index] for index in np.unique(shape.parts)} - {""}
    assert named == set(PARTS.get(noun, ()))


def test_details_never_repeat_another_colour_name_than_a_neutral_one() -> None:
    rng = np.random.default_rng(0)
    neutral = {"black", "white", "steel", "wooden"}
    for noun in NOUNS:
        for colour in COLOURS:
            assert {accent_of(noun, colour, rng) for _ in range(8)} <= neutral | {colour}


@pytest.mark.parametrize("split", ["train", "test"])
def test_train_and_test_never_contain_a_novel_pair(split: str) -> None:
    nouns, colours = Counter[str](), Counter[str]()
    for seed in range(160):
        for thing in build_world(seed, split).objects[len(SURFACES) :]:
            assert (thing.colour, thing.noun) not in NOVEL_PAIRS
            nouns[thing.noun] += 1
            colours[thing.colour] += 1
    assert set(nouns) == set(NOUNS)
    assert set(colours) == set(COLOURS)
    assert min(nouns.values()) > 0.3 * sum(nouns.values()) / len(NOUNS)


def test_at_least_half_of_a_novel_world_is_novel() -> None:
    seen = set()
    for seed in range(100):
        things = build_world(seed, "novel").objects[len(SURFACES) :]
        novel = [(t.colour, t.noun) for t in things if (t.colour, t.noun) in NOVEL_PAIRS]
        assert 2 * len(novel) >= len(things) >= 1
        seen.update(novel)
    assert seen == NOVEL_PAIRS
