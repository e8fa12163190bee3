"""A mask of the model's own is given back with a sentence about what is wrong with it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rose_ros.training.own_errors import FAULTS, OWN_ROWS, own_corrections

SIDE, GRID = 40, 4


def box(left: int, top: int, right: int, bottom: int) -> Tensor:
    mask = torch.zeros(SIDE, SIDE)
    mask[top:bottom, left:right] = 1.0
    return mask


TRUTH = box(10, 10, 30, 30)


def corrected(*drawn: Tensor, valid: int = OWN_ROWS) -> dict[str, Tensor]:
    """Correct one image in which the model drew these masks of things that are all ``TRUTH``."""
    masks = torch.stack([TRUTH] * OWN_ROWS)
    own = torch.stack([*drawn, *[TRUTH] * (OWN_ROWS - len(drawn))])
    faults = torch.arange(len(FAULTS)).expand(1, OWN_ROWS, -1).unsqueeze(-1)
    batch = {
        "dense_masks": masks[None],
        "dense_valid": (torch.arange(OWN_ROWS) < valid)[None],
        "dense_patches": torch.arange(OWN_ROWS)[None],
        "own_heats": torch.eye(OWN_ROWS, GRID * GRID)[None],
        "own_texts": faults,
        "own_texts_mask": torch.ones_like(faults, dtype=torch.bool),
        "refine_previous": torch.zeros(1, 1, SIDE // 2, SIDE // 2),
    }
    return own_corrections(batch, 8.0 * (2.0 * own - 1.0)[None], GRID)


@pytest.mark.parametrize(
    ("drawn", "faults"),
    [
        (box(12, 11, 29, 30), {"edge_tight"}),
        (box(9, 9, 31, 31), {"edge_loose"}),
        (box(11, 10, 31, 30), {"edge_rough"}),
        (box(10, 10, 24, 30), {"too_small_right", "too_small_any"}),
        (box(10, 19, 30, 30), {"too_small_top", "too_small_any"}),
        (box(4, 10, 30, 30), {"too_big_left", "too_big_any"}),
        (box(10, 10, 30, 38), {"too_big_bottom", "too_big_any"}),
        (box(5, 5, 35, 35), {"too_big_any"}),
    ],
)
def test_the_sentence_says_what_is_wrong(drawn: Tensor, faults: set[str]) -> None:
    torch.manual_seed(0)
    told = {FAULTS[int(corrected(drawn)["own_text"][0, 0])] for _ in range(20)}
    assert told == faults


def test_the_mask_that_is_wrong_is_the_one_that_is_corrected() -> None:
    drawn = box(10, 10, 24, 30)
    for _ in range(10):
        found = corrected(TRUTH, drawn, TRUTH)
        assert found["own_valid"].tolist() == [[True]]
        assert found["own_patches"].tolist() == [[1]]
        assert found["own_positive"].nonzero().tolist() == [[0, 1]]
        assert torch.equal(found["own_masks"][0, 0], TRUTH)
        covered = found["own_previous"][0, 0] > 0
        assert torch.equal(covered, drawn[::2, ::2] > 0)
        assert float(found["own_share"].mean()) == pytest.approx(float(drawn.mean()))


def test_what_is_right_or_another_thing_teaches_no_mask() -> None:
    assert not corrected(TRUTH)["own_valid"].any()
    assert not corrected(*[box(0, 0, 12, 12)] * OWN_ROWS)["own_valid"].any()
    assert not corrected(*[box(10, 10, 24, 30)] * OWN_ROWS, valid=0)["own_valid"].any()
