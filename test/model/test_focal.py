"""The closer look: crops follow the mask, shapes are read without colour, masks are kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rose_ros.model.configuration import RoseConfig
from rose_ros.model.focal import CLOSER_LOOKS, FocalEncoder, MaskSharpener, windows
from rose_ros.model.modeling import RoseModel

SIDE = 24


def box(left: int, top: int, right: int, bottom: int, side: int = SIDE) -> Tensor:
    """One mask (1, 1, side, side) with a box of ones."""
    mask = torch.zeros(1, 1, side, side)
    mask[..., top:bottom, left:right] = 1.0
    return mask


def logits_of(mask: Tensor) -> Tensor:
    return 16.0 * mask - 8.0


@pytest.fixture
def sharpener() -> MaskSharpener:
    torch.manual_seed(0)
    return MaskSharpener(16).eval()


@pytest.fixture
def focal_model(make_config: Callable[..., RoseConfig]) -> RoseModel:
    torch.manual_seed(0)
    return RoseModel(make_config(focal=True)).eval()


def test_windows_lie_around_masks() -> None:
    centres, half = windows(torch.cat([box(2, 6, 8, 18), box(0, 0, 24, 24)], dim=1))
    assert torch.allclose(centres[0, 0], torch.tensor([5 / SIDE, 12 / SIDE]))
    assert 6 / SIDE < float(half[0, 0]) < 9 / SIDE
    assert float(half[0, 1]) > 0.5


def test_an_empty_mask_gives_finite_windows_and_masks(sharpener: MaskSharpener) -> None:
    empty = torch.zeros(1, 2, SIDE, SIDE)
    assert all(value.isfinite().all() for value in windows(empty))
    found = sharpener(
        torch.rand(1, 3, 48, 48), empty - 50.0, torch.zeros(1, 2, 16), torch.zeros(1, 1, SIDE, SIDE)
    )
    assert found.logits.isfinite().all()
    assert found.quality.isfinite().all()


def test_a_sharpener_that_changes_nothing_returns_what_it_got(sharpener: MaskSharpener) -> None:
    nn.init.zeros_(sharpener.out.weight)
    nn.init.zeros_(sharpener.out.bias)
    mask = box(4, 8, 12, 20)
    found = sharpener(
        torch.rand(1, 3, 48, 48),
        logits_of(mask),
        torch.zeros(1, 1, 16),
        torch.zeros(1, 1, SIDE, SIDE),
    )
    double = mask.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert found.logits.shape == (1, 1, 2 * SIDE, 2 * SIDE)
    assert torch.equal(found.logits > 0, double > 0.5)


def test_changes_stay_in_the_window_and_land_where_they_were_made(
    sharpener: MaskSharpener,
) -> None:
    nn.init.zeros_(sharpener.out.weight)
    nn.init.constant_(sharpener.out.bias, 20.0)
    found = sharpener(
        torch.rand(1, 3, 48, 48),
        logits_of(box(14, 14, 20, 20)),
        torch.zeros(1, 1, 16),
        torch.zeros(1, 1, SIDE, SIDE),
    )
    seen = found.logits[0, 0] > 0
    assert not seen[:16, :].any()
    assert not seen[:, :16].any()
    assert seen[26:42, 26:42].all()


def test_the_mask_that_is_revised_is_seen(sharpener: MaskSharpener) -> None:
    image, prompts = torch.rand(1, 3, 48, 48), torch.zeros(1, 1, 16)
    logits = logits_of(box(4, 8, 12, 20))
    nothing = sharpener(image, logits, prompts, torch.zeros(1, 1, SIDE, SIDE)).crops
    something = sharpener(image, logits, prompts, logits_of(box(4, 8, 8, 20))).crops
    assert not torch.allclose(nothing, something)


def test_every_look_starts_from_the_mask_before_it(focal_model: RoseModel) -> None:
    sharpener = focal_model.sharpener
    assert sharpener is not None
    nn.init.zeros_(sharpener.out.weight)
    nn.init.constant_(sharpener.out.bias, 6.0)
    side = focal_model.config.mask_size
    logits = logits_of(box(2, 2, 4, 4, side))
    width = focal_model.config.sam_config.prompt_encoder_config.hidden_size
    looks = focal_model.sharpen(torch.rand(1, 3, 48, 48), logits, torch.zeros(1, 1, width))
    assert len(looks) == CLOSER_LOOKS
    areas = [int((look.logits > 0).sum()) for look in looks]
    assert areas == sorted(set(areas)), "each look grows what the one before it left"


def test_colours_do_not_reach_the_focal_encoder() -> None:
    torch.manual_seed(0)
    encoder = FocalEncoder(24).eval()
    image, mask = torch.rand(1, 3, 48, 48), box(4, 8, 12, 20)
    assert torch.allclose(encoder(image, mask), encoder(image.flip(1), mask), atol=1e-5)
    assert not torch.allclose(encoder(image, mask), encoder(image, box(2, 2, 12, 20)), atol=1e-3)


def test_named_by_shape_alone_nothing_else_counts(focal_model: RoseModel) -> None:
    torch.manual_seed(1)
    size = focal_model.config.vlm_config.vision_config.image_size
    encoding = focal_model.encode(torch.rand(1, 3, size, size), torch.rand(1, 3, size, size))
    masks = torch.cat([box(4, 8, 12, 20), box(1, 2, 9, 9)], dim=1)
    shape_only = torch.tensor([[True, False]])
    one, two = (
        focal_model.region_tokens(encoding, torch.randn(1, 2, 24), masks, shape_only)
        for _ in range(2)
    )
    assert torch.allclose(one[0, 0], two[0, 0])
    assert not torch.allclose(one[0, 1], two[0, 1])


def test_without_a_focal_part_masks_stay_coarse(model: RoseModel, focal_model: RoseModel) -> None:
    assert model.sharpener is None
    assert model.config.decoded_size == model.config.mask_size
    assert focal_model.config.decoded_size == 2 * focal_model.config.mask_size
