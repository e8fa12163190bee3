"""The image around a mask, seen larger: what is small is a few patches of a whole image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.masks import bounding_box, content_cells, crop_content
from rose_ros.perception.sampling import Box
from rose_ros.perception.selection import Detections
from rose_ros.runtime.base import Encoding

#: Side of a window for each side of the box in it.
_AROUND = 1.35
#: A window this large shows nothing better.
_WHOLE = 0.9
#: Samples a side of each cell that is pasted; and what is outside a window, in logits.
_FINE, _OUTSIDE = 3, -8.0


@dataclass(frozen=True, slots=True)
class CloseUp:
    """A mask in a window (x0, y0, x1, y1) of an image, encoded as an image of its own.

    mask: bool (height, width) of ``encoding``, the close-up's. whole: the image it is of.
    """

    encoding: Encoding
    mask: NDArray[np.bool_]
    whole: Encoding
    window: Box

    def paste(self, found: Detections) -> Detections:
        """Return what was found in the window with masks of the whole image."""
        if self.encoding is self.whole:
            return found
        side = found.logits.shape[-1]
        rows, columns = content_cells(side, self.whole.content)
        x0, y0, x1, y1 = self.window
        cells = crop_content(found.logits, self.encoding.content)
        # From the samples of the image's cells to the cells of the window.
        across = self.whole.width / (_FINE * columns), cells.shape[2] / (x1 - x0)
        down = self.whole.height / (_FINE * rows), cells.shape[1] / (y1 - y0)
        matrix = np.array(
            [
                [across[0] * across[1], 0.0, (0.5 * across[0] - x0) * across[1] - 0.5],
                [0.0, down[0] * down[1], (0.5 * down[0] - y0) * down[1] - 0.5],
            ]
        )
        logits = np.full(found.logits.shape, _OUTSIDE, np.float32)
        for one, source in zip(logits, cells, strict=True):
            fine = cv2.warpAffine(
                np.ascontiguousarray(source),
                matrix,
                (_FINE * columns, _FINE * rows),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=_OUTSIDE,
            )
            one[:rows, :columns] = cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA)
        return replace(found, logits=logits)


def zoom(
    encode: Callable[[NDArray[np.uint8]], Encoding],
    encoding: Encoding,
    mask: NDArray[np.bool_],
    least: float,
) -> CloseUp:
    """Look at the image around a mask, bool (height, width), as at an image of its own.

    least: side of the window at least, in sides of the image. What fills the image stays as it is.
    """
    height, width = mask.shape
    x0, y0, x1, y1 = bounding_box(mask)
    share = max(least, _AROUND * max((x1 - x0) / width, (y1 - y0) / height))
    if share > _WHOLE:
        return CloseUp(encoding, mask, encoding, (0, 0, width, height))
    (left, right), (top, bottom) = _around(x0, x1, share, width), _around(y0, y1, share, height)
    # What is kept of the image may be smaller than the image was.
    scale = encoding.image.shape[1] / width, encoding.image.shape[0] / height
    columns = slice(round(left * scale[0]), round(right * scale[0]))
    rows = slice(round(top * scale[1]), round(bottom * scale[1]))
    close = encode(np.ascontiguousarray(encoding.image[rows, columns]))
    inside = mask[top:bottom, left:right].astype(np.uint8)
    size = close.width, close.height
    seen = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return CloseUp(close, seen, encoding, (left, top, right, bottom))


def _around(low: int, high: int, share: float, length: int) -> tuple[int, int]:
    """Return a span of a share of a length around another span, moved inside where it must be."""
    size = max(1, round(share * length))
    start = min(max(0, (low + high - size) // 2), length - size)
    return start, start + size
