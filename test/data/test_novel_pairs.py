"""No text of the training generator speaks of a held-out pair, in whatever wording."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from wording import said_pairs

from rose_ros.data.corrections import KINDS, correct
from rose_ros.data.descriptions import describe
from rose_ros.data.tabletop import render
from rose_ros.data.tabletop.vocabulary import COLOURS, NOUNS, NOVEL_PAIRS
from rose_ros.data.views import LabelledView

SCENES = 30
TEXTS_PER_SCENE = 40
TEXTS_PER_KIND = 4


@pytest.mark.parametrize(
    "text",
    [
        "the red funnel",
        "Red funnels",
        "all big red and old funnels.",
        "a funnel that is red",
        "the funnel, the red one",
        "the red one, a funnel",
        "the red thing there is the funnel",
        "a red object: the funnel",
        "the funnel is red",
        "is that funnel not red?",
        "funnel, red",
        "red is the funnel left of the blue box",
        "the funnel left of the box is red",
        "everything red that is a funnel",
        "there is the funnel, I mean the red one",
    ],
)
def test_every_wording_of_a_pair_is_recognised(text: str) -> None:
    assert ("red", "funnel") in said_pairs(text)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("the funnel left of the red box", {("red", "box")}),
        ("the red object in front of the funnel", set()),
        ("the blue funnel and the red one", {("blue", "funnel")}),
        ("not the funnel you marked, the red one", set()),
        ("everything red", set()),
        ("I can see the steel object too", set()),
        ("the red mug, not the funnel", {("red", "mug")}),
    ],
)
def test_a_colour_of_something_else_is_no_pair(text: str, pairs: set[tuple[str, str]]) -> None:
    assert said_pairs(text) == pairs


def training_texts(view: LabelledView, rng: np.random.Generator, novel: bool) -> Iterator[str]:
    """Yield what is said of one scene: names, labels, descriptions and corrections."""
    yield from (one.name for one in view.objects)
    for _ in range(TEXTS_PER_SCENE):
        yield describe(view, rng, allow_novel=novel).text
    for kind in KINDS:
        for _ in range(TEXTS_PER_KIND):
            correction = correct(view, rng, kind, allow_novel=novel)
            if correction is not None:
                yield from (correction.label, correction.text, *correction.target_names)


def collect(split: str, novel: bool) -> tuple[set[tuple[str, str]], dict[str, set[str]]]:
    """Return all pairs said over many scenes, and by held-out pair the texts that say it."""
    pairs, texts = set(), {}
    for seed in range(SCENES):
        view = LabelledView.from_scene(render(seed, split, height=90, width=120))
        for text in training_texts(view, np.random.default_rng(seed), novel):
            said = said_pairs(text)
            pairs |= said
            for colour, noun in said & NOVEL_PAIRS:
                texts.setdefault(f"{colour} {noun}", set()).add(text)
    return pairs, texts


@pytest.mark.timeout(900)
def test_training_says_no_held_out_pair_in_any_wording() -> None:
    pairs, texts = collect("train", novel=False)
    assert texts == {}
    # The words themselves are all there, and most of the other pairs.
    assert {colour for colour, _ in pairs} == set(COLOURS)
    assert {noun for _, noun in pairs} == set(NOUNS)


@pytest.mark.timeout(900)
def test_the_same_scan_finds_them_where_they_are_allowed() -> None:
    _, texts = collect("novel", novel=True)
    assert len(texts) >= len(NOVEL_PAIRS) // 2
    wordings = [text for said in texts.values() for text in said]
    assert any(" that is " in text for text in wordings)
    assert any(text.endswith(" one") for text in wordings)
