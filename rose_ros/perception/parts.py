"""The parts of a segment that a text speaks of: which one, whether it is there, and its mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rose_ros.model.prompts import EVERY_PART
from rose_ros.perception.masks import content_cells, crop_content
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.phrasing import NOT_ALONE, PART, PART_ALONE, WHOLE
from rose_ros.perception.sampling import to_odds
from rose_ros.perception.selection import Detections
from rose_ros.runtime.base import Encoding

#: How probable the part's name must be for what is left or taken away, and for what is added. Far
#: below what names need: a part that is not there has less than a thousandth, mostly. Chosen on 300
#: scenes that neither training nor tests have.
_LIKELY, _LIKELY_ADDED = 0.05, 0.01
#: How probable the name must be for a part found among the others; shares of a part that lie in
#: the mask, and of the mask that a part covers at the most.
_FITS, _INSIDE, _WHOLE = 0.1, 0.6, 0.9
#: Cells that a region needs to be told anything about, and its logits.
_LEAST_CELLS, _LOGIT = 12, 8.0


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
    perceiver: Perceiver, encoding: Encoding, before: NDArray[np.bool_], part: str
) -> Detections:
    """Return the part of a mask, bool (height, width), that passes for ``part``; none or one.

    The model looks for parts; of those within the mask that one counts whose name fits best.
    """
    found = perceiver.detect(
        encoding, EVERY_PART, perceiver.options.find_threshold, near=before
    )
    masks = crop_content(found.logits, encoding.content) > 0
    odds = to_odds(before, *masks.shape[1:])
    areas = np.count_nonzero(masks, axis=(1, 2))
    shared = np.count_nonzero(masks & (odds >= 0), axis=(1, 2))
    inside = (shared >= _INSIDE * areas) & (shared <= _WHOLE * np.count_nonzero(odds >= 0))
    found = found.take(np.flatnonzero(inside))
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
    part: str,
) -> bool:
    """Return whether ``part`` can be what one corrected mask is, adds or leaves out.

    before: bool (height, width), the mask that was corrected.
    """
    side = perceiver.runtime.mask_side
    rows, columns = content_cells(side, encoding.content)
    old, new = to_odds(before, rows, columns) >= 0, answer.logits[0, :rows, :columns] > 0
    own = answer.embeddings
    asked = [
        (region, embedding, least)
        for region, embedding, least in (
            (new, own, _LIKELY),
            (old & ~new, own, _LIKELY),
            # The category embedding is that of the whole.
            (new & ~old, np.zeros_like(own), _LIKELY_ADDED),
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
    return any(score >= least for score, (_, _, least) in zip(found, asked, strict=True))
