"""The three heads that read a super-patch, and the token that stands for a region."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rose_ros.model.focal import FocalEncoder, sample_image, sample_masks, window_grid, windows

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
    read too: SAM's features on a small grid, as in GPT4RoI (arXiv 2307.03601), the outline of the
    mask itself, as in Osprey (arXiv 2312.10032), with its size and place, and, where the model has
    one, a focal crop.
    """

    def __init__(self, width: int, prompt_width: int, evidence: str, *, focal: bool) -> None:
        super().__init__()
        self.evidence = evidence
        self.norm = nn.LayerNorm(2 * width + prompt_width)
        self.hidden = nn.Linear(2 * width + prompt_width, width)
        self.window_norm = nn.LayerNorm(prompt_width * WINDOW**2)
        self.window = nn.Linear(prompt_width * WINDOW**2, width)
        self.outline = nn.Linear(OUTLINE**2 + 3, width)
        self.focal = FocalEncoder(width) if focal else None
        self.activation = nn.GELU()
        self.out = nn.Linear(width, width)

    def forward(
        self,
        category: Tensor,
        patches: Tensor,
        embedding: Tensor,
        image: Tensor,
        masks: Tensor,
        shape_only: Tensor | None = None,
    ) -> Tensor:
        """Make region tokens (batch, n, width).

        category: (batch, n, width); patches: (batch, width, grid, grid) of the vision tower;
        embedding: (batch, prompt_width, grid, grid) of SAM; image: (batch, 3, height, width),
        normalised; masks: (batch, n, any, any) in [0, 1]; shape_only: bool (batch, n), regions
        that keep nothing but outline and focal crop.
        """
        look, shape = self._evidence(category, patches, embedding, image, masks)
        if shape_only is not None:
            look = look * ~shape_only.unsqueeze(-1)
        return self.out(self.activation(look + shape))

    def with_shapes(
        self, category: Tensor, patches: Tensor, embedding: Tensor, image: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Make region tokens and those of the shapes alone, (batch, n, width) each."""
        look, shape = self._evidence(category, patches, embedding, image, masks)
        return self.out(self.activation(look + shape)), self.out(self.activation(shape))

    def _evidence(
        self, category: Tensor, patches: Tensor, embedding: Tensor, image: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what regions look like and what shape they have, (batch, n, width) each."""
        pooled, sam = pool(patches, masks), pool(embedding, masks)
        centres, extent = windows(masks)
        window = sample_image(embedding, window_grid(centres, extent, WINDOW)).flatten(2)
        seen = sample_masks(masks, window_grid(centres, extent, OUTLINE), "zeros").flatten(2)
        outline = torch.cat([seen, extent.log(), centres], dim=-1)
        if self.evidence == "category":
            pooled, sam = torch.zeros_like(pooled), torch.zeros_like(sam)
            window, outline = torch.zeros_like(window), torch.zeros_like(outline)
        elif self.evidence == "pooled":
            category = torch.zeros_like(category)
        look = self.hidden(self.norm(torch.cat([category, pooled, sam], dim=-1)))
        look = look + self.window(self.window_norm(window))
        shape = self.outline(outline)
        if self.focal is not None and self.evidence != "category":
            shape = shape + self.focal(image, masks)
        return look, shape


def pool(features: Tensor, masks: Tensor) -> Tensor:
    """Average features under masks.

    features: (batch, channels, height, width); masks: (batch, n, any, any) in [0, 1].
    Returns (batch, n, channels); zeros under an empty mask.
    """
    weights = functional.interpolate(masks, features.shape[-2:], mode="area").flatten(2)
    total = weights.sum(-1, keepdim=True).clamp(min=1e-4)
    return (weights / total).to(features.dtype) @ features.flatten(2).transpose(1, 2)
