"""Synthetic corrections: previous masks that are wrong as said, targets that are right."""

from __future__ import annotations

import re
import string
import time
from dataclasses import dataclass

import numpy as np
import pytest

from rose_ros.data import damage
from rose_ros.data.corrections import KINDS, LEARNED, Correction, correct
from rose_ros.data.phrases import HELD_OUT, TRAINING
from rose_ros.data.tabletop.vocabulary import NOVEL_PAIRS, PART_NAMES, SURFACES
from rose_ros.data.views import LabelledView
from rose_ros.errors import DataError

HANDLE, LID = PART_NAMES.index("handle"), PART_NAMES.index("lid")


@dataclass(frozen=True)
class Thing:
    id: int
    noun: str
    colour: str

    @property
    def name(self) -> str:
        return f"{self.colour} {self.noun}".strip()


@pytest.fixture(scope="module")
def view() -> LabelledView:
    """A red mug with a handle on a plate, two touching cans and a blue box with a lid."""
    ids = np.full((120, 160), SURFACES["table"], np.uint8)
    ids[:25] = SURFACES["wall"]
    parts = np.zeros_like(ids)
    ids[70:90, 10:60] = 10
    ids[40:72, 20:50] = 11
    parts[48:64, 42:50] = HANDLE
    ids[50:75, 80:95] = 12
    ids[50:75, 95:110] = 13
    ids[80:110, 110:150] = 14
    parts[80:88, 110:150] = LID
    objects = [Thing(number, noun, "") for noun, number in SURFACES.items()]
    names = ["green plate", "red mug", "blue can", "yellow can", "blue box"]
    for number, name in enumerate(names, start=10):
        colour, noun = name.split()
        objects.append(Thing(number, noun, colour))
    return LabelledView(ids, parts, PART_NAMES, tuple(objects))


def many(view: LabelledView, kind: str, count: int = 60, **options: bool) -> list[Correction]:
    rng = np.random.default_rng(0)
    made = [correct(view, rng, kind, **options) for _ in range(count)]
    return [correction for correction in made if correction is not None]


