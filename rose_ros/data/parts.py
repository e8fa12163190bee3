"""Texts about named parts of objects, with the pixels each one means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.referring import unique_phrase
from rose_ros.data.speaker import SceneSpeaker
from rose_ros.data.tabletop.vocabulary import PART_NAMES
from rose_ros.data.views import MIN_AREA, LabelledView
from rose_ros.data.words import pick, plural

#: What asks for all parts of everything in view.
EVERY_PART = "every part"
#: Share of texts about all parts, and, of the others, about a part that the object does not have.
_EVERY, _ABSENT = 0.5, 0.3


@dataclass(frozen=True, slots=True)
class PartDescription:
    """A text about parts, with their masks, bool (n, height, width), and their n names.

    part: the part that it speaks of, "" when it is about all of them.
    """

    text: str
    part: str
    masks: NDArray[np.bool_]
    names: tuple[str, ...]


def describe_part(
    view: LabelledView, rng: np.random.Generator, *, allow_novel: bool = False
) -> PartDescription | None:
    """Return what a text like "the handle of the red mug" or "every part" means.

    Some speak of a part that is not there. None when the view lacks the means. ``allow_novel``
    permits the colour-noun pairs that are held out of training.
    """
    speaker = SceneSpeaker(view, rng, {}, allow_novel)
    if rng.random() < _EVERY:
        return _every_part(speaker)
    return _one_part(speaker)


def _every_part(speaker: SceneSpeaker) -> PartDescription | None:
    """Return all parts in view, or at times all of one kind: "all handles"."""
    view = speaker.view
    found = [(view.part_mask(obj.id, part), part) for obj, part in speaker.parts(MIN_AREA)]
    if not found:
        return None
    text, part = EVERY_PART, ""
    if speaker.rng.random() < 0.25:
        part = pick(speaker.rng, found)[1]
        text = f"all {part if part.endswith('s') else plural(part)}"
        found = [one for one in found if one[1].rstrip("s") == part.rstrip("s")]
    return _described(text, part, found, view)


def _one_part(speaker: SceneSpeaker) -> PartDescription | None:
    view, rng = speaker.view, speaker.rng
    if rng.random() < _ABSENT:
        target = speaker.thing()
        if target is None:
            return None
        here = {name.rstrip("s") for name in view.part_areas(target.id)}
        part = pick(rng, [name for name in PART_NAMES[1:] if name.rstrip("s") not in here])
        found = []
    else:
        chosen = speaker.object_with_part()
        if chosen is None:
            return None
        target, part = chosen
        found = [(view.part_mask(target.id, part), part)]
    whole = unique_phrase(view, target, rng, allow_novel=speaker.allow_novel)
    if whole is None:
        return None
    texts = (f"the {part} of {whole}", f"the {part} of {whole}", f"{whole}'s {part}")
    return _described(pick(rng, texts), part, found, view)


def _described(
    text: str, part: str, found: Sequence[tuple[NDArray[np.bool_], str]], view: LabelledView
) -> PartDescription:
    masks = np.array([mask for mask, _ in found], bool).reshape(-1, *view.shape)
    return PartDescription(text, part, masks, tuple(name for _, name in found))
