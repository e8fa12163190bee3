"""The network cut into the graphs that other runtimes run: one module, one image, no branches.

Shapes below are of one image; ``n`` regions or candidates and the number of text tokens are the
only dynamic dimensions. Everything that a runtime would have to decide is an input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from transformers import DynamicCache

from rose_ros.model.modeling import RoseModel
from rose_ros.runtime.decoder import decode

#: Added to attention scores that must not count; float16 holds it, and its exponential is 0.
BLOCKED = -1e4


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


class EncodeGraph(nn.Module):
    """Images to patches, SAM's embedding and the keys and values of the image tokens."""

    causal: Tensor

    def __init__(self, model: RoseModel) -> None:
        super().__init__()
        self.model = model
        count = model.config.patches_per_side**2
        causal = torch.full((count, count), BLOCKED).triu(1)[None, None]
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, pixel_values: Tensor, sam_pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, size, size) twice -> (1, patches, width), (1, prompt_width, grid, grid) and
        (layers, 2, 1, heads, patches, head_dim).
        """
        model = self.model
        patches = torch.stack(list(model.vlm.get_image_features(pixel_values).pooler_output))
        cache = DynamicCache(config=model.config.vlm_config.text_config)
        _language(model, patches, self.causal, cache, None)
        return patches, model.encode_sam(sam_pixel_values), _stack(cache)


class PerceiveGraph(nn.Module):
    """One pass over every super-patch under an instruction."""

    def __init__(self, model: RoseModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, patches: Tensor, prefix: Tensor, input_ids: Tensor, previous_share: Tensor
    ) -> tuple[Tensor, ...]:
        """Text (1, text) and share (1, super_patches), zeros when nothing is revised.

        Returns objectness (1, super_patches) in [0, 1], mask embeddings and category embeddings.
        """
        model = self.model
        words = model.vlm.get_input_embeddings()(input_ids)
        placeholders = model.placeholders(patches, previous_share)
        tokens = torch.cat([words, placeholders], dim=1)
        text, length, image = words.shape[1], tokens.shape[1], patches.shape[1]
        index = torch.arange(length)
        hidden = _language(
            model,
            tokens,
            self._mask(index, text, image),
            _unstack(prefix),
            image + index[None],
        )[:, text:]
        return (
            model.objectness_head(hidden).sigmoid(),
            model.mask_head(hidden),
            model.category_head(hidden),
        )

    def _mask(self, index: Tensor, text: int, image: int) -> Tensor:
        """Write ``patch_block_mask`` as (1, 1, queries, keys) to be added, without padding."""
        allowed = index[None, :] <= index[:, None]
        if self.model.config.bidirectional_patches:
            allowed = allowed | (index[:, None] >= text)
        suffix = torch.where(allowed, 0.0, BLOCKED)
        return nn.functional.pad(suffix, (image, 0))[None, None]


class DecodeGraph(nn.Module):
    """Prompts to masks with SAM's decoder, and a closer look at each where the model has one."""

    grid: Tensor

    def __init__(self, model: RoseModel) -> None:
        super().__init__()
        self.model = model
        grid = model.sam.get_image_wide_positional_embeddings().detach()
        self.register_buffer("grid", grid, persistent=False)

    def forward(
        self,
        embedding: Tensor,
        mask_embeddings: Tensor,
        centres: Tensor,
        previous_logits: Tensor,
        revising: Tensor,
        pixel_values: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Prompts (1, n, prompt_width) at centres (1, n, 2) of an image (1, 3, size, size);
        ``revising`` (1,) is 1 when the previous mask (1, 1, mask_size, mask_size) counts and 0
        when there is none.

        Returns logits (1, n, decoded_size, decoded_size) and predicted IoU (1, n).
        """
        sam, config = self.model.sam, self.model.config
        prompts = mask_embeddings
        if config.centre_encoding:
            prompts = prompts + sam.prompt_encoder.shared_embedding(centres)
        dense = revising * sam.prompt_encoder.mask_embed(previous_logits)
        nothing = sam.prompt_encoder.no_mask_embed.weight[:, :, None, None]
        dense = dense + (1.0 - revising) * nothing
        logits, quality = decode(sam.mask_decoder, embedding, self.grid, prompts[0], dense)
        if self.model.sharpener is None:
            return logits, quality
        revised = revising * previous_logits
        sharp = self.model.sharpen(pixel_values, logits, mask_embeddings, revised)
        return sharp.logits, sharp.quality


class RegionGraph(nn.Module):
    """Mask logits and category embeddings to region tokens and, with a focal part, shape tokens."""

    def __init__(self, model: RoseModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        patches: Tensor,
        embedding: Tensor,
        pixel_values: Tensor,
        category_embeddings: Tensor,
        logits: Tensor,
    ) -> tuple[Tensor, ...]:
        """(1, n, width) and (1, n, decoded_size, decoded_size) -> once or twice (1, n, width)."""
        side = self.model.config.patches_per_side
        tokens = self.model.region_embedding.with_shapes(
            category_embeddings,
            patches.transpose(1, 2).unflatten(2, (side, side)),
            embedding,
            pixel_values,
            logits.sigmoid(),
        )
        return tokens if self.model.config.focal else tokens[:1]


class NameGraph(nn.Module):
    """Some tokens of the naming instruction for all regions: its prompt, or one more word.

    The cache has a fixed capacity and the mask says which slots hold something, so that the
    prompt and the words after it run in the same graph with addresses that never change.
    """

    def __init__(self, model: RoseModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        is_region: Tensor,
        regions: Tensor,
        cache: Tensor,
        mask: Tensor,
        positions: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (n, tokens), of which bool (tokens,) are the region (n, width).

        cache: (layers, 2, n, heads, capacity, head_dim); mask: (1, 1, tokens, capacity + tokens),
        added to the scores; positions: (1, tokens).
        Returns the next token (n,), its probability (n,), and the keys and values of these tokens
        (layers, 2, n, heads, tokens, head_dim).
        """
        words = self.model.vlm.get_input_embeddings()(input_ids)
        tokens = torch.where(is_region[None, :, None], regions[:, None, :], words)
        filled = _unstack(cache)
        hidden = _language(self.model, tokens, mask, filled, positions)[:, -1]
        best, choice = self.model.vlm.lm_head(hidden).softmax(-1).max(-1)
        return choice, best, _stack(filled)[:, :, :, :, cache.shape[4] :]


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
    return [
        Graph(
            "encode",
            EncodeGraph(model),
            {
                "pixel_values": pixels,
                "sam_pixel_values": torch.zeros(1, 3, sam_size, sam_size),
            },
            ("patches", "embedding", "prefix"),
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
                "pixel_values": pixels,
            },
            ("logits", "quality"),
            {"mask_embeddings": {1: n}, "centres": {1: n}},
        ),
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
            },
            ("next_ids", "probability", "new_cache"),
            {
                "input_ids": {0: n, 1: tokens},
                "is_region": {0: tokens},
                "regions": {0: n},
                "cache": {2: n},
                "mask": {2: tokens, 3: tokens + capacity},
                "positions": {1: tokens},
            },
        ),
    ]


def _language(
    model: RoseModel,
    tokens: Tensor,
    mask: Tensor,
    cache: DynamicCache,
    positions: Tensor | None,
) -> Tensor:
    """Run the language model under a ready mask, which it takes as it is."""
    return model.vlm.model.language_model(
        inputs_embeds=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state


def _stack(cache: DynamicCache) -> Tensor:
    """Join the keys and values of all layers: (layers, 2, batch, heads, tokens, head_dim)."""
    layers: list[Any] = cache.layers  # typed upstream with kinds that hold no keys and values
    return torch.stack([torch.stack([layer.keys, layer.values]) for layer in layers])


def _unstack(cache: Tensor) -> DynamicCache:
    filled = DynamicCache()
    for layer, (keys, values) in enumerate(cache):
        filled.update(keys, values, layer)
    return filled
