"""Descriptions mean exactly the objects that they say."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from rose_ros.data.descriptions import describe
from rose_ros.data.referring import holds, refer, superlative, unique_phrase
from rose_ros.data.tabletop.vocabulary import COLOURS, NOUNS, NOVEL_PAIRS, PART_NAMES, SURFACES
from rose_ros.data.views import MIN_AREA, LabelledView
from rose_ros.data.words import plural
from rose_ros.errors import DataError


@dataclass(frozen=True)
class Thing:
    id: int
    noun: str
    colour: str

    @property
    def name(self) -> str:
        return f"{self.colour} {self.noun}".strip()


def make_view(
    things: list[tuple[str, str, tuple[int, int, int, int]]], size: tuple[int, int] = (120, 160)
) -> LabelledView:
    """Build a view from (colour, noun, box) on a table below a wall."""
    ids = np.full(size, SURFACES["table"], np.uint8)
    ids[: size[0] // 4] = SURFACES["wall"]
    objects = [Thing(number, noun, "") for noun, number in SURFACES.items()]
    for number, (colour, noun, (x0, y0, x1, y1)) in enumerate(things, start=10):
        ids[y0:y1, x0:x1] = number
        objects.append(Thing(number, noun, colour))
    return LabelledView(ids, np.zeros(size, np.uint8), PART_NAMES, tuple(objects))


def random_view(seed: int) -> LabelledView:
    rng = np.random.default_rng(seed)
    things = []
    for _ in range(8):
        x, y = int(rng.integers(0, 140)), int(rng.integers(30, 100))
        box = (x, y, x + int(rng.integers(4, 30)), y + int(rng.integers(4, 30)))
        things.append((COLOURS[rng.integers(4)], NOUNS[rng.integers(6)], box))
    return make_view(things)


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def test_extents_are_measured() -> None:
    view = make_view([("red", "mug", (20, 40, 30, 60))])
    extent = view.extents[10]
    assert extent.area == 200
    assert extent.box == (20, 40, 30, 60)
    assert extent.centroid == pytest.approx((25.0, 50.0))
    assert [obj.name for obj in view.visible] == ["table", "wall", "red mug"]
    assert [obj.name for obj in view.things()] == ["red mug"]


def test_view_refuses_arrays_that_disagree() -> None:
    ids = np.ones((4, 5), np.uint8)
    with pytest.raises(DataError, match="same size"):
        LabelledView(ids, np.zeros((4, 4), np.uint8), PART_NAMES, (Thing(1, "table", ""),))
    with pytest.raises(DataError, match="no object"):
        LabelledView(ids, np.zeros((4, 5), np.uint8), PART_NAMES, (Thing(2, "floor", ""),))
    with pytest.raises(DataError, match="at least 1"):
        LabelledView(ids * 0, np.zeros((4, 5), np.uint8), PART_NAMES, ())


def test_same_generator_same_text() -> None:
    view = random_view(1)
    first = [describe(view, np.random.default_rng(5)) for _ in range(3)]
    assert len(set(first)) == 1


def test_every_text_is_true_of_what_it_means() -> None:
    rng = np.random.default_rng(0)
    nouns = {plural(noun): noun for noun in NOUNS} | {noun: noun for noun in NOUNS}
    empty = several = 0
    for seed in range(60):
        view = random_view(seed)
        by_id = {obj.id: obj for obj in view.visible}
        for _ in range(20):
            text, ids = (described := describe(view, rng)).text, described.ids
            assert list(ids) == sorted(set(ids))
            empty += not ids
            several += len(ids) > 1
            assert all(view.extents[i].area >= MIN_AREA for i in ids)
            said = words(text)
            for number in ids:
                obj = by_id[number]
                named = {nouns[word] for word in said if word in nouns}
                spoken = {"object", "objects", "one", "ones", "thing", "things", "everything"}
                assert obj.noun in named | set(SURFACES) or said & (spoken | {"anything"}), text
    assert empty > 50
    assert several > 100


def test_plain_names_list_all_that_fit_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    checked = 0
    for seed in range(60):
        view = random_view(seed)
        for _ in range(20):
            description = describe(view, rng)
            match = re.fullmatch(r"(?:the|all|both|every|a|an) (\w+) (\w+)", description.text)
            if match is None or match[1] not in COLOURS:
                continue
            colour, word = match.groups()
            noun = next((noun for noun in NOUNS if word in (noun, plural(noun))), "")
            if not noun:
                continue
            truth = tuple(obj.id for obj in view.matching(noun, colour))
            assert description.ids == truth, description.text
            checked += 1
    assert checked > 100


def test_held_out_pairs_are_never_said() -> None:
    colour, noun = sorted(NOVEL_PAIRS)[0]
    view = make_view([(colour, noun, (20, 40, 50, 70)), ("red", "box", (90, 40, 120, 70))])
    rng = np.random.default_rng(0)
    texts = [describe(view, rng).text for _ in range(600)]
    for held_colour, held_noun in NOVEL_PAIRS:
        for text in texts:
            if held_colour in words(text) and words(text) & {held_noun, plural(held_noun)}:
                pair = f"{held_colour} {held_noun}"
                assert pair not in text
                assert not text.startswith(f"the {held_noun} that is {held_colour}")
    assert any(f"the {noun}" == text for text in texts)
    allowed = [describe(view, rng, allow_novel=True).text for _ in range(600)]
    assert any(f"{colour} {noun}" in text for text in allowed)


def test_an_object_too_small_to_mean_makes_its_name_unusable() -> None:
    view = make_view([("red", "mug", (20, 40, 50, 70)), ("red", "mug", (90, 50, 95, 55))])
    target = view.things()[0]
    rng = np.random.default_rng(0)
    assert unique_phrase(view, target, rng) is None
    assert superlative(view, target, rng) is None
    assert all(11 not in describe(view, rng).ids for _ in range(300))


def test_relations_need_a_margin() -> None:
    view = make_view(
        [
            ("red", "mug", (20, 60, 40, 80)),
            ("blue", "box", (80, 60, 100, 80)),
            ("red", "ball", (86, 85, 106, 105)),
        ]
    )
    mug, box, ball = view.matching("mug")[0], view.matching("box")[0], view.matching("ball")[0]
    assert holds(view, "left", mug, box) is True
    assert holds(view, "left", box, mug) is False
    assert holds(view, "right", box, mug) is True
    assert holds(view, "left", box, ball) is None
    assert holds(view, "front", mug, box) is False


def test_superlatives_choose_the_right_one() -> None:
    boxes = [(10, 50, 40, 80), (70, 50, 95, 75), (120, 50, 132, 62)]
    view = make_view([("red", "can", box) for box in boxes])
    rng = np.random.default_rng(0)
    said = {superlative(view, view.things()[0], rng) for _ in range(200)} - {None}
    assert "the leftmost can" in said
    assert not any("right" in str(text) or "smallest" in str(text) for text in said)
    last = {superlative(view, view.things()[2], rng) for _ in range(200)}
    assert {"the rightmost can", "the smallest can"} <= last


def test_refer_gives_nothing_for_what_cannot_be_told_apart() -> None:
    near = make_view([("red", "can", (40, 50, 48, 70)), ("red", "can", (48, 50, 56, 71))])
    far = make_view([("red", "can", (40, 50, 48, 70)), ("red", "can", (80, 50, 88, 71))])
    rng = np.random.default_rng(0)
    assert all(refer(near, near.things()[1], rng) is None for _ in range(50))
    assert refer(far, far.things()[1], rng) is not None


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("box", "boxes"), ("mug", "mugs"), ("die", "dice"), ("wrench", "wrenches"), ("toy", "toys")],
)
def test_plurals(noun: str, expected: str) -> None:
    assert plural(noun) == expected
