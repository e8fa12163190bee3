"""Corrections of the model's own errors: what it just drew, what is wrong with it, what is right.

Faults that are made up are not those a model makes; trained on them alone, it does not correct
itself (SegAgent, arXiv 2503.08625, found the same). So beside each made-up correction a mask is
corrected that the dense pass of the same step decoded, by a sentence about its real fault.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rose_ros.data.damage import SIDES
from rose_ros.data.phrases import TRAINING
from rose_ros.data.speaker import SceneSpeaker
from rose_ros.data.views import LabelledView, NamedObject
from rose_ros.model.processing import PREVIOUS_LOGIT

#: Decoded instances per image of which one is corrected.
OWN_ROWS = 3
#: IoU with the truth of masks that are corrected; better than ``FAIR``, only the outline is wrong.
WORST, FAIR, BEST = 0.3, 0.8, 0.92
#: What a sentence can say: the first three of the outline, the rest of one direction each.
FAULTS = (
    "edge_tight",
    "edge_loose",
    "edge_rough",
    "too_small_any",
    "too_big_any",
    *(f"too_small_{side}" for side in SIDES),
    *(f"too_big_{side}" for side in SIDES),
)
_TIGHT, _LOOSE, _ROUGH, _SMALL, _BIG = range(5)
#: An error has a side where its middle is this far from the object's, in half sides of its box.
_ONE_SIDED = 0.4


def sentences(view: LabelledView, target: NamedObject, rng: np.random.Generator) -> tuple[str, ...]:
    """Return one sentence about ``target`` for each of ``FAULTS``."""
    speaker = SceneSpeaker(view, rng, TRAINING, allow_novel=False)
    texts = [speaker.say(key, target) for key in FAULTS[:5]]
    for key in ("too_small_side", "too_big_side"):
        texts += [speaker.say(key, target, side=side) for side in SIDES]
    return tuple(texts)


def own_corrections(batch: dict[str, Tensor], logits: Tensor, grid: int) -> dict[str, Tensor]:
    """Return the inputs and targets of a pass "own" over the model's own masks.

    logits: (batch, n, side, side) of the first n instances of the dense pass; grid: super-patches
    a side. Of each image one mask is corrected, if it can be one that is wrong; what is as good as
    right, or another thing, counts for the objectness alone.
    """
    own = logits[:, :OWN_ROWS].detach() > 0
    truth = batch["dense_masks"][:, : own.shape[1]] > 0.5
    iou = (own & truth).sum((2, 3)) / (own | truth).sum((2, 3)).clamp(min=1)
    present = batch["dense_valid"][:, : own.shape[1]]
    worth = present & (iou > WORST) & (iou < BEST)
    row = (torch.rand_like(iou) + present + worth).argmax(1)
    images = torch.arange(len(row), device=row.device)
    fault = _faults(own[images, row], truth[images, row], iou[images, row])
    share, heat = own[images, row].float(), batch["own_heats"][images, row]
    coarse = functional.adaptive_avg_pool2d(share, batch["refine_previous"].shape[-1])
    return {
        "own_text": batch["own_texts"][images, row, fault],
        "own_text_mask": batch["own_texts_mask"][images, row, fault],
        "own_heat": heat,
        "own_positive": functional.one_hot(heat.argmax(1), heat.shape[1]).bool(),
        "own_share": functional.adaptive_avg_pool2d(share, grid).flatten(1),
        "own_previous": (PREVIOUS_LOGIT * (2.0 * coarse - 1.0)).unsqueeze(1),
        "own_patches": batch["dense_patches"][images, row].unsqueeze(1),
        "own_masks": batch["dense_masks"][images, row].unsqueeze(1),
        "own_valid": worth[images, row].unsqueeze(1),
    }


def _faults(own: Tensor, truth: Tensor, iou: Tensor) -> Tensor:
    """Say what is wrong with masks (n, side, side): indices into ``FAULTS``."""
    missing, extra = truth & ~own, own & ~truth
    less, more = missing.sum((1, 2)), extra.sum((1, 2))
    outline = torch.where(less > 2 * more, _TIGHT, torch.where(more > 2 * less, _LOOSE, _ROUGH))
    small = less >= more
    wrong = torch.where(small.view(-1, 1, 1), missing, extra)
    away, reach = _middle(wrong) - _middle(truth), _half_box(truth)
    away = away / reach.clamp(min=1.0)
    across = away[:, 0].abs() >= away[:, 1].abs()
    side = torch.where(across, (away[:, 0] > 0).long(), 2 + (away[:, 1] > 0).long())
    one_sided = (away.abs().amax(1) > _ONE_SIDED) & (torch.rand_like(iou) < 0.75)
    plain = torch.where(small, _SMALL, _BIG)
    sided = 5 + side + torch.where(small, 0, len(SIDES))
    return torch.where(iou > FAIR, outline, torch.where(one_sided, sided, plain))


def _middle(masks: Tensor) -> Tensor:
    """Return the centre (x, y) of each mask (n, side, side), in cells."""
    total = masks.sum((1, 2)).clamp(min=1)
    cells = torch.arange(masks.shape[-1], device=masks.device, dtype=torch.float32)
    x, y = (masks.sum(1) * cells).sum(1) / total, (masks.sum(2) * cells).sum(1) / total
    return torch.stack([x, y], dim=1)


def _half_box(masks: Tensor) -> Tensor:
    """Return half the width and height (n, 2) of each mask's box, in cells."""
    return torch.stack([masks.any(1).sum(1), masks.any(2).sum(1)], dim=1) / 2
