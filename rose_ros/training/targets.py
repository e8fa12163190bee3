"""What the network should answer: from instance masks to heat, positives and low-res masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PatchTargets:
    """Targets of one perception pass.

    heat: float32 (super_patches,), how central a super-patch is to any instance, in [0, 1].
    positive: bool (super_patches,), the one super-patch that stands for each instance.
    home: int64 (n,), that super-patch per instance, -1 for instances too small to count.
    own_heat: float32 (n, super_patches), the heat of each instance alone.
    """

    heat: NDArray[np.float32]
    positive: NDArray[np.bool_]
    home: NDArray[np.int64]
    own_heat: NDArray[np.float32]


def centre_heat(mask: Mask, grid: int) -> NDArray[np.float32]:
    """Return how central each super-patch is to a mask (height, width): (grid * grid,).

    The distance to the outline, averaged over the super-patch, relative to the best one: the peak
    lies inside the object even where its centroid does not.
    """
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = np.s_[y : y + height, x : x + width]
    crop = cv2.copyMakeBorder(mask[box].view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = np.zeros(mask.shape, np.float32)
    distance[box] = cv2.distanceTransform(crop, cv2.DIST_L2, 3)[1:-1, 1:-1]
    heat = cv2.resize(distance, (grid, grid), interpolation=cv2.INTER_AREA).ravel()
    return (heat / max(float(heat.max()), 1e-6)).astype(np.float32)


def patch_targets(masks: Sequence[Mask], grid: int, min_area: int) -> PatchTargets:
    """Give every instance one super-patch of its own, the smallest first.

    masks: n of (height, width) at one resolution; instances of fewer than ``min_area`` pixels get
    none and only soften the penalty around them.
    """
    count = grid * grid
    own = np.zeros((len(masks), count), np.float32)
    areas = np.array([np.count_nonzero(mask) for mask in masks], np.int64)
    for index, mask in enumerate(masks):
        if areas[index]:
            own[index] = centre_heat(mask, grid)
    home = np.full(len(masks), -1, np.int64)
    free = np.ones(count, bool)
    for index in np.argsort(areas, kind="stable"):
        wish = own[index] * free
        if areas[index] >= max(min_area, 1) and wish.max() > 0:
            home[index] = int(wish.argmax())
            free[home[index]] = False
    heat = own.max(axis=0, initial=0.0) if len(masks) else np.zeros(count, np.float32)
    return PatchTargets(heat.astype(np.float32), ~free, home, own)


def low_resolution(mask: Mask, side: int) -> NDArray[np.uint8]:
    """Return the share of each low-resolution pixel that a mask covers, of 255: (side, side)."""
    full = mask.view(np.uint8) * np.uint8(255)
    # Areas are slow to average where a pixel is not a whole number of them, and hardly differ.
    how = cv2.INTER_LINEAR if mask.shape[0] % side else cv2.INTER_AREA
    return np.asarray(cv2.resize(full, (side, side), interpolation=how), np.uint8)
