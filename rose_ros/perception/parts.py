"""The parts of a segment that a text speaks of: which one, whether it is there, and its mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rose_ros.model.prompts import EVERY_PART, find_prompt, refine_prompt
from rose_ros.perception.masks import content_cells, crop_content
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.phrasing import NOT_ALONE, PART, PART_ALONE, WHOLE
from rose_ros.perception.sampling import to_odds
from rose_ros.perception.selection import Detections, joined
from rose_ros.runtime.base import Encoding

#: Least objectness of what is looked for as a part.
_PART_OBJECTNESS = 0.2
#: Of a part that is wanted alone: least probability of its name, least share of it that lies in the
#: mask, and the most of the mask that it covers.
_FITS, _INSIDE, _WHOLE = 0.25, 0.6, 0.9
#: How probable the part's name must be for what is left or taken away, for what is added, and for a
#: part that is seen there, of which that share is added. Far below what names need: a part that is
#: not there has less than a thousandth, mostly. All were chosen on scenes that neither training nor
#: tests have.
_LIKELY, _LIKELY_ADDED, _SEEN_ADDED = 0.05, 0.1, 0.3
#: Cells that a region needs to be told anything about, and its logits.
_LEAST_CELLS, _LOGIT = 12, 8.0

#: A prompt, and the mask (height, width) that it corrects, if any.
Question = tuple[str, NDArray[np.bool_] | None]


def part_meant(text: str) -> str:
    """Return the part that a text speaks of first, e.g. "handle"; empty when the whole is meant."""
    plain = text.lower()
    match = None if WHOLE.search(plain) else PART.search(plain)
    return match["part"] if match else ""


def part_alone(text: str) -> str:
    """Return the part that a text wants alone, e.g. "handle" of "only the handle"; else empty."""
    plain = text.lower()
    match = None if NOT_ALONE.search(plain) else PART_ALONE.search(plain)
    return next(filter(None, match.groupdict().values())) if match else ""


def isolate(
    perceiver: Perceiver, encoding: Encoding, before: NDArray[np.bool_], label: str, text: str
) -> Detections:
    """Return the part of a mask, bool (height, width), that a text wants alone; none or one.

    The model is asked in four ways: for every part, for that part of what is called ``label``, and
    to correct the mask as the text says and in plain words. Of the answers within the mask that one
    counts whose name is likeliest.
    """
    part = part_alone(text)
    ways = (
        *_questions(part, label),
        (refine_prompt(label, text), before),
        (refine_prompt(label, f"only the {part}"), before),
    )
    found = _asked(perceiver, encoding, ways, before)
    if not len(found):
        return found
    masks = crop_content(found.logits, encoding.content)
    odds = to_odds(before, *masks.shape[1:])
    areas = np.count_nonzero(masks > 0, axis=(1, 2))
    np.minimum(masks, odds, out=masks)
    shared = np.count_nonzero(masks > 0, axis=(1, 2))
    inside = (shared >= _INSIDE * areas) & (shared <= _WHOLE * np.count_nonzero(odds > 0))
    found = found.take(np.flatnonzero(inside & (shared > 0)))
    if not len(found):
        return found
    fits = perceiver.likelihood(encoding, found.logits, found.embeddings, part)
    best = int(fits.argmax())
    return found.take(np.array([best] if fits[best] >= _FITS else [], np.int64))


def shows_part(
    perceiver: Perceiver,
    encoding: Encoding,
    before: NDArray[np.bool_],
    answer: Detections,
    label: str,
    part: str,
) -> bool:
    """Return whether ``part`` can be what one corrected mask is, adds or leaves out.

    before: bool (height, width), the mask of what is called ``label`` that was corrected.
    """
    side = answer.logits.shape[-1]
    rows, columns = content_cells(side, encoding.content)
    old, new = to_odds(before, rows, columns) >= 0, answer.logits[0, :rows, :columns] > 0
    added, own = new & ~old, answer.embeddings
    asked = [
        (region, embedding, least)
        for region, embedding, least in (
            (new, own, _LIKELY),
            (old & ~new, own, _LIKELY),
            # The category embedding is that of the whole.
            (added, np.zeros_like(own), _LIKELY_ADDED),
        )
        if np.count_nonzero(region) >= _LEAST_CELLS
    ]
    if not asked:
        return True
    logits = np.full((len(asked), side, side), -_LOGIT, np.float32)
    for one, (region, _, _) in zip(logits, asked, strict=True):
        one[:rows, :columns][region] = _LOGIT
    embeddings = np.concatenate([embedding for _, embedding, _ in asked])
    found = perceiver.likelihood(encoding, logits, embeddings, part)
    if any(score >= least for score, (_, _, least) in zip(found, asked, strict=True)):
        return True
    near = before | perceiver.masks(encoding, answer)[0]
    seen = _asked(perceiver, encoding, _questions(part, label), near)
    if not len(seen):
        return False
    masks = crop_content(seen.logits, encoding.content) > 0
    share = np.count_nonzero(masks & added, axis=(1, 2))
    seen = seen.take(np.flatnonzero(share > _SEEN_ADDED * np.count_nonzero(masks, axis=(1, 2))))
    fits = perceiver.likelihood(encoding, seen.logits, seen.embeddings, part)
    return bool((fits >= _LIKELY_ADDED).any())


def _questions(part: str, label: str) -> tuple[Question, ...]:
    """Return what looks for a part of what is called ``label``, without a previous mask."""
    whole = f" of the {label}" if label else ""
    return (EVERY_PART, None), (find_prompt(f"the {part}{whole}"), None)


def _asked(
    perceiver: Perceiver,
    encoding: Encoding,
    questions: Sequence[Question],
    near: NDArray[np.bool_],
) -> Detections:
    """Return all that some questions find in or beside a mask (height, width)."""
    return joined(
        [
            perceiver.detect(encoding, text, _PART_OBJECTNESS, previous, near=near)
            for text, previous in questions
        ]
    )
