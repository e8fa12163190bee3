"""Apply one correction to one mask as a planner's request would, without tracks and sessions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.corrections import Correction
from rose_ros.perception.finding import detected_scene, other_meant
from rose_ros.perception.locality import is_same_thing
from rose_ros.perception.masks import iou_matrix
from rose_ros.perception.perceiver import Perceiver, clean_name
from rose_ros.perception.proposing import UNCHANGED_IOU
from rose_ros.perception.referring import asks_for_other
from rose_ros.perception.refinement import Intent, Kind, clean_text, parse
from rose_ros.perception.selection import Detections
from rose_ros.runtime.base import Encoding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left of a segment after a correction: masks bool (n, height, width) and n names."""

    masks: NDArray[np.bool_]
    names: tuple[str, ...]


def apply_correction(perceiver: Perceiver, encoding: Encoding, correction: Correction) -> Outcome:
    """Do what the text asks for: rules first, the model for the rest.

    Where the rules find nothing to do, or the model nothing to show, the segment stays as it was.
    """
    targeted = bool(correction.label)
    intent = parse(clean_text(correction.text), targeted=targeted)
    before = correction.previous_mask[None] if targeted else correction.previous_mask[None][:0]
    unchanged = Outcome(before, (correction.label,) * len(before))
    if intent.kind is Kind.RENAME:
        return Outcome(before, (intent.name,) * len(before))
    if intent.kind is Kind.REMOVE and _means(intent, correction.label):
        return Outcome(before[:0], ())
    if intent.kind is Kind.ADD:
        found = perceiver.find(encoding, intent.name)
    elif intent.kind in (Kind.MASK, Kind.REMOVE) and targeted:
        found = _corrected(perceiver, encoding, correction, intent)
    else:
        return unchanged
    masks = perceiver.masks(encoding, found)
    if not len(found) or _is_same(before, masks):
        return unchanged
    names = tuple(clean_name(name.text) for name in found.names)
    return Outcome(masks, names)


def _is_same(before: NDArray[np.bool_], masks: NDArray[np.bool_]) -> bool:
    """Tell whether the answer is the mask that was there."""
    if not len(before) or len(masks) != 1:
        return False
    return bool(iou_matrix(before, masks)[0, 0] >= UNCHANGED_IOU)


def _means(intent: Intent, label: str) -> bool:
    """Tell whether "remove the plate" means the segment itself, not something in its mask."""
    words = set(label.split())
    return not intent.mention or set(intent.mention.split()) <= words


def _corrected(
    perceiver: Perceiver, encoding: Encoding, correction: Correction, intent: Intent
) -> Detections:
    """Return the model's answer with names: the best one, or all where several are asked for.

    Where the answer is another thing, what the text calls it counts more, as in a session.
    """
    found = perceiver.refine(encoding, correction.previous_mask, correction.label, intent.text)
    if intent.several or not len(found):
        return perceiver.with_names(encoding, found)
    found = found.take(np.arange(1))
    before, after = correction.previous_mask, perceiver.masks(encoding, found)[0]
    same = is_same_thing(before, after)
    if same and not asks_for_other(intent.text):
        return perceiver.with_names(encoding, found)
    everything = perceiver.everything(encoding)
    scene = detected_scene(perceiver, encoding, everything)
    if same:
        kept = found.take(np.arange(0 if scene.missing(intent.text, correction.label) else 1))
        return perceiver.with_names(encoding, kept)
    meant = other_meant(perceiver, encoding, scene, found, intent.text)
    if meant is None:
        return perceiver.with_names(encoding, found)
    masks = perceiver.masks(encoding, everything)
    others = [i for i in meant if not is_same_thing(before, masks[i])]
    return everything.take(np.array(others[:1], np.int64))
