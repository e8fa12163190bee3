"""From the cells of a low-resolution map to the pixels of an image, bilinearly, and back."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

#: (x0, y0, x1, y1) in pixels, half-open.
Box = tuple[int, int, int, int]
#: From one up to, not including, the other.
Span = tuple[int, int]
#: The most that a cell of a given mask counts as sure, in [0.5, 1].
_SURE = 0.98


def to_odds(mask: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.float32]:
    """Return logits (rows, columns) of a mask (height, width): of the share that each cell has."""
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    share = np.clip(share, 1 - _SURE, _SURE)
    odds: NDArray[np.float32] = np.log(share / (1 - share))
    return odds


def cell_scale(
    side: int, content: tuple[float, float], height: int, width: int
) -> tuple[float, float]:
    """Return the cells per image pixel (x, y)."""
    return side * content[0] / width, side * content[1] / height


def sample(
    source: NDArray[np.float32], scale: tuple[float, float], box: Box, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Sample cells (rows, columns) bilinearly at the pixels of ``box``, (y1 - y0, x1 - x0).

    ``size`` is the image's (height, width). Where whole cells make up the image, they are resized,
    which takes a tenth of the time of warping.
    """
    x0, y0, x1, y1 = box
    rows, columns = source.shape
    if (rows, columns) == (round(scale[1] * size[0], 6), round(scale[0] * size[1], 6)):
        (left, right), (c0, c1) = _whole_cells(x0, x1, columns, size[1])
        (top, bottom), (r0, r1) = _whole_cells(y0, y1, rows, size[0])
        block = np.ascontiguousarray(source[r0:r1, c0:c1], np.float32)
        whole = cv2.resize(block, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        return np.asarray(whole, np.float32)[y0 - top : y1 - top, x0 - left : x1 - left]
    matrix = np.array(
        [
            [scale[0], 0.0, (x0 + 0.5) * scale[0] - 0.5],
            [0.0, scale[1], (y0 + 0.5) * scale[1] - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    contiguous = np.ascontiguousarray(source, np.float32)
    sampled = cv2.warpAffine(
        contiguous, matrix, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(sampled, np.float32)


def _whole_cells(low: int, high: int, cells: int, pixels: int) -> tuple[Span, Span]:
    """Return the least span of pixels, and of cells, that begins and ends with both.

    Everything that the pixels from ``low`` to ``high`` are interpolated from lies in it. An axis
    has ``cells`` on ``pixels``.
    """
    common = math.gcd(cells, pixels)
    cell_step, pixel_step = cells // common, pixels // common
    scale = cells / pixels
    first = max(0, math.floor((low + 0.5) * scale - 0.5)) // cell_step
    last = min(cells, math.floor((high - 0.5) * scale - 0.5) + 2)
    end = -(-last // cell_step)
    return (first * pixel_step, end * pixel_step), (first * cell_step, end * cell_step)
