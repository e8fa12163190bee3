"""True masks made a little wrong, as a network would draw them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Share of masks that stay as they are; and how far the outlines of the others move at the most.
#: More would wipe out what is thin, which a network's own masks keep.
_KEPT, _STRENGTH = 0.6, 0.3
#: Cells from the outline within which it moves, and how sharp the new one is.
_SEAM, _SLOPE = 3, 12.0


def roughen(masks: Tensor) -> Tensor:
    """Move the outlines of some masks (batch, n, side, side) in [0, 1] by smooth noise."""
    flat = masks.flatten(0, 1).unsqueeze(1)
    side = masks.shape[-1]
    noise = _smooth_noise(flat, max(side // 10, 2)) + 0.6 * _smooth_noise(flat, max(side // 4, 2))
    size = 2 * _SEAM + 1
    widest = functional.max_pool2d(flat, size, 1, _SEAM)
    seam = widest + functional.max_pool2d(-flat, size, 1, _SEAM)
    strength = _STRENGTH * torch.rand_like(flat[:, :, :1, :1]) ** 2
    soft = functional.avg_pool2d(flat, 3, 1, 1, count_include_pad=False)
    moved = (_SLOPE * (soft - 0.5 + strength * noise * seam)).sigmoid()
    kept = torch.rand_like(strength) < _KEPT
    return torch.where(kept, flat, moved).view_as(masks)


def _smooth_noise(like: Tensor, cells: int) -> Tensor:
    noise = torch.randn_like(like[:, :, :1, :1].expand(-1, -1, cells, cells))
    return functional.interpolate(noise, like.shape[-2:], mode="bilinear")
