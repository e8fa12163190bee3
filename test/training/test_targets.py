"""Which super-patch stands for which instance."""

from __future__ import annotations

import numpy as np

from rose_ros.training.targets import centre_heat, low_resolution, patch_targets

GRID = 10


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((240, 240), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_centre_is_hottest() -> None:
    heat = centre_heat(box(24, 48, 96, 120), GRID).reshape(GRID, GRID)
    assert np.unravel_index(heat.argmax(), heat.shape) == (3, 2)
    assert heat.max() == 1
    assert heat[8, 8] == 0


def test_the_peak_of_a_ring_lies_on_the_ring() -> None:
    ring = box(20, 20, 220, 220) & ~box(60, 60, 180, 180)
    targets = patch_targets([ring], GRID, 60)
    row, column = divmod(int(targets.home[0]), GRID)
    assert ring[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24].mean() > 0.5


def test_every_instance_gets_a_super_patch_of_its_own() -> None:
    small, large = box(100, 100, 112, 112), box(50, 50, 170, 170) & ~box(100, 100, 112, 112)
    targets = patch_targets([large, small, box(0, 0, 240, 20)], GRID, 60)
    assert len(set(targets.home.tolist())) == 3
    assert targets.home[1] == 4 * GRID + 4, "the smaller one is served first"
    assert targets.positive.sum() == 3


def test_tiny_instances_only_soften_the_penalty() -> None:
    targets = patch_targets([box(100, 100, 105, 105)], GRID, 60)
    assert targets.home.tolist() == [-1]
    assert not targets.positive.any()
    assert targets.heat.max() > 0


def test_no_instances_no_positives() -> None:
    targets = patch_targets([], GRID, 60)
    assert targets.heat.shape == targets.positive.shape == (100,)
    assert not targets.positive.any()


def test_low_resolution_keeps_the_area() -> None:
    mask = box(10, 20, 101, 99)
    assert abs(low_resolution(mask, 80).mean() / 255 - mask.mean()) < 1e-3
