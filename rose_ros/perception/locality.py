"""What a correction of a mask leaves alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.masks import bounding_box, content_cells, crop_content, iou_matrix
from rose_ros.perception.sampling import to_odds

#: Masks that share less of the smaller one's area are two things.
SHARED_AREA = 0.3
#: Masks of one thing, of which one has a bad outline, overlap by this much.
_ALIKE_IOU = 0.3
#: How far from a mask's box the centre of its super-patch may be, in sides of the model's square.
_BESIDE = 0.05
#: How far a change must reach from where nothing changes to be one, in sides of the model's
#: square: two cells of rose-tiny's masks.
REACH = 2 / 160


def is_same_thing(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> bool:
    """Return whether two masks (h, w) can be one segment before and after a correction."""
    shared = int(np.count_nonzero(before & after))
    smaller = min(int(np.count_nonzero(before)), int(np.count_nonzero(after)))
    return shared >= SHARED_AREA * max(1, smaller)


def most_alike(
    mask: NDArray[np.bool_], logits: NDArray[np.float32], content: tuple[float, float]
) -> int | None:
    """Return which of some masks, logits (n, side, side), a mask (height, width) is most like.

    None when it can be none of them.
    """
    if not len(logits):
        return None
    masks = crop_content(logits, content) > 0
    overlap = iou_matrix(to_odds(mask, *masks.shape[1:])[None] >= 0, masks)[0]
    best = int(overlap.argmax())
    return best if overlap[best] >= _ALIKE_IOU else None


def keep_outline(
    before: NDArray[np.bool_], logits: NDArray[np.float32], content: tuple[float, float]
) -> NDArray[np.float32]:
    """Return corrected masks, logits (n, side, side), with the old outline where only that moved.

    A text speaks of a handle or of a plate. What else differs from the mask ``before``, bool
    (height, width), lies in a thin seam along its outline, which every decoded mask draws a little
    otherwise; there the mask stays as it was. Masks of another thing are returned as they are.
    """
    side = logits.shape[-1]
    rows, columns = content_cells(side, content)
    odds = to_odds(before, rows, columns)
    old = odds >= 0
    kept = logits.copy()
    for mask in kept[:, :rows, :columns]:
        new = mask > 0
        if is_same_thing(old, new):
            reach = REACH * side
            changed = _reaching(new & ~old, old, reach) | _reaching(old & ~new, new, reach)
            mask[~changed] = odds[~changed]
    return kept


def beside(
    centres: NDArray[np.float32], mask: NDArray[np.bool_], content: tuple[float, float]
) -> NDArray[np.int64]:
    """Return which super-patches with ``centres`` (n, 2) lie in the box of a mask, or just beside.

    centres: (x, y) in [0, 1] of the model's square; mask: bool (height, width).
    """
    box = np.array(bounding_box(mask), np.float64).reshape(2, 2)
    low, high = box / mask.shape[::-1] * content
    near = (centres >= low - _BESIDE) & (centres <= high + _BESIDE)
    return np.flatnonzero(near.all(axis=1))


def _reaching(
    change: NDArray[np.bool_], start: NDArray[np.bool_], reach: float
) -> NDArray[np.bool_]:
    """Return the parts of a change (h, w) that go more than ``reach`` cells away from ``start``."""
    far = change & (cv2.distanceTransform((~start).view(np.uint8), cv2.DIST_L2, 5) > reach)
    size = 2 * int(np.ceil(reach)) + 3
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return change & cv2.dilate(far.view(np.uint8), disc).view(np.bool_)
