"""Losses on hand-made cases."""

from __future__ import annotations

import pytest
import torch

from rose_ros.training.losses import mask_loss, naming_loss, objectness_loss, quality_loss


def test_objectness_prefers_the_peak() -> None:
    heat = torch.tensor([[0.2, 1.0, 0.9, 0.0]])
    positive = heat == 1.0
    right = objectness_loss(torch.tensor([[-6.0, 6.0, -6.0, -6.0]]), heat, positive)
    missed = objectness_loss(torch.tensor([[-6.0, -6.0, -6.0, -6.0]]), heat, positive)
    near = objectness_loss(torch.tensor([[-6.0, 6.0, 6.0, -6.0]]), heat, positive)
    far = objectness_loss(torch.tensor([[-6.0, 6.0, -6.0, 6.0]]), heat, positive)
    assert right < near < far
    assert right < 0.01 < missed


def test_objectness_without_any_positive_is_finite() -> None:
    none = torch.zeros(1, 4)
    assert objectness_loss(torch.zeros(1, 4), none, none.bool()).isfinite()


def test_a_perfect_mask_costs_nothing_and_an_empty_one_much() -> None:
    target = torch.zeros(1, 1, 20, 20)
    target[..., 3:9, 3:9] = 1.0
    valid = torch.ones(1, 1, dtype=torch.bool)
    perfect = mask_loss(40 * target - 20, target, valid)
    nothing = mask_loss(torch.full_like(target, -20.0), target, valid)
    everything = mask_loss(torch.full_like(target, 20.0), target, valid)
    assert perfect < 0.01
    assert nothing > 5
    assert everything == pytest.approx(nothing.item(), rel=0.2), "the cross entropy is balanced"


def test_invalid_masks_do_not_count() -> None:
    target = torch.zeros(1, 2, 4, 4)
    target[:, 0, :2] = 1.0
    logits = torch.where(target > 0, 20.0, -20.0)
    logits[:, 1] = 20.0
    assert mask_loss(logits, target, torch.tensor([[True, False]])) < 0.01
    assert mask_loss(logits, target, torch.tensor([[False, False]])) == 0


def test_quality_is_the_real_iou() -> None:
    target = torch.zeros(1, 1, 4, 4)
    target[..., :2] = 1.0
    logits = torch.full((1, 1, 4, 4), 5.0)
    valid = torch.ones(1, 1, dtype=torch.bool)
    assert quality_loss(torch.tensor([[0.5]]), logits, target, valid) == 0
    assert quality_loss(torch.tensor([[1.0]]), logits, target, valid) == pytest.approx(0.25)


def test_naming_reads_the_next_token() -> None:
    labels = torch.tensor([[-100, -100, 3, 1]])
    logits = torch.zeros(1, 4, 5)
    logits[0, 1, 3] = logits[0, 2, 1] = 30.0
    assert naming_loss(logits, labels) < 1e-6
    assert naming_loss(logits.roll(1, 1), labels) > 1
