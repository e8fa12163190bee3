"""Full marks for a perceiver that knows the truth, none for a blind one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scripted import Mask, ScriptedRuntime

from rose_ros.data.corrections import KINDS, LEARNED, Correction, correct
from rose_ros.data.tabletop import Scene, render
from rose_ros.data.views import LabelledView
from rose_ros.data.words import is_novel
from rose_ros.errors import DataError
from rose_ros.evaluation import evaluate as module
from rose_ros.evaluation.corrector import apply_correction
from rose_ros.evaluation.evaluate import (
    evaluate,
    evaluate_find,
    evaluate_refine,
    evaluate_segment,
)
from rose_ros.model.prompts import EVERYTHING
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.selection import PerceiverOptions
from rose_ros.runtime.base import RegionName, Runtime

SIDE = 240
Answer = Callable[[str], tuple[int, ...]]


class KnowingRuntime(ScriptedRuntime):
    """Knows the scene of every image; ``answer`` says which ids a text other than all means."""

    model_name, side = "knowing", SIDE

    def __init__(self, answer: Answer, name: Callable[[str], str] = str) -> None:
        self.scenes: dict[bytes, Scene] = {}
        self.answer = answer
        self.rename = name

    def look(self, image: NDArray[np.uint8]) -> Scene:
        known = self.scenes.get(image.tobytes())
        return known or next(filter(None, (window(one, image) for one in self.scenes.values())))

    def meant(self, seen: Scene, text: str, previous_mask: Mask | None) -> Sequence[int]:
        everything = text == EVERYTHING
        return tuple(LabelledView.from_scene(seen).extents) if everything else self.answer(text)

    def mask(self, seen: Scene, thing: int) -> Mask:
        return seen.ids == thing

    def called(self, seen: Scene, thing: int) -> RegionName:
        names = {obj.id: obj.name for obj in seen.objects}
        return RegionName(self.rename(names.get(thing, "")), 0.9)


def window(scene: Scene, image: NDArray[np.uint8]) -> Scene | None:
    """Return the part of a scene that a close-up shows, None when it is of another scene."""
    _, _, (x, y), _ = cv2.minMaxLoc(cv2.matchTemplate(scene.image, image, cv2.TM_SQDIFF))
    here = np.s_[y : y + image.shape[0], x : x + image.shape[1]]
    if not np.array_equal(scene.image[here], image):
        return None
    return replace(scene, image=image, ids=scene.ids[here], parts=scene.parts[here])


def nothing(text: str) -> tuple[int, ...]:
    return ()


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> KnowingRuntime:
    """A runtime that is told every scene that the evaluation renders."""
    runtime = KnowingRuntime(nothing)

    def render_and_tell(seed: int, split: str, *, height: int, width: int) -> Scene:
        scene = render(seed, split, height=height, width=width)
        runtime.scenes[scene.image.tobytes()] = scene
        return scene

    monkeypatch.setattr(module, "render", render_and_tell)
    return runtime


def perceiver(runtime: Runtime) -> Perceiver:
    return Perceiver(runtime, PerceiverOptions(min_share=0.0, kept_share=0.0))


def test_knowing_everything_is_nearly_perfect(knowing: KnowingRuntime) -> None:
    steps: list[tuple[int, int]] = []
    result = evaluate_segment(
        perceiver(knowing), "test", 2, 7, lambda done, total: steps.append((done, total))
    )
    assert list(result) == [
        "pq",
        "sq",
        "rq",
        "recall_50",
        "recall_large",
        "name_accuracy",
        "seconds_per_frame",
        "scenes",
    ]
    assert result["recall_50"] == 1.0
    assert result["pq"] > 0.9
    assert result["name_accuracy"] == 1.0
    assert result["seconds_per_frame"] > 0
    assert result["scenes"] == 2
    assert steps == [(1, 2), (2, 2)]


def test_on_novel_only_held_out_names_count(knowing: KnowingRuntime) -> None:
    knowing.rename = lambda name: "something" if is_held_out(name) else name
    assert evaluate_segment(perceiver(knowing), "novel", 1, 0)["name_accuracy"] == 0.0
    assert evaluate_segment(perceiver(knowing), "test", 1, 0)["name_accuracy"] == 1.0


def is_held_out(name: str) -> bool:
    colour, _, noun = name.partition(" ")
    return is_novel(colour, noun)


def test_find_with_right_and_with_no_answers(
    knowing: KnowingRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, tuple[int, ...]] = {}
    original = module.describe

    def describe_and_tell(view: LabelledView, rng: np.random.Generator, **options: bool):
        meant = original(view, rng, **options)
        said[f"Segment {meant.text}."] = meant.ids
        return meant

    monkeypatch.setattr(module, "describe", describe_and_tell)
    knowing.answer = lambda text: said[text]
    result = evaluate_find(perceiver(knowing), "test", 3, 0)
    assert list(result) == ["ciou", "giou", "n_acc", "scenes"]
    assert result["giou"] > 0.9
    assert result["n_acc"] in (1.0, None)
    knowing.answer = nothing
    named = evaluate_find(perceiver(knowing), "test", 3, 0)
    assert 0.3 < named["giou"] <= result["giou"], "names and places answer by themselves"
    knowing.rename = lambda name: "something"
    blind = evaluate_find(perceiver(knowing), "test", 3, 0)
    assert blind["ciou"] == 0.0
    assert blind["n_acc"] in (1.0, None)


def test_refine_reports_every_kind(knowing: KnowingRuntime) -> None:
    result = evaluate_refine(perceiver(knowing), "test", 1, 11)
    assert tuple(result) == KINDS
    for numbers in result.values():
        assert list(numbers) == [
            "iou_before",
            "iou_after",
            "harm_rate",
            "preservation_iou",
            "rename_rate",
            "n",
        ]
    # A model that never finds anything leaves every mask as it was; names tell what else is meant.
    assert result["wrong_object"]["iou_after"] > result["wrong_object"]["iou_before"]
    assert result["edge"]["iou_after"] > result["edge"]["iou_before"]  # what it sees anew counts
    for kind in set(LEARNED) - {"missed", "wrong_object", "edge"}:
        if result[kind]["n"]:
            assert result[kind]["iou_after"] == pytest.approx(result[kind]["iou_before"])
            assert result[kind]["harm_rate"] == 0.0


def corrections_of(kind: str, scene: Scene) -> list[Correction]:
    view, rng = LabelledView.from_scene(scene), np.random.default_rng(0)
    return [c for c in (correct(view, rng, kind) for _ in range(40)) if c is not None]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return render(6, "test", height=240, width=320)


def told(scene: Scene, answer: Answer) -> Perceiver:
    runtime = KnowingRuntime(answer)
    runtime.scenes[scene.image.tobytes()] = scene
    return perceiver(runtime)


@pytest.mark.parametrize("kind", ["wrong_object", "too_small", "too_big", "whole", "edge"])
def test_the_models_answer_replaces_the_mask(kind: str, scene: Scene) -> None:
    made = corrections_of(kind, scene)
    improved = 0
    for correction in made:
        knows = told(scene, lambda text, ids=correction.target_ids: ids)
        encoding = knows.encode(scene.image)
        outcome = apply_correction(knows, encoding, correction, knows.everything(encoding))
        after = module.RefineScores()
        before = correction.previous_mask
        after.add(before, outcome.masks, correction.target_masks, None, outcome.drawn)
        result = after.result()
        improved += result["iou_after"] > result["iou_before"] and result["iou_after"] > 0.8
    assert improved >= 0.8 * len(made)


def test_rules_remove_false_alarms_and_rename_exactly(scene: Scene) -> None:
    blind = told(scene, nothing)
    encoding = blind.encode(scene.image)
    seen = blind.everything(encoding)
    removed = [
        apply_correction(blind, encoding, correction, seen).masks
        for correction in corrections_of("false_alarm", scene)
    ]
    assert np.mean([len(masks) == 0 for masks in removed]) > 0.7
    renamed = corrections_of("wrong_name", scene)
    right = [apply_correction(blind, encoding, c, seen).names == c.target_names for c in renamed]
    assert np.mean(right) > 0.9


def test_impossible_requests_are_refused(knowing: KnowingRuntime) -> None:
    with pytest.raises(DataError, match="split"):
        evaluate_segment(perceiver(knowing), "unseen", 1, 0)
    with pytest.raises(DataError, match="at least 1 scene"):
        evaluate_segment(perceiver(knowing), "test", 0, 0)
    with pytest.raises(DataError, match="task"):
        evaluate(perceiver(knowing), "fly", "test", 1, 0)


def test_own_masks_that_are_right_need_no_correction(knowing: KnowingRuntime) -> None:
    result = evaluate(perceiver(knowing), "own", "test", 1, 7)
    assert list(result) == ["too_small", "too_big"]
    assert all(numbers["n"] == 0 for numbers in result.values())


def test_own_masks_that_are_wrong_are_spoken_of(
    knowing: KnowingRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = knowing.mask

    def half(seen: Scene, thing: int) -> Mask:
        mask = right(seen, thing)
        columns = np.flatnonzero(mask.any(axis=0))
        cut = mask.copy()
        cut[:, columns[len(columns) * 3 // 5] :] = False
        return cut

    monkeypatch.setattr(knowing, "mask", half)
    result = evaluate(perceiver(knowing), "own", "test", 1, 7)
    assert result["too_small"]["n"] > 0
    assert 0.3 < result["too_small"]["iou_before"] < 0.85
    # This runtime answers no correction, so that nothing changes.
    assert result["too_small"]["iou_after"] == result["too_small"]["iou_before"]
    assert result["too_small"]["harm_rate"] == 0.0


def test_self_refinement_without_answers_changes_nothing(knowing: KnowingRuntime) -> None:
    result = evaluate(perceiver(knowing), "self", "test", 1, 7)
    assert result["pq"] == result["pq_refined"] > 0.9
    assert (result["gain"], result["changed"], result["scenes"]) == (0.0, 0.0, 1)
