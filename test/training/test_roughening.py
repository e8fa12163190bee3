"""Masks for training are a little wrong, never another thing."""

from __future__ import annotations

import torch

from rose_ros.training.roughening import roughen


def squares(count: int = 64, side: int = 80) -> torch.Tensor:
    masks = torch.zeros(1, count, side, side)
    masks[:, :, 20:50, 30:60] = 1
    masks[:, :, 50:70, 44:47] = 1  # something thin
    return masks


def test_most_masks_stay_and_the_others_keep_their_shape() -> None:
    torch.manual_seed(0)
    given = squares()
    made = roughen(given)
    assert made.shape == given.shape
    assert 0 <= made.min() <= made.max() <= 1
    same = (made == given).all(-1).all(-1).float().mean()
    assert 0.4 < same < 0.8
    first, second = given > 0.5, made > 0.5
    iou = (first & second).sum((2, 3)) / (first | second).sum((2, 3))
    assert iou.min() > 0.7
    assert iou.min() < 1


def test_only_the_outline_moves() -> None:
    torch.manual_seed(1)
    changed = ((roughen(squares()) > 0.5) != (squares() > 0.5)).any(1)[0]
    assert changed.any()
    assert not changed[26:44, 36:54].any()
    assert not changed[:14].any()


def test_thin_parts_stay() -> None:
    torch.manual_seed(2)
    made = roughen(squares()) > 0.5
    kept = made[0, :, 52:68, 44:47].float().mean((1, 2))
    assert kept.mean() > 0.8
