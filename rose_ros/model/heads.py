"""The three heads that read a super-patch, and the token that stands for a region."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
    """Join the category embedding with the image features pooled under the decoded mask.

    category: (..., width); patches: (..., width), pooled from the vision tower; sam:
    (..., prompt_width), pooled from SAM's embedding, whose grid is finer. Returns (..., width).
    """

    def __init__(self, width: int, prompt_width: int, evidence: str) -> None:
        super().__init__()
        self.evidence = evidence
        self.norm = nn.LayerNorm(2 * width + prompt_width)
        self.hidden = nn.Linear(2 * width + prompt_width, width)
        self.activation = nn.GELU()
        self.out = nn.Linear(width, width)

    def forward(self, category: Tensor, patches: Tensor, sam: Tensor) -> Tensor:
        if self.evidence == "category":
            patches, sam = torch.zeros_like(patches), torch.zeros_like(sam)
        elif self.evidence == "pooled":
            category = torch.zeros_like(category)
        joined = self.norm(torch.cat([category, patches, sam], dim=-1))
        return self.out(self.activation(self.hidden(joined)))
