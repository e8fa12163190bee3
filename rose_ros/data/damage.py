"""Ways to spoil a mask, as a segmenter would: cut, grow, shrink, roughen, break into pieces.

All masks are bool (height, width); nothing is changed in place.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

SIDES = ("left", "right", "top", "bottom")
OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


def iou(first: Mask, second: Mask) -> float:
    """Return intersection over union in [0, 1]; two empty masks agree: 1."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def dilate(mask: Mask, radius: int) -> Mask:
    """Grow a mask by ``radius`` pixels."""
    return _morph(mask, radius, cv2.MORPH_DILATE)


def erode(mask: Mask, radius: int) -> Mask:
    """Shrink a mask by ``radius`` pixels; the image border does not shrink it."""
    return _morph(mask, radius, cv2.MORPH_ERODE)


def close(mask: Mask, radius: int) -> Mask:
    """Fill gaps up to about twice ``radius`` pixels."""
    return _morph(mask, radius, cv2.MORPH_CLOSE)


def _morph(mask: Mask, radius: int, operation: int) -> Mask:
    size = 2 * radius + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(mask.view(np.uint8), operation, kernel).astype(bool)


def along(mask: Mask, side: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return how far each pixel lies towards ``side``, 0 to 1 over the mask, float32 (h, w).

    The direction is tilted at random by up to about 15 degrees, so that cuts are not all straight.
    """
    height, width = mask.shape
    tilt = float(rng.uniform(-0.27, 0.27))
    ys, xs = np.ogrid[:height, :width]
    if side in ("left", "right"):
        position = (xs + tilt * ys).astype(np.float32)
    else:
        position = (ys + tilt * xs).astype(np.float32)
    if side in ("left", "top"):
        position = -position
    values = position[mask]
    low, high = float(values.min()), float(values.max())
    return (position - low) / max(high - low, 1.0)


def cut_off(mask: Mask, side: str, share: float, rng: np.random.Generator) -> Mask:
    """Remove the ``share`` of the mask's extent that lies towards ``side``."""
    return mask & (along(mask, side, rng) < 1.0 - share)


def without_band(mask: Mask, rng: np.random.Generator) -> Mask:
    """Remove a band across the mask, leaving two pieces, as an occluder or a line would."""
    position = along(mask, "right" if rng.random() < 0.5 else "bottom", rng)
    middle, half = rng.uniform(0.35, 0.65), rng.uniform(0.06, 0.15)
    return mask & (np.abs(position - middle) > half)


def spill(mask: Mask, side: str, reach: int, rng: np.random.Generator) -> Mask:
    """Grow a mask by ``reach`` pixels on one side only."""
    return mask | (dilate(mask, reach) & (along(mask, side, rng) > 0.6))


def quantise(mask: Mask, block: int) -> Mask:
    """Redraw a mask from blocks of ``block`` pixels, as a coarse decoder would."""
    height, width = mask.shape
    small = (max(width // block, 1), max(height // block, 1))
    coarse = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST) > 0.5


def wobble(mask: Mask, strength: float, rng: np.random.Generator) -> Mask:
    """Move the outline in and out by about ``strength`` pixels, differently along the way."""
    height, width = mask.shape
    cells = (max(height // 10, 2), max(width // 10, 2))
    noise = rng.normal(0.0, 1.0, cells).astype(np.float32)
    field = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(strength, 0.5))
    return soft + 0.35 * field * (soft > 0.02) * (soft < 0.98) > 0.5


def soften(mask: Mask, rng: np.random.Generator) -> Mask:
    """Return the mask as a good model would draw it: exact, or off by a pixel or two."""
    choice = rng.random()
    if choice < 0.4:
        return mask
    if choice < 0.6:
        result = wobble(mask, 1.0, rng)
    elif choice < 0.75:
        result = dilate(mask, 1)
    elif choice < 0.9:
        result = erode(mask, 1)
    else:
        result = quantise(mask, 3)
    return result if iou(result, mask) > 0.75 else mask


def blob(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Draw a random filled ellipse of 3 to 15 % of the image side, bool ``shape``."""
    height, width = shape
    canvas = np.zeros(shape, np.uint8)
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    side = min(height, width)
    axes = (int(side * rng.uniform(0.03, 0.15)) + 2, int(side * rng.uniform(0.03, 0.15)) + 2)
    cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas.astype(bool)
