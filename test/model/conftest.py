"""A model of a few thousand parameters, built in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from rose_ros.model.configuration import RoseConfig
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import ProcessorConfig, RoseProcessor
from rose_ros.model.tokenizer import train_tokenizer

SIZE, GRID = 48, 3


def tiny_config(**changes: object) -> RoseConfig:
    """48 px images, 8 px patches, 3 x 3 super-patches."""
    return RoseConfig(
        vlm_config={
            "vision_config": {
                "model_type": "clip_vision_model",
                "image_size": SIZE,
                "patch_size": 8,
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "projection_dim": 16,
            },
            "text_config": {
                "model_type": "llama",
                "vocab_size": 300,
                "hidden_size": 24,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "pad_token_id": 0,
                "bos_token_id": 1,
                "eos_token_id": 2,
            },
            "image_token_index": 3,
            "vision_feature_layer": -1,
        },
        sam_config={
            "vision_config": {
                "image_size": SIZE,
                "patch_size": 8,
                "hidden_size": 16,
                "mlp_dim": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "output_channels": 16,
                "num_pos_feats": 8,
                "window_size": 0,
                "global_attn_indexes": [0],
                "initializer_range": 0.02,
            },
            "prompt_encoder_config": {"hidden_size": 16, "image_size": SIZE, "patch_size": 8},
            "mask_decoder_config": {
                "hidden_size": 16,
                "mlp_dim": 32,
                "num_attention_heads": 2,
                "num_multimask_outputs": 1,
                "iou_head_hidden_dim": 16,
            },
        },
        region_token_id=4,
        **changes,
    )


@pytest.fixture(scope="session")
def make_config() -> Callable[..., RoseConfig]:
    """Make the configuration, with changes."""
    return tiny_config


@pytest.fixture(scope="session")
def model() -> RoseModel:
    """A fresh model in evaluation mode."""
    torch.manual_seed(0)
    return RoseModel(tiny_config()).eval()


@pytest.fixture(scope="session")
def processor() -> RoseProcessor:
    """The processor that fits the model."""
    config = ProcessorConfig(image_size=SIZE, sam_image_size=SIZE, mask_size=24, grid=GRID)
    return RoseProcessor(config, train_tokenizer(["Segment everything.", " red mug"] * 9, 300))
