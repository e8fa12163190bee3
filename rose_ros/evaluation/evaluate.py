"""Measure a perceiver on rendered tabletop scenes: segment, find and refine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rose_ros.data.corrections import KINDS, correct
from rose_ros.data.descriptions import describe
from rose_ros.data.tabletop import Scene, render
from rose_ros.data.tabletop.vocabulary import SPLITS
from rose_ros.data.views import LabelledView
from rose_ros.data.words import is_novel
from rose_ros.errors import DataError
from rose_ros.evaluation.calibration import collect, measure_all
from rose_ros.evaluation.corrector import apply_correction
from rose_ros.evaluation.metrics import FindScores, RefineScores, SegmentScores
from rose_ros.evaluation.own_masks import measure_own, measure_self
from rose_ros.perception.finding import detected_scene, look
from rose_ros.perception.masks import instance_image
from rose_ros.perception.perceiver import Perceiver

TASKS = ("segment", "find", "refine", "own", "self", "calibration")
#: Rendered size in pixels.
HEIGHT, WIDTH = 240, 320
#: Descriptions looked for in each scene.
DESCRIPTIONS = 4

Progress = Callable[[int, int], None]
Result = dict[str, Any]


def evaluate(
    perceiver: Perceiver,
    task: str,
    split: str,
    scenes: int,
    seed: int,
    progress: Progress | None = None,
) -> Result:
    """Run one task on scenes ``seed`` to ``seed + scenes - 1`` of a split.

    ``progress`` is called with (scenes done, all scenes). Raises ``DataError`` for an unknown task
    or split, or a number of scenes below 1.
    """
    tasks = {
        "segment": evaluate_segment,
        "find": evaluate_find,
        "refine": evaluate_refine,
        "own": evaluate_own,
        "self": evaluate_self,
        "calibration": evaluate_calibration,
    }
    if task not in tasks:
        raise DataError(f"task {task!r} is unknown; choose from {', '.join(TASKS)}")
    return tasks[task](perceiver, split, scenes, seed, progress)


def evaluate_segment(
    perceiver: Perceiver, split: str, scenes: int, seed: int, progress: Progress | None = None
) -> Result:
    """Return pq, sq, rq, recall_50, recall_large, name_accuracy, seconds_per_frame and scenes.

    recall_large is that of the objects over 200 px of a 240x240 image.

    On the split "novel", name_accuracy counts only the colour-noun pairs that training never had:
    the other names in those scenes say nothing about openness.
    """
    scores, seconds = SegmentScores(), 0.0
    for index, scene in enumerate(rendered(split, scenes, seed, progress)):
        if index == 0:
            perceiver.segment(scene.image)  # the first pass also pays for what is set up once
        start = time.perf_counter()
        frame = perceiver.segment(scene.image)
        seconds += time.perf_counter() - start
        scores.add(
            instance_image(frame.segments, frame.height, frame.width),
            {i: segment.label.text for i, segment in enumerate(frame.segments, start=1)},
            scene.ids,
            {obj.id: obj.name for obj in scene.objects},
            _named_ids(scene, split),
        )
    return {**scores.result(), "seconds_per_frame": seconds / scenes, "scenes": scenes}


def _named_ids(scene: Scene, split: str) -> set[int]:
    """Return the ids whose names count."""
    return {obj.id for obj in scene.objects if split != "novel" or is_novel(obj.colour, obj.noun)}


def evaluate_find(
    perceiver: Perceiver, split: str, scenes: int, seed: int, progress: Progress | None = None
) -> Result:
    """Return ciou, giou, n_acc and scenes, over ``DESCRIPTIONS`` descriptions in each scene.

    As a session does it: by names and places, and the rest by the model.
    """
    scores = FindScores()
    for index, scene in enumerate(rendered(split, scenes, seed, progress)):
        view = LabelledView.from_scene(scene)
        rng = np.random.default_rng(seed + index)
        encoding = perceiver.encode(scene.image)
        everything = perceiver.everything(encoding)
        masks = perceiver.masks(encoding, everything)
        known = detected_scene(perceiver, encoding, everything)
        for _ in range(DESCRIPTIONS):
            meant = describe(view, rng, allow_novel=split == "novel")
            answer = known.refer(meant.text)
            if answer:
                answered = masks[answer]
            else:
                answered = perceiver.masks(encoding, look(perceiver, encoding, meant.text, answer))
            pixels = np.logical_or.reduce(answered, axis=0)
            scores.add(pixels, np.isin(scene.ids, meant.ids))
    return {**scores.result(), "scenes": scenes}


def evaluate_refine(
    perceiver: Perceiver, split: str, scenes: int, seed: int, progress: Progress | None = None
) -> Result:
    """Return iou_before, iou_after, harm_rate, preservation_iou, rename_rate and n by kind.

    Each scene gives one correction of every kind that it can make, in phrasings that training did
    not use. The previous masks are made up (``rose_ros.data.corrections``), not the model's own.
    """
    scores = {kind: RefineScores() for kind in KINDS}
    for index, scene in enumerate(rendered(split, scenes, seed, progress)):
        view = LabelledView.from_scene(scene)
        rng = np.random.default_rng(seed + index)
        encoding = perceiver.encode(scene.image)
        everything = perceiver.everything(encoding)
        for kind, score in scores.items():
            correction = correct(view, rng, kind, held_out=True, allow_novel=split == "novel")
            if correction is None:
                continue
            outcome = apply_correction(perceiver, encoding, correction, everything)
            untouched = [obj for obj in view.things() if obj.id not in correction.target_ids]
            others = np.stack([view.mask(obj.id) for obj in untouched]) if untouched else None
            score.add(
                correction.previous_mask,
                outcome.masks,
                correction.target_masks,
                others,
                outcome.drawn,
            )
            score.add_name(correction.label, outcome.names, correction.target_names)
    return {kind: score.result() for kind, score in scores.items()}


def evaluate_own(
    perceiver: Perceiver, split: str, scenes: int, seed: int, progress: Progress | None = None
) -> Result:
    """Return what ``evaluate_refine`` does for masks that the model itself got wrong.

    Kinds are "too_small" and "too_big" (``rose_ros.evaluation.own_masks``).
    """
    worlds = rendered(split, scenes, seed, progress)
    return dict(measure_own(perceiver, worlds, seed=seed, allow_novel=split == "novel"))


def evaluate_self(
    perceiver: Perceiver, split: str, scenes: int, seed: int, progress: Progress | None = None
) -> Result:
    """Return pq and sq without and with one round of self-refinement, gain, changed and scenes."""
    return {**measure_self(perceiver, rendered(split, scenes, seed, progress)), "scenes": scenes}


def evaluate_calibration(
    perceiver: Perceiver, split: str, scenes: int, seed: int, progress: Progress | None = None
) -> Result:
    """Return how far the published scores are probabilities, for "objectness" and "name".

    Each has ece (expected calibration error), ece_uncalibrated, brier, mean_score, rate, n and
    bins (``rose_ros.evaluation.calibration``).
    """
    collected = collect(perceiver, rendered(split, scenes, seed, progress))
    return dict(measure_all(collected, perceiver.calibration))


def rendered(
    split: str, scenes: int, seed: int, progress: Progress | None = None
) -> Iterator[Scene]:
    """Yield the scenes, rendered between the passes so that timings have the machine alone."""
    if split not in SPLITS:
        raise DataError(f"split {split!r} is unknown; choose from {', '.join(SPLITS)}")
    if scenes < 1 or seed < 0:
        raise DataError(f"{scenes} scenes from seed {seed}; give at least 1 scene, seed 0 or more")
    for index in range(scenes):
        yield render(seed + index, split, height=HEIGHT, width=WIDTH)
        if progress is not None:
            progress(index + 1, scenes)
