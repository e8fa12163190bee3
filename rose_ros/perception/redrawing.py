"""A mask drawn again as a text asks: by the model, in more than one way where that is surer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.model.prompts import EVERYTHING, REFINE_OUTLINE
from rose_ros.perception.locality import most_alike
from rose_ros.perception.parts import isolate, part_alone
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.phrasing import OUTLINE
from rose_ros.perception.selection import Detections
from rose_ros.perception.zooming import zoom
from rose_ros.runtime.base import Encoding

#: Side of the close-up that an outline is drawn in, at least, in sides of the image.
_WINDOW = 0.4


def redraw(
    perceiver: Perceiver, encoding: Encoding, before: NDArray[np.bool_], label: str, text: str
) -> Detections:
    """Correct a mask, bool (height, width), called ``label`` as ``text`` says; as ``refine`` does.

    A text that wants one part alone is answered with the part that the model sees there, asked in
    several ways; one about the outline, with the mean of what it draws there in a close-up.
    """
    if part_alone(text):
        return isolate(perceiver, encoding, before, label, text)
    if OUTLINE.search(text.lower()):
        close = zoom(perceiver.encode, encoding, before, _WINDOW)
        return close.paste(_outline(perceiver, close.encoding, close.mask, label, text))
    return perceiver.refine(encoding, before, label, text)


def _outline(
    perceiver: Perceiver, encoding: Encoding, before: NDArray[np.bool_], label: str, text: str
) -> Detections:
    """Draw a mask (height, width) as the text says, as plainly said, and anew; return the mean."""
    least = perceiver.options.objectness_threshold
    opinions = (
        perceiver.refine(encoding, before, label, text),
        perceiver.refine(encoding, before, label, REFINE_OUTLINE),
        perceiver.detect(encoding, EVERYTHING, least, near=before),
    )
    return _agreed(before, opinions, encoding.content)


def _agreed(
    before: NDArray[np.bool_], opinions: Sequence[Detections], content: tuple[float, float]
) -> Detections:
    """Return one mask, the mean of what several passes draw where a mask (height, width) was.

    Of each pass the mask counts that is most like ``before``, if it can be the same thing: an
    outline that is wrong is not far away. Empty when no pass has one.
    """
    chosen: list[Detections] = []
    for found in opinions:
        best = most_alike(before, found.logits, content)
        if best is not None:
            chosen.append(found.take(np.array([best])))
    if not chosen:
        return opinions[0].take(np.arange(0))
    logits = np.stack([found.logits for found in chosen]).mean(axis=0)
    return replace(chosen[0], logits=logits)