def score(mask: np.ndarray, correction: Correction) -> float:
    return damage.iou(mask, correction.target_masks.any(axis=0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_kind_is_made_and_well_formed(view: LabelledView, kind: str, held_out: bool) -> None:
    made = many(view, kind, held_out=held_out)
    assert len(made) >= 20
    for correction in made:
        assert correction.kind == kind
        assert correction.previous_mask.shape == view.shape
        assert correction.previous_mask.dtype == bool
        assert correction.target_masks.shape[1:] == view.shape
        assert correction.target_masks.dtype == bool
        assert len(correction.target_masks) == len(correction.target_ids)
        assert len(correction.target_names) == len(correction.target_ids)
        assert correction.text
        assert "{" not in correction.text
        assert "None" not in correction.text
        assert all(mask.any() for mask in correction.target_masks)
        assert correction.previous_mask.any() == (kind != "missed")
        assert bool(correction.label) == (kind != "missed")


@pytest.mark.parametrize("kind", ["too_small", "too_big", "merge", "whole", "part", "edge"])
def test_the_previous_mask_is_the_right_object_done_badly(view: LabelledView, kind: str) -> None:
    for correction in many(view, kind):
        assert len(correction.target_masks) == 1
        assert 0.02 < score(correction.previous_mask, correction) < 0.99


def test_too_small_and_too_big_err_on_their_side(view: LabelledView) -> None:
    for correction in many(view, "too_small"):
        extra = correction.previous_mask & ~correction.target_masks[0]
        missing = correction.target_masks[0] & ~correction.previous_mask
        assert missing.sum() > extra.sum()
    for correction in many(view, "too_big"):
        extra = correction.previous_mask & ~correction.target_masks[0]
        missing = correction.target_masks[0] & ~correction.previous_mask
        assert extra.sum() > missing.sum()


def test_a_missing_part_is_named(view: LabelledView) -> None:
    with_part = [c for c in many(view, "too_small", 200) if "handle" in c.text.lower()]
    assert with_part
    handle = view.part_mask(11, "handle")
    for correction in with_part:
        assert correction.target_ids == (11,)
        assert (correction.previous_mask & handle).sum() < 0.35 * handle.sum()


def test_too_big_names_what_is_too_much(view: LabelledView) -> None:
    named = [c for c in many(view, "too_big", 200) if "plate" in c.text.lower()]
    named = [correction for correction in named if correction.target_ids == (11,)]
    assert named
    plate = view.mask(10)
    assert all((correction.previous_mask & plate).sum() > 20 for correction in named)


def test_wrong_object_has_another_object_and_its_label(view: LabelledView) -> None:
    names = {obj.id: obj.name for obj in view.objects}
    for correction in many(view, "wrong_object"):
        assert score(correction.previous_mask, correction) < 0.1
        assert correction.label != names[correction.target_ids[0]]


def test_split_gives_every_object(view: LabelledView) -> None:
    for correction in many(view, "split"):
        assert len(correction.target_masks) in (2, 3)
        assert len(set(correction.target_ids)) == len(correction.target_ids)
        assert score(correction.previous_mask, correction) > 0.6


def test_part_and_whole_name_the_part(view: LabelledView) -> None:
    for correction in many(view, "part"):
        assert correction.target_names[0] in ("handle", "lid")
        assert correction.target_names[0] in correction.text.lower()
    for correction in many(view, "whole"):
        assert correction.target_names[0] in ("red mug", "blue box")


@pytest.mark.parametrize("kind", ["confirm", "contradict", "wrong_name"])
def test_what_must_not_change_does_not(view: LabelledView, kind: str) -> None:
    for correction in many(view, kind):
        assert np.array_equal(correction.previous_mask, correction.target_masks[0])


def test_contradictions_speak_of_what_is_absent(view: LabelledView) -> None:
    present = ("mug", "plate", "can ", "box")
    for correction in many(view, "contradict", 200):
        text = correction.text.lower().replace(correction.label, "")
        assert correction.target_ids != (11,) or "handle" not in text
        assert not any(f"the {noun}" in text for noun in present)


def test_false_alarm_lies_on_the_background_and_leaves_nothing(view: LabelledView) -> None:
    things = np.isin(view.ids, [obj.id for obj in view.things()])
    for correction in many(view, "false_alarm"):
        assert len(correction.target_masks) == 0
        outside = correction.previous_mask & things
        assert outside.sum() <= 0.05 * correction.previous_mask.sum()


def test_no_kind_draws_only_what_the_model_learns(view: LabelledView) -> None:
    rng = np.random.default_rng(0)
    kinds = [correct(view, rng) for _ in range(300)]
    assert {correction.kind for correction in kinds if correction} == set(LEARNED)


def test_an_empty_table_makes_only_false_alarms() -> None:
    ids = np.full((60, 80), SURFACES["table"], np.uint8)
    table = (Thing(SURFACES["table"], "table", ""),)
    empty = LabelledView(ids, np.zeros_like(ids), PART_NAMES, table)
    rng = np.random.default_rng(0)
    assert correct(empty, rng) is None
    assert [kind for kind in KINDS if correct(empty, rng, kind) is not None] == ["false_alarm"]


def test_unknown_kind_is_refused(view: LabelledView) -> None:
    with pytest.raises(DataError, match="unknown"):
        correct(view, np.random.default_rng(0), "nonsense")


def test_held_out_pairs_are_never_said() -> None:
    colour, noun = sorted(NOVEL_PAIRS)[0]
    ids = np.full((60, 80), SURFACES["table"], np.uint8)
    ids[20:50, 10:35], ids[20:50, 35:60] = 10, 11
    objects = (Thing(1, "table", ""), Thing(10, noun, colour), Thing(11, "box", "red"))
    pair = LabelledView(ids, np.zeros_like(ids), PART_NAMES, objects)
    for kind in KINDS:
        for correction in many(pair, kind, 100):
            for held_colour, held_noun in NOVEL_PAIRS:
                assert f"{held_colour} {held_noun}" not in correction.text.lower()
    texts = [correction.text for correction in many(pair, "missed", 100, allow_novel=True)]
    assert any(f"{colour} {noun}" in text for text in texts)


def test_phrasings_are_many_and_kept_apart() -> None:
    assert TRAINING.keys() == HELD_OUT.keys()
    for kind in KINDS:
        keys = [key for key in TRAINING if key == kind or key.startswith(f"{kind}_")]
        assert sum(len(TRAINING[key]) for key in keys) >= 20, kind
        for key in keys:
            assert len(set(TRAINING[key])) == len(TRAINING[key]), key
            assert not set(TRAINING[key]) & set(HELD_OUT[key]), key


def test_no_phrasing_of_the_evaluation_is_one_of_training_in_other_clothes() -> None:
    """Not under another key, with another slot, in capitals or with other signs either."""

    def bare(phrases: dict[str, tuple[str, ...]]) -> set[str]:
        texts = [text for of_key in phrases.values() for text in of_key]
        plain = [re.sub(r"[^a-z* ]", " ", re.sub(r"\{\w+\}", "*", text).lower()) for text in texts]
        return {" ".join(text.split()) for text in plain}

    assert not bare(TRAINING) & bare(HELD_OUT)
    assert len(bare(HELD_OUT)) > 50


def test_slots_are_the_same_in_training_and_evaluation() -> None:
    def slots(phrases: tuple[str, ...]) -> set[str]:
        fields = (name for text in phrases for _, name, _, _ in string.Formatter().parse(text))
        return {name for name in fields if name}

    for key, phrases in HELD_OUT.items():
        assert slots(phrases) - {"a_part"} <= slots(TRAINING[key]) | {"noun"}, key


def test_a_correction_costs_little(view: LabelledView) -> None:
    rng = np.random.default_rng(0)
    start = time.process_time()
    for _ in range(200):
        correct(view, rng)
    assert (time.process_time() - start) / 200 < 0.02
