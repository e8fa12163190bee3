"""RoseModel: patch-wise perception, SAM decoding and naming on one vision-language model.

After ROSE (Han et al., arXiv 2412.00153). The mechanism is the paper's: every super-patch is an
independent candidate with an objectness, a mask embedding and a category embedding; SAM decodes
the masks; the language model makes up the names; a previous prediction and a sentence revise the
result. How the states are read is not published; a block of placeholders that see each other
follows STAMP. All numbers are this project's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    DynamicCache,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    SamModel,
)

from rose_ros.model.attention import causal_mask, patch_block_mask
from rose_ros.model.configuration import RoseConfig
from rose_ros.model.encoding import ImageEncoding, KeyValues
from rose_ros.model.focal import CLOSER_LOOKS, MaskSharpener, SharpMasks
from rose_ros.model.heads import CategoryHead, MaskHead, ObjectnessHead, RegionEmbedding


@dataclass(frozen=True)
class PatchPerception:
    """One entry per super-patch, row by row.

    objectness: (batch, super_patches), logits.
    mask_embeddings: (batch, super_patches, prompt_width).
    category_embeddings: (batch, super_patches, llm_width).
    """

    objectness: Tensor
    mask_embeddings: Tensor
    category_embeddings: Tensor


class RoseModel(PreTrainedModel):
    """Open-set dense segmentation: masks and names without a class list."""

    config_class = RoseConfig
    base_model_prefix = "rose"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: RoseConfig) -> None:
        super().__init__(config)
        # The default depends on the width of the encoder and leaves neighbouring points with
        # unrelated codes; the original uses 1. Only matters for fresh weights.
        config.sam_config.vision_config.scale = 1.0
        self.vlm = LlavaForConditionalGeneration(config.vlm_config)
        self.sam = SamModel(config.sam_config)
        width = config.vlm_config.text_config.hidden_size
        prompt_width = config.sam_config.prompt_encoder_config.hidden_size
        self.placeholder = nn.Parameter(torch.zeros(width))
        self.previous = nn.Parameter(torch.zeros(width))
        self.objectness_head = ObjectnessHead(width)
        self.mask_head = MaskHead(width, prompt_width)
        self.category_head = CategoryHead(width)
        self.region_embedding = RegionEmbedding(
            width, prompt_width, config.region_evidence, focal=config.focal
        )
        self.sharpener = MaskSharpener(prompt_width) if config.focal else None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, RoseModel):
            nn.init.normal_(module.placeholder, std=0.02)
            nn.init.normal_(module.previous, std=0.02)
        else:
            super()._init_weights(module)

    # -- the image part, once per frame -------------------------------------------------------

    def encode(self, pixel_values: Tensor, sam_pixel_values: Tensor) -> ImageEncoding:
        """Encode images for the language model and for SAM.

        pixel_values: (batch, 3, size, size) normalised for the vision tower.
        sam_pixel_values: (batch, 3, sam_size, sam_size) normalised for SAM.
        """
        patches = self.encode_patches(pixel_values)
        cache = DynamicCache(config=self.config.vlm_config.text_config)
        self._language(patches, causal_mask(patches), cache, None)
        prefix = tuple((layer.keys, layer.values) for layer in cache.layers)  # type: ignore[union-attr]
        embedding = self.encode_sam(sam_pixel_values)
        return ImageEncoding(patches, cast(KeyValues, prefix), embedding, pixel_values)

    def encode_patches(self, pixel_values: Tensor) -> Tensor:
        """Return the vision tower's patches (batch, patches, llm_width), projected."""
        return torch.stack(list(self.vlm.get_image_features(pixel_values).pooler_output))

    def encode_sam(self, sam_pixel_values: Tensor) -> Tensor:
        """Return SAM's image embedding (batch, prompt_width, grid, grid)."""
        return self.sam.vision_encoder(sam_pixel_values).last_hidden_state

    # -- patch-wise perception ----------------------------------------------------------------

    def perceive(
        self,
        encoding: ImageEncoding,
        input_ids: Tensor,
        text_mask: Tensor,
        previous_share: Tensor | None = None,
    ) -> PatchPerception:
        """Read every super-patch under an instruction.

        input_ids: (batch, text), padded on the right; text_mask: bool (batch, text).
        previous_share: (batch, super_patches) in [0, 1], how much of each super-patch the
        previous mask covers; None when nothing is revised.
        """
        text = self.vlm.get_input_embeddings()(input_ids)
        placeholders = self.placeholders(encoding.patches, previous_share)
        hidden = self._language(
            torch.cat([text, placeholders], dim=1),
            patch_block_mask(
                text_mask,
                prefix=encoding.patches.shape[1],
                block=placeholders.shape[1],
                bidirectional=self.config.bidirectional_patches,
            ),
            _cache(encoding.prefix),
            self._positions(encoding, text_mask, placeholders.shape[1]),
        )[:, text.shape[1] :]
        return PatchPerception(
            self.objectness_head(hidden), self.mask_head(hidden), self.category_head(hidden)
        )

    def placeholders(self, patches: Tensor, previous_share: Tensor | None) -> Tensor:
        """Make one token per super-patch: what it shows and what was there before.

        patches: (batch, patches, llm_width) -> (batch, super_patches, llm_width).
        """
        side = self.config.patches_per_side
        grid = patches.transpose(1, 2).unflatten(2, (side, side))
        pooled = functional.avg_pool2d(grid, self.config.super_patch_size)
        tokens = pooled.flatten(2).transpose(1, 2) + self.placeholder
        if previous_share is not None:
            tokens = tokens + previous_share.unsqueeze(-1) * self.previous
        return tokens

    @property
    def centres(self) -> Tensor:
        """(super_patches, 2): (x, y) of every super-patch centre in [0, 1], row by row."""
        side = self.config.super_patches_per_side
        axis = (torch.arange(side, device=self.device, dtype=torch.float32) + 0.5) / side
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], dim=-1)

    # -- masks --------------------------------------------------------------------------------

    def decode_masks(
        self,
        embedding: Tensor,
        mask_embeddings: Tensor,
        centres: Tensor,
        previous_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode one mask per prompt with SAM's mask decoder.

        embedding: (batch, prompt_width, grid, grid); mask_embeddings: (batch, n, prompt_width);
        centres: (batch, n, 2) in [0, 1]; previous_logits: (batch, 1, 4 grid, 4 grid) or None.
        Returns logits (batch, n, 4 grid, 4 grid) and predicted IoU (batch, n).
        """
        prompts = mask_embeddings
        if self.config.centre_encoding:
            prompts = prompts + self.sam.prompt_encoder.shared_embedding(centres)
        if previous_logits is None:
            dense = self.sam.prompt_encoder.no_mask_embed.weight[:, :, None, None]
            dense = dense.expand_as(embedding)
        else:
            dense = self.sam.prompt_encoder.mask_embed(previous_logits)
        grid = self.sam.get_image_wide_positional_embeddings()
        logits, quality = self.sam.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=grid.expand(len(embedding), -1, -1, -1),
            sparse_prompt_embeddings=prompts.unsqueeze(2),
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return logits.squeeze(2), quality.squeeze(2)

    def sharpen(
        self,
        image: Tensor,
        logits: Tensor,
        mask_embeddings: Tensor,
        previous_logits: Tensor | None = None,
    ) -> list[SharpMasks]:
        """Take closer looks at decoded masks, the last one best; only where ``focal`` is on.

        A mask that is better says better where to look, so its crop is cut anew for the next look.
        image: (batch, 3, size, size), normalised; logits: (batch, n, mask_size, mask_size);
        mask_embeddings: (batch, n, prompt_width); previous_logits: (batch, 1, mask_size,
        mask_size), of the mask that is revised; None and zeros mean that there is none.
        """
        assert self.sharpener is not None, "this model has no focal part"
        if previous_logits is None:
            previous_logits = torch.zeros_like(logits[:, :1])
        looks: list[SharpMasks] = []
        for _ in range(CLOSER_LOOKS):
            looks.append(self.sharpener(image, logits, mask_embeddings, previous_logits))
            logits = functional.avg_pool2d(looks[-1].logits.detach(), 2)
        return looks

    def point_prompts(self, count: int) -> Tensor:
        """Return SAM's own foreground point (1, count, prompt_width), to be placed by a centre."""
        return self.point_embedding.expand(1, count, -1)

    @property
    def point_embedding(self) -> nn.Parameter:
        """SAM's embedding of a foreground point, (1, prompt_width)."""
        return cast(nn.Parameter, self.sam.prompt_encoder.point_embed[1].weight)

    # -- names --------------------------------------------------------------------------------

    def region_tokens(
        self,
        encoding: ImageEncoding,
        category_embeddings: Tensor,
        masks: Tensor,
        shape_only: Tensor | None = None,
    ) -> Tensor:
        """Make the token that stands for each region in the naming instruction.

        category_embeddings: (batch, n, llm_width); masks: (batch, n, height, width) in [0, 1],
        over the model's square; shape_only: bool (batch, n), regions named by their shape alone
        (training). Returns (batch, n, llm_width).
        """
        evidence = self._region_evidence(encoding, category_embeddings, masks)
        return self.region_embedding(*evidence, shape_only)

    def region_and_shape_tokens(
        self, encoding: ImageEncoding, category_embeddings: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Make the tokens of the regions and those of their shapes alone; as ``region_tokens``."""
        evidence = self._region_evidence(encoding, category_embeddings, masks)
        return self.region_embedding.with_shapes(*evidence)

    def _region_evidence(
        self, encoding: ImageEncoding, category_embeddings: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        side = self.config.patches_per_side
        patches = encoding.patches.transpose(1, 2).unflatten(2, (side, side))
        return category_embeddings, patches, encoding.embedding, encoding.image, masks

    def name_hidden(self, region_tokens: Tensor, input_ids: Tensor, dropped: Tensor) -> Tensor:
        """Run the naming instruction over regions (training).

        region_tokens: (n, llm_width); input_ids: (n, length), each row holding one region token;
        dropped: bool (n, length), words whose embedding is blanked out. Returns the logits
        (n, length, vocabulary).
        """
        tokens = self._instruction(input_ids, region_tokens)
        tokens = tokens.masked_fill(dropped.unsqueeze(-1), 0.0)
        return self.vlm.lm_head(self._language(tokens, causal_mask(tokens), None, None))

    @torch.no_grad()
    def answer_probability(
        self, region_tokens: Tensor, prompt_ids: Tensor, answer_ids: Tensor
    ) -> Tensor:
        """Return the probability (n,) of an answer to a prompt about regions (n, llm_width)."""
        ids = torch.cat([prompt_ids, answer_ids]).expand(len(region_tokens), -1)
        logits = self.name_hidden(region_tokens, ids, torch.zeros_like(ids, dtype=torch.bool))
        at = logits[:, len(prompt_ids) - 1 : -1].float().log_softmax(-1)
        chosen = at.gather(-1, ids[:, len(prompt_ids) :, None])
        return chosen.sum((1, 2)).exp()

    @torch.no_grad()
    def name(
        self,
        region_tokens: Tensor,
        prompt_ids: Tensor,
        max_tokens: int = 12,
        *,
        stop_early: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Answer the naming instruction greedily for all regions in one batch.

        region_tokens: (n, llm_width); prompt_ids: (length,), holding one region token;
        stop_early: whether to look, after each word, if all answers have ended.
        Returns token ids (n, max_tokens), filled up with the end token, and the mean probability
        (n,) of the tokens up to and including the end.
        """
        count = len(region_tokens)
        end = self.config.vlm_config.text_config.eos_token_id
        cache = DynamicCache(config=self.config.vlm_config.text_config)
        tokens = self._instruction(prompt_ids.expand(count, -1), region_tokens)
        mask: Tensor | None = causal_mask(tokens)
        ids = torch.full((count, max_tokens), end, device=tokens.device)
        total = torch.zeros(count, device=tokens.device)
        length = torch.zeros(count, device=tokens.device)
        running = torch.ones(count, dtype=torch.bool, device=tokens.device)
        for step in range(max_tokens):
            hidden = self._language(tokens, mask, cache, None)[:, -1]
            best, choice = self.vlm.lm_head(hidden).float().softmax(-1).max(-1)
            total += best * running
            length += running
            ids[:, step] = torch.where(running, choice, end)
            running = running & (choice != end)
            if stop_early and not bool(running.any()):
                break
            tokens, mask = self.vlm.get_input_embeddings()(ids[:, step : step + 1]), None
        return ids, total / length.clamp(min=1)

    # -- inside -------------------------------------------------------------------------------

    def _instruction(self, input_ids: Tensor, region_tokens: Tensor) -> Tensor:
        tokens = self.vlm.get_input_embeddings()(input_ids)
        here = (input_ids == self.config.region_token_id).unsqueeze(-1)
        return torch.where(here, region_tokens.unsqueeze(1).to(tokens.dtype), tokens)

    def _positions(self, encoding: ImageEncoding, text_mask: Tensor, block: int) -> Tensor:
        """Number the tokens as if no padding were there: (batch, text + block)."""
        valid = functional.pad(text_mask, (0, block), value=True)
        return encoding.patches.shape[1] + (valid.cumsum(dim=1) - 1).clamp(min=0)

    def _language(
        self,
        embeddings: Tensor,
        mask: Tensor | None,
        cache: DynamicCache | None,
        positions: Tensor | None,
    ) -> Tensor:
        return self.vlm.model.language_model(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state


def _cache(prefix: KeyValues) -> DynamicCache:
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(prefix):
        cache.update(keys, values, layer)
    return cache
