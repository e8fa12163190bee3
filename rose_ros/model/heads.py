"""The three heads that read a super-patch, and the token that stands for a region."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Samples along one side of a region's window: of SAM's features, and of the mask.
WINDOW, OUTLINE = 6, 16


class ObjectnessHead(nn.Module):
    """(..., width) -> (...), the logit that this super-patch stands for one segment."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.activation = nn.GELU()
        self.out = nn.Linear(width, 1)

    def forward(self, states: Tensor) -> Tensor:
        return self.out(self.activation(self.hidden(states))).squeeze(-1)


class MaskHead(nn.Module):
    """(..., width) -> (..., prompt_width), a sparse prompt for SAM's mask decoder."""

    def __init__(self, width: int, prompt_width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.activation = nn.GELU()
        self.out = nn.Linear(width, prompt_width)

    def forward(self, states: Tensor) -> Tensor:
        return self.out(self.activation(self.hidden(states)))


class CategoryHead(nn.Module):
    """(..., width) -> (..., width), what is there, in the language model's own space."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        return self.out(states)


class RegionEmbedding(nn.Module):
    """Join the category embedding with what the image shows under the decoded mask.

    Averages alone lose the shape, which is what most nouns are about; so the region's window is
    read too: SAM's features on a small grid, as in GPT4RoI (arXiv 2307.03601), and the outline of
    the mask itself, as in Osprey (arXiv 2312.10032).
    """

    def __init__(self, width: int, prompt_width: int, evidence: str) -> None:
        super().__init__()
        self.evidence = evidence
        self.norm = nn.LayerNorm(2 * width + prompt_width)
        self.hidden = nn.Linear(2 * width + prompt_width, width)
        self.window_norm = nn.LayerNorm(prompt_width * WINDOW**2)
        self.window = nn.Linear(prompt_width * WINDOW**2, width)
        self.outline = nn.Linear(OUTLINE**2 + 1, width)
        self.activation = nn.GELU()
        self.out = nn.Linear(width, width)

    def forward(
        self, category: Tensor, patches: Tensor, embedding: Tensor, masks: Tensor
    ) -> Tensor:
        """Make region tokens (batch, n, width).

        category: (batch, n, width); patches: (batch, width, grid, grid) of the vision tower;
        embedding: (batch, prompt_width, grid, grid) of SAM; masks: (batch, n, height, width) in
        [0, 1].
        """
        pooled, sam = pool(patches, masks), pool(embedding, masks)
        centres, extent = windows(masks)
        window = look(embedding, centres, extent, WINDOW)
        outline = torch.cat([_outlines(masks, centres, extent), extent.log()], dim=-1)
        if self.evidence == "category":
            pooled, sam = torch.zeros_like(pooled), torch.zeros_like(sam)
            window, outline = torch.zeros_like(window), torch.zeros_like(outline)
        elif self.evidence == "pooled":
            category = torch.zeros_like(category)
        hidden = self.hidden(self.norm(torch.cat([category, pooled, sam], dim=-1)))
        hidden = hidden + self.window(self.window_norm(window)) + self.outline(outline)
        return self.out(self.activation(hidden))


def pool(features: Tensor, masks: Tensor) -> Tensor:
    """Average features under masks.

    features: (batch, channels, height, width); masks: (batch, n, any, any) in [0, 1].
    Returns (batch, n, channels); zeros under an empty mask.
    """
    weights = functional.interpolate(masks, features.shape[-2:], mode="area").flatten(2)
    total = weights.sum(-1, keepdim=True).clamp(min=1e-4)
    return (weights / total).to(features.dtype) @ features.flatten(2).transpose(1, 2)


def windows(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each mask is: centres (batch, n, 2) and half sides (batch, n, 1) in [0, 1].

    From the moments of the mask (batch, n, height, width), so that no box has to be searched for;
    the square window holds two standard deviations of the longer axis on either side.
    """
    total = masks.sum((-2, -1)).clamp(min=1e-4)
    means, variances = [], []
    for axis in (-1, -2):
        profile = masks.sum(-2 if axis == -1 else -1) / total.unsqueeze(-1)
        length = profile.shape[-1]
        places = (torch.arange(length, device=masks.device, dtype=masks.dtype) + 0.5) / length
        mean = (profile * places).sum(-1)
        means.append(mean)
        variances.append((profile * places**2).sum(-1) - mean**2)
    spread = torch.stack(variances, dim=-1).amax(-1, keepdim=True).clamp(min=1e-6).sqrt()
    return torch.stack(means, dim=-1), 2.0 * spread + 0.01


def look(features: Tensor, centres: Tensor, extent: Tensor, side: int) -> Tensor:
    """Sample features (batch, channels, height, width) on a grid in each window.

    Returns (batch, n, channels * side * side).
    """
    batch, count = centres.shape[:2]
    grid = _grid(centres, extent, side).flatten(1, 2)
    seen = functional.grid_sample(features.float(), grid, align_corners=False)
    return seen.unflatten(2, (count, side)).transpose(1, 2).reshape(batch, count, -1)


def _outlines(masks: Tensor, centres: Tensor, extent: Tensor) -> Tensor:
    """Sample each mask in its own window: (batch, n, OUTLINE * OUTLINE)."""
    grid = _grid(centres, extent, OUTLINE).flatten(0, 1)
    seen = functional.grid_sample(
        masks.float().flatten(0, 1).unsqueeze(1), grid, align_corners=False
    )
    return seen.flatten(1).unflatten(0, masks.shape[:2])


def _grid(centres: Tensor, extent: Tensor, side: int) -> Tensor:
    """Return the sampling points (batch, n, side, side, 2) of windows, in [-1, 1]."""
    steps = (torch.arange(side, device=centres.device, dtype=torch.float32) + 0.5) / side
    y, x = torch.meshgrid(2 * steps - 1, 2 * steps - 1, indexing="ij")
    offsets = torch.stack([x, y], dim=-1)
    centre, half = centres.float()[..., None, None, :], extent.float()[..., None, None, :]
    return 2 * (centre + half * offsets) - 1
