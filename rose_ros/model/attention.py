"""Attention masks of the two kinds of sequence, for a stock transformers language model.

Boolean, (batch or 1, 1, queries, keys), True where a query may look.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(tokens: Tensor) -> Tensor:
    """Let every token see itself and what came before; tokens: (batch, length, width)."""
    length = tokens.shape[1]
    return torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()[None, None]


def patch_block_mask(text_mask: Tensor, *, prefix: int, block: int, bidirectional: bool) -> Tensor:
    """Build the rule of perception: causal up to the placeholders, free among them.

    Queries are the text and the placeholders; keys are the ``prefix`` image tokens before them,
    the text and the placeholders. Padding (False in text_mask, bool (batch, text)) is never seen,
    but for a padded query's own position, which keeps its attention defined.
    After STAMP (HKUST-LongGroup/STAMP), which opens the same block on another model.
    """
    batch, text = text_mask.shape
    length = text + block
    device = text_mask.device
    allowed = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if bidirectional:
        allowed[text:, text:] = True
    visible = torch.nn.functional.pad(text_mask, (0, block), value=True)
    own = torch.eye(length, dtype=torch.bool, device=device)
    suffix = (allowed & visible[:, None, :]) | own
    image = torch.ones(batch, length, prefix, dtype=torch.bool, device=device)
    return torch.cat([image, suffix], dim=-1).unsqueeze(1)
