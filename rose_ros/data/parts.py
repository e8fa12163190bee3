"""Texts about named parts of objects, with the pixels each one means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.referring import unique_phrase
from rose_ros.data.speaker import SceneSpeaker
from rose_ros.data.tabletop.vocabulary import PART_NAMES
from rose_ros.data.views import LabelledView
from rose_ros.data.words import pick

#: Share of texts about a part that the object does not have.
_ABSENT = 0.3


@dataclass(frozen=True, slots=True)
class PartDescription:
    """A text about a part, the part's name and its masks, bool (0 or 1, height, width)."""

    text: str
    name: str
    masks: NDArray[np.bool_]


def describe_part(
    view: LabelledView, rng: np.random.Generator, *, allow_novel: bool = False
) -> PartDescription | None:
    """Return "the handle of the red mug", or a part that is not there; None without the means.

    ``allow_novel`` permits the colour-noun pairs that are held out of training.
    """
    speaker = SceneSpeaker(view, rng, {}, allow_novel)
    absent = rng.random() < _ABSENT
    if absent:
        target = speaker.thing()
        if target is None:
            return None
        here = {name.rstrip("s") for name in view.part_areas(target.id)}
        part = pick(rng, [name for name in PART_NAMES[1:] if name.rstrip("s") not in here])
        masks = np.zeros((0, *view.shape), bool)
    else:
        found = speaker.object_with_part()
        if found is None:
            return None
        target, part = found
        masks = view.part_mask(target.id, part)[None]
    whole = unique_phrase(view, target, rng, allow_novel=allow_novel)
    if whole is None:
        return None
    texts = (f"the {part} of {whole}", f"the {part} of {whole}", f"{whole}'s {part}")
    return PartDescription(pick(rng, texts), part, masks)
