"""Corrections of the model's own masks, by a planner and by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.corrections import Correction
from rose_ros.data.phrases import HELD_OUT
from rose_ros.data.speaker import SceneSpeaker
from rose_ros.data.tabletop import Scene
from rose_ros.data.views import LabelledView, NamedObject
from rose_ros.evaluation.corrector import apply_correction
from rose_ros.evaluation.metrics import RefineScores, SegmentScores
from rose_ros.perception.locality import is_same_thing
from rose_ros.perception.masks import instance_image, iou_matrix
from rose_ros.perception.perceiver import Perceiver, clean_name
from rose_ros.perception.redrawing import redraw
from rose_ros.perception.selection import Detections
from rose_ros.runtime.base import Encoding

#: Own masks with an IoU in between have an error worth a sentence, and still mean the object.
WORST, BEST = 0.3, 0.85
#: What the model is told about each of its own masks, without a planner.
SELF_TEXT = "refine the edge"
#: How much better an answer must be expected to be.
MARGIN = 0.0


def measure_own(
    perceiver: Perceiver, scenes: Iterable[Scene], *, seed: int, allow_novel: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the scores of a correction of each mask that the model got wrong, by what is wrong.

    "too_small" where more is missing than too much, else "too_big". The sentence says no more than
    that, in phrasings that training did not use.
    """
    scores = {"too_small": RefineScores(), "too_big": RefineScores()}
    for index, scene in enumerate(scenes):
        view = LabelledView.from_scene(scene)
        speaker = SceneSpeaker(view, np.random.default_rng(seed + index), HELD_OUT, allow_novel)
        encoding = perceiver.encode(scene.image)
        found = perceiver.everything(encoding)
        names = [clean_name(name.text) for name in found.names]
        masks = perceiver.masks(encoding, found)
        for target, at in _wrong(view, masks):
            truth = view.mask(target.id)
            missing = np.count_nonzero(truth & ~masks[at])
            kind = "too_small" if 2 * missing > np.count_nonzero(truth ^ masks[at]) else "too_big"
            text = speaker.say(f"{kind}_any", target)
            ids, called = (target.id,), (target.name,)
            correction = Correction(kind, names[at], text, masks[at], truth[None], ids, called)
            outcome = apply_correction(perceiver, encoding, correction, found)
            others = [view.mask(obj.id) for obj in view.things() if obj.id != target.id]
            scores[kind].add(
                masks[at],
                outcome.masks,
                truth[None],
                np.stack(others) if others else None,
                outcome.drawn,
            )
    return {kind: score.result() for kind, score in scores.items()}


def _wrong(view: LabelledView, masks: NDArray[np.bool_]) -> list[tuple[NamedObject, int]]:
    """Return each object that is badly outlined, with the index of the mask that means it."""
    things = view.things()
    if not things or not len(masks):
        return []
    ious = iou_matrix(np.stack([view.mask(obj.id) for obj in things]), masks)
    best = ious.argmax(axis=1)
    return [
        (obj, int(at))
        for obj, at, row in zip(things, best, ious, strict=True)
        if WORST < row[at] < BEST
    ]


def measure_self(perceiver: Perceiver, scenes: Iterable[Scene]) -> dict[str, Any]:
    """Return pq and sq without and with one round in which the model corrects itself, and gain.

    Every mask is given back to the model with ``SELF_TEXT``; where the model expects the answer to
    be better, the mean of both is taken. changed: the share of masks where it is.
    """
    before, after = SegmentScores(), SegmentScores()
    changed, total = 0, 0
    for scene in scenes:
        encoding = perceiver.encode(scene.image)
        found = perceiver.everything(encoding)
        again, kept = refine_itself(perceiver, encoding, found)
        changed, total = changed + kept, total + len(found)
        for scores, detections in ((before, found), (after, again)):
            segments = perceiver.to_segments(encoding, detections)
            scores.add(
                instance_image(segments, encoding.height, encoding.width),
                {i: segment.label.text for i, segment in enumerate(segments, start=1)},
                scene.ids,
                {obj.id: obj.name for obj in scene.objects},
                {obj.id for obj in scene.objects},
            )
    one, two = before.result(), after.result()
    return {
        "pq": one["pq"],
        "pq_refined": two["pq"],
        "gain": None if one["pq"] is None or two["pq"] is None else two["pq"] - one["pq"],
        "sq": one["sq"],
        "sq_refined": two["sq"],
        "changed": changed / total if total else None,
    }


def refine_itself(
    perceiver: Perceiver, encoding: Encoding, found: Detections
) -> tuple[Detections, int]:
    """Correct every mask once by ``SELF_TEXT``; return the detections and how many changed."""
    logits, quality, changed = found.logits.copy(), found.quality.copy(), 0
    for i, mask in enumerate(perceiver.masks(encoding, found)):
        answer = redraw(perceiver, encoding, mask, found.names[i].text, SELF_TEXT)
        if not len(answer) or answer.quality[0] <= quality[i] + MARGIN:
            continue
        if is_same_thing(mask, perceiver.masks(encoding, answer.take(np.arange(1)))[0]):
            logits[i] = (logits[i] + answer.logits[0]) / 2
            quality[i] = answer.quality[0]
            changed += 1
    return replace(found, logits=logits, quality=quality), changed
