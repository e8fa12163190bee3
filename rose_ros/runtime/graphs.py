"""The network cut into the graphs that other runtimes run: one module, one image, no branches.

Shapes below are of one image; ``n`` regions or candidates and the number of text tokens are the
only dynamic dimensions. Everything that a runtime would have to decide is an input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from rose_ros.model.modeling import RoseModel
from rose_ros.runtime.decoder import decode

#: Added to attention scores that must not count; float16 holds it, and its exponential is 0.
BLOCKED = -1e4


class _Part(nn.Module):
    """Some of what a model does, with the names of the model's weights."""

    def __init__(self, model: RoseModel) -> None:
        super().__init__()
        self.model = model


class EncodeGraph(_Part):
    """Images to patches and the keys and values of the image tokens."""

    causal: Tensor

    def __init__(self, model: RoseModel) -> None:
        super().__init__(model)
        count = model.config.patches_per_side**2
        causal = torch.full((count, count), BLOCKED).triu(1)[None, None]
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, size, size) -> (1, patches, width), (layers, 2, 1, heads, patches, head_dim)."""
        model = self.model
        patches = torch.stack(list(model.vlm.get_image_features(pixel_values).pooler_output))
        cache = DynamicCache(config=model.config.vlm_config.text_config)
        _language(model, patches, self.causal, cache, None)
        return patches, _stack(cache)


class EmbedGraph(_Part):
    """Images to SAM's embedding; apart from the other encoder, so that both may run at once."""

    def forward(self, sam_pixel_values: Tensor) -> Tensor:
        """(1, 3, sam_size, sam_size) -> (1, prompt_width, grid, grid)."""
        return self.model.encode_sam(sam_pixel_values)


class PerceiveGraph(_Part):
    """One pass over every super-patch under an instruction."""

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


class DecodeGraph(_Part):
    """Prompts to masks with SAM's decoder."""

    grid: Tensor

    def __init__(self, model: RoseModel) -> None:
        super().__init__(model)
        grid = model.sam.get_image_wide_positional_embeddings().detach()
        self.register_buffer("grid", grid, persistent=False)

    def forward(
        self,
        embedding: Tensor,
        mask_embeddings: Tensor,
        centres: Tensor,
        previous_logits: Tensor,
        revising: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Prompts (1, n, prompt_width) at centres (1, n, 2); ``revising`` (1,) is 1 when the
        previous mask (1, 1, mask_size, mask_size) counts and 0 when there is none.

        Returns logits (1, n, mask_size, mask_size) and predicted IoU (1, n).
        """
        sam, config = self.model.sam, self.model.config
        prompts = mask_embeddings
        if config.centre_encoding:
            prompts = prompts + sam.prompt_encoder.shared_embedding(centres)
        dense = revising * sam.prompt_encoder.mask_embed(previous_logits)
        nothing = sam.prompt_encoder.no_mask_embed.weight[:, :, None, None]
        dense = dense + (1.0 - revising) * nothing
        return decode(sam.mask_decoder, embedding, self.grid, prompts[0], dense)


class SharpenGraph(_Part):
    """A closer look at decoded masks, of a model that takes one."""

    def forward(
        self,
        pixel_values: Tensor,
        mask_logits: Tensor,
        mask_embeddings: Tensor,
        previous_logits: Tensor,
        revising: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Masks (1, n, mask_size, mask_size) decoded of prompts (1, n, prompt_width) in an image
        (1, 3, size, size); the rest as in ``DecodeGraph``.

        Returns logits (1, n, decoded_size, decoded_size) and predicted IoU (1, n).
        """
        revised = revising * previous_logits
        sharp = self.model.sharpen(pixel_values, mask_logits, mask_embeddings, revised)[-1]
        return sharp.logits, sharp.quality


class RegionGraph(_Part):
    """Mask logits and category embeddings to region tokens and, with a focal part, shape tokens."""

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


class NameGraph(_Part):
    """Some tokens of the naming instruction for all regions: its prompt, or one more word.

    The cache has a fixed capacity and the mask says which slots hold something, so that the
    prompt and the words after it run in the same graph with addresses that never change.
    """

    def forward(
        self,
        input_ids: Tensor,
        is_region: Tensor,
        regions: Tensor,
        cache: Tensor,
        mask: Tensor,
        positions: Tensor,
        wanted_ids: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens (n, tokens), of which bool (tokens,) are the region (n, width).

        cache: (layers, 2, n, heads, capacity, head_dim); mask: (1, 1, tokens, capacity + tokens),
        added to the scores; positions: (1, tokens); wanted_ids: (n,).
        Returns the next token (n,), its probability (n,), that of the wanted token instead (n,),
        and the keys and values of these tokens (layers, 2, n, heads, tokens, head_dim).
        """
        words = self.model.vlm.get_input_embeddings()(input_ids)
        tokens = torch.where(is_region[None, :, None], regions[:, None, :], words)
        filled = _unstack(cache)
        hidden = _language(self.model, tokens, mask, filled, positions)[:, -1]
        probabilities = self.model.vlm.lm_head(hidden).softmax(-1)
        best, choice = probabilities.max(-1)
        wanted = probabilities.gather(-1, wanted_ids[:, None])[:, 0]
        return choice, best, wanted, _stack(filled)[:, :, :, :, cache.shape[4] :]


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
