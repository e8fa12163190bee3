"""What the exporter is given: every graph with example inputs and the dimensions that may vary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim

from rose_ros.model.modeling import RoseModel
from rose_ros.runtime.graphs import (
    DecodeGraph,
    EmbedGraph,
    EncodeGraph,
    NameGraph,
    PerceiveGraph,
    RegionGraph,
    SharpenGraph,
)


@dataclass(frozen=True)
class Graph:
    """A module with its example inputs, by the names of its inputs and outputs.

    dynamic: per input the dynamic axes with the names of their dimensions.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, Dim]]


def build_graphs(model: RoseModel, *, prompt_tokens: int, name_tokens: int) -> list[Graph]:
    """Cut a model into its graphs, with examples of the right shapes.

    prompt_tokens, name_tokens: of the longest question and of the longest name; together the
    capacity of the naming cache. Example sizes of dynamic dimensions are all different and above
    1, because the exporter takes equal ones for the same and 1 for a constant.
    """
    config = model.config
    language = config.vlm_config.text_config
    regions, text = 5, 7
    width, layers, heads = (
        language.hidden_size,
        language.num_hidden_layers,
        language.num_key_value_heads,
    )
    head_dim = getattr(language, "head_dim", None) or width // language.num_attention_heads
    prompt_width = config.sam_config.prompt_encoder_config.hidden_size
    patches, places = config.patches_per_side**2, config.super_patches_per_side**2
    side, capacity = config.mask_size, prompt_tokens + name_tokens
    vision_size = config.vlm_config.vision_config.image_size
    sam_size = config.sam_config.vision_config.image_size
    n, words, tokens = Dim("regions", min=1), Dim("text", min=1), Dim("tokens", min=1)

    patch_tokens = torch.randn(1, patches, width)
    embedding = torch.randn(1, prompt_width, side // 4, side // 4)
    pixels = torch.randn(1, 3, vision_size, vision_size)
    sharpen = Graph(
        "sharpen",
        SharpenGraph(model),
        {
            "pixel_values": pixels,
            "mask_logits": torch.randn(1, regions, side, side),
            "mask_embeddings": torch.randn(1, regions, prompt_width),
            "previous_logits": torch.zeros(1, 1, side, side),
            "revising": torch.zeros(1),
        },
        ("logits", "quality"),
        {"mask_logits": {1: n}, "mask_embeddings": {1: n}},
    )
    return [
        Graph(
            "encode",
            EncodeGraph(model),
            {"pixel_values": pixels},
            ("patches", "prefix"),
            {},
        ),
        Graph(
            "embed",
            EmbedGraph(model),
            {"sam_pixel_values": torch.zeros(1, 3, sam_size, sam_size)},
            ("embedding",),
            {},
        ),
        Graph(
            "perceive",
            PerceiveGraph(model),
            {
                "patches": patch_tokens,
                "prefix": torch.randn(layers, 2, 1, heads, patches, head_dim),
                "input_ids": torch.ones(1, text, dtype=torch.long),
                "previous_share": torch.zeros(1, places),
            },
            ("objectness", "mask_embeddings", "category_embeddings"),
            {"input_ids": {1: words}},
        ),
        Graph(
            "decode",
            DecodeGraph(model),
            {
                "embedding": embedding,
                "mask_embeddings": torch.randn(1, regions, prompt_width),
                "centres": torch.rand(1, regions, 2),
                "previous_logits": torch.zeros(1, 1, side, side),
                "revising": torch.zeros(1),
            },
            ("logits", "quality"),
            {"mask_embeddings": {1: n}, "centres": {1: n}},
        ),
        *([sharpen] if config.focal else []),
        Graph(
            "region",
            RegionGraph(model),
            {
                "patches": patch_tokens,
                "embedding": embedding,
                "pixel_values": pixels,
                "category_embeddings": torch.randn(1, regions, width),
                "logits": torch.randn(1, regions, config.decoded_size, config.decoded_size),
            },
            ("regions", "shapes") if config.focal else ("regions",),
            {"category_embeddings": {1: n}, "logits": {1: n}},
        ),
        Graph(
            "name",
            NameGraph(model),
            {
                "input_ids": torch.ones(regions, text, dtype=torch.long),
                "is_region": torch.zeros(text, dtype=torch.bool),
                "regions": torch.randn(regions, width),
                "cache": torch.zeros(layers, 2, regions, heads, capacity, head_dim),
                "mask": torch.zeros(1, 1, text, capacity + text),
                "positions": torch.arange(text)[None],
                "wanted_ids": torch.ones(regions, dtype=torch.long),
            },
            ("next_ids", "probability", "wanted_probability", "new_cache"),
            {
                "input_ids": {0: n, 1: tokens},
                "is_region": {0: tokens},
                "regions": {0: n},
                "cache": {2: n},
                "mask": {2: tokens, 3: tokens + capacity},
                "positions": {1: tokens},
                "wanted_ids": {0: n},
            },
        ),
    ]
