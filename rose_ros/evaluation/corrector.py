"""Apply one correction to one mask as a planner's request would, without tracks and sessions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.corrections import Correction
from rose_ros.perception.finding import detected_scene, other_meant
from rose_ros.perception.following import SAME_IOU
from rose_ros.perception.locality import is_same_thing
from rose_ros.perception.masks import iou_matrix
from rose_ros.perception.parts import part_meant, shows_part
from rose_ros.perception.perceiver import Perceiver, clean_name
from rose_ros.perception.proposing import UNCHANGED_IOU
from rose_ros.perception.redrawing import redraw
from rose_ros.perception.referring import asks_for_other, asks_to_move
from rose_ros.perception.refinement import Intent, Kind, clean_text, parse
from rose_ros.perception.selection import Detections
from rose_ros.runtime.base import Encoding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left of a segment after a correction: masks bool (n, height, width) and n names.

    drawn: bool (height, width), what the correction covers that the segment did not and that was
    not there already as another segment, which the answer only points to.
    """

    masks: NDArray[np.bool_]
    names: tuple[str, ...]
    drawn: NDArray[np.bool_]


def apply_correction(
    perceiver: Perceiver, encoding: Encoding, correction: Correction, everything: Detections
) -> Outcome:
    """Do what the text asks for: rules first, the model for the rest.

    everything: the named segments of the image that the correction is made in. Where the rules find
    nothing to do, or the model nothing to show, the segment stays as it was.
    """
    targeted = bool(correction.label)
    intent = parse(clean_text(correction.text), targeted=targeted)
    previous = correction.previous_mask
    before = previous[None] if targeted else previous[None][:0]
    nothing = np.zeros_like(previous)
    unchanged = Outcome(before, (correction.label,) * len(before), nothing)
    if intent.kind is Kind.RENAME:
        return Outcome(before, (intent.name,) * len(before), nothing)
    if intent.kind is Kind.REMOVE and _means(intent, correction.label):
        return Outcome(before[:0], (), nothing)
    if intent.kind is Kind.ADD:
        found = perceiver.find(encoding, intent.name)
    elif intent.kind in (Kind.MASK, Kind.REMOVE) and targeted:
        found = _corrected(perceiver, encoding, everything, correction, intent)
    else:
        return unchanged
    masks = perceiver.masks(encoding, found)
    if not len(found) or _is_same(before, masks):
        return unchanged
    names = tuple(clean_name(name.text) for name in found.names)
    known = iou_matrix(masks, perceiver.masks(encoding, everything)).max(axis=1, initial=0.0)
    drawn = masks[known <= SAME_IOU].any(axis=0) & ~previous
    return Outcome(masks, names, drawn)


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
    perceiver: Perceiver,
    encoding: Encoding,
    everything: Detections,
    correction: Correction,
    intent: Intent,
) -> Detections:
    """Return the answer with names: the best one, or all where several are asked for.

    Where another thing is meant, what the text calls it counts more, as in a session.
    """
    before = correction.previous_mask
    masks = perceiver.masks(encoding, everything)
    it = int(iou_matrix(before[None], masks)[0].argmax()) if len(masks) else None
    scene = detected_scene(perceiver, encoding, everything, it)
    meant = scene.refer_within(intent.text) if asks_to_move(intent.text) else None
    if meant:
        return everything.take(np.array(meant[:1], np.int64))
    found = redraw(perceiver, encoding, before, correction.label, intent.text)
    if intent.several or not len(found):
        return perceiver.with_names(encoding, found)
    found = found.take(np.arange(1))
    same = is_same_thing(before, perceiver.masks(encoding, found)[0])
    part = part_meant(intent.text) if same else ""
    if part and not shows_part(perceiver, encoding, before, found, correction.label, part):
        return found.take(np.arange(0))
    if same and not asks_for_other(intent.text):
        return perceiver.with_names(encoding, found)
    if same:
        kept = found.take(np.arange(0 if scene.missing(intent.text, correction.label) else 1))
        return perceiver.with_names(encoding, kept)
    meant = other_meant(perceiver, encoding, scene, found, intent.text)
    if meant is None:
        return perceiver.with_names(encoding, found)
    others = [i for i in meant if not is_same_thing(before, masks[i])]
    return everything.take(np.array(others[:1], np.int64))
