"""The two sizes: one class, and public weights fit the large one."""

from __future__ import annotations

import torch
from transformers import LlavaForConditionalGeneration, SamModel

from rose_ros.model.configuration import RoseConfig, rose_7b, rose_tiny
from rose_ros.model.modeling import RoseModel


def shapes(module: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


def test_rose_7b_takes_public_llava_and_sam_weights() -> None:
    config = rose_7b()
    with torch.device("meta"):
        model = RoseModel(config)
        llava = LlavaForConditionalGeneration(config.vlm_config)
        sam = SamModel(config.sam_config)
    assert shapes(model.vlm) == shapes(llava)
    assert shapes(model.sam) == shapes(sam)
    text = config.vlm_config.text_config
    assert (text.hidden_size, text.num_hidden_layers, text.vocab_size) == (4096, 32, 32064)
    vision = config.vlm_config.vision_config
    assert (vision.image_size, vision.patch_size, vision.hidden_size) == (336, 14, 1024)
    assert config.sam_config.vision_config.hidden_size == 1280
    assert config.super_patches_per_side == 12
    assert sum(one.numel() for one in model.parameters()) > 7.6e9


def test_rose_tiny_is_small() -> None:
    config = rose_tiny()
    with torch.device("meta"):
        model = RoseModel(config)
    assert sum(one.numel() for one in model.parameters()) < 6e6
    assert config.super_patches_per_side**2 == 100


def test_configuration_round_trips() -> None:
    config = rose_tiny()
    again = RoseConfig.from_dict(config.to_dict())
    assert again.vlm_config.to_dict() == config.vlm_config.to_dict()
    assert again.sam_config.to_dict() == config.sam_config.to_dict()
    assert again.region_token_id == config.region_token_id


def test_sizes_differ_in_configuration_only() -> None:
    assert type(rose_tiny()) is type(rose_7b()) is RoseConfig
    with torch.device("meta"):
        tiny, large = RoseModel(rose_tiny()), RoseModel(rose_7b())
    heads = ("objectness_head", "mask_head", "category_head", "region_embedding", "placeholder")
    for name in heads:
        assert type(getattr(tiny, name)) is type(getattr(large, name))
