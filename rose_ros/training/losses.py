"""Losses as pure functions of logits and targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def objectness_loss(logits: Tensor, heat: Tensor, positive: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CenterNet (Zhou et al., arXiv 1904.07850, eq. 1).

    logits, heat, positive: (batch, super_patches); heat in [0, 1] softens the penalty near a
    positive, positive is bool. Normalised by the number of positives.
    """
    probability = logits.float().sigmoid()
    log_yes = functional.logsigmoid(logits.float())
    log_no = functional.logsigmoid(-logits.float())
    hit = -((1 - probability) ** 2) * log_yes * positive
    miss = -((1 - heat) ** 4) * probability**2 * log_no * ~positive
    return (hit.sum() + miss.sum()) / positive.sum().clamp(min=1)


def mask_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Balanced cross entropy plus dice, averaged over the valid masks.

    logits, target: (batch, n, height, width), target in [0, 1]; valid: bool (batch, n).
    The cross entropy weighs foreground and background alike: plain BCE from scratch falls into
    "nothing anywhere" and stays there.
    """
    logits, weight = logits.float(), valid.float()
    pixels = (-2, -1)
    inside, outside = target.sum(pixels), (1 - target).sum(pixels)
    yes = -(functional.logsigmoid(logits) * target).sum(pixels) / inside.clamp(min=1)
    no = -(functional.logsigmoid(-logits) * (1 - target)).sum(pixels) / outside.clamp(min=1)
    probability = logits.sigmoid()
    overlap = 2 * (probability * target).sum(pixels) + 1
    dice = 1 - overlap / (probability.sum(pixels) + inside + 1)
    loss = 0.5 * (yes + no) + dice
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def quality_loss(predicted: Tensor, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Squared error of the predicted IoU against the real one; shapes as in ``mask_loss``."""
    with torch.no_grad():
        mask, truth = logits > 0, target > 0.5
        union = (mask | truth).sum((-2, -1))
        real = (mask & truth).sum((-2, -1)) / union.clamp(min=1)
    error = (predicted.float() - real) ** 2 * valid
    return error.sum() / valid.sum().clamp(min=1)


def naming_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the next token; logits (n, length, vocabulary), labels (n, length).

    A label of -100 does not count. Labels stand under the token they name, not shifted.
    """
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100
    )
