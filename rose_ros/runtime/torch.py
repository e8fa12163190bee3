"""The PyTorch runtime: the reference every other runtime is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rose_ros.errors import RuntimeUnavailableError
from rose_ros.model.loading import load_model
from rose_ros.model.modeling import ImageEncoding
from rose_ros.paths import find_model
from rose_ros.runtime.base import Candidates, CheckpointRuntime, DecodedMasks, Encoding

Array = NDArray[Any]


class TorchRuntime(CheckpointRuntime):
    """Runs a checkpoint folder with PyTorch, on the CPU or on a CUDA GPU."""

    kind = "torch"

    def __init__(self, model: str | Path, *, device: str = "auto", threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        folder = find_model(model)
        self.device = _choose_device(device)
        super().__init__(folder)
        self._model = load_model(folder)
        self.mask_side = self._model.config.decoded_size
        nn.Module.to(self._model, self.device)
        self._centres = self._model.centres.cpu().numpy()
        self._end_token_id = self._model.config.vlm_config.text_config.eos_token_id

    @property
    def point_prompt(self) -> NDArray[np.float32]:
        """SAM's own embedding of a foreground point, (prompt_width,)."""
        point: NDArray[np.float32] = _numpy(self._model.point_embedding.detach()[0])
        return point

    @property
    def language_width(self) -> int:
        """Width of a category embedding."""
        return int(self._model.config.vlm_config.text_config.hidden_size)

    @torch.inference_mode()
    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        ids = self._tensor(self._processor.encode_text(text))
        share, _ = self._previous(previous_mask)
        found = self._model.perceive(
            encoding.features, ids, torch.ones_like(ids, dtype=torch.bool), share
        )
        return Candidates(
            _numpy(found.objectness[0].sigmoid()),
            self._centres,
            _numpy(found.mask_embeddings[0]),
            _numpy(found.category_embeddings[0]),
        )

    @torch.inference_mode()
    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        if not len(candidates):
            return DecodedMasks.none(self.mask_side)
        features: ImageEncoding = encoding.features
        _, revised = self._previous(previous_mask)
        prompts = self._tensor(candidates.mask_embeddings)[None]
        centres = self._tensor(candidates.centres)[None]
        logits, quality = self._model.decode_masks(features.embedding, prompts, centres, revised)
        return DecodedMasks(_numpy(logits[0]), _numpy(quality[0].clamp(0, 1)))

    @torch.inference_mode()
    def sharpen(
        self,
        encoding: Encoding,
        candidates: Candidates,
        masks: DecodedMasks,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        if self._model.sharpener is None:
            return masks
        if not len(candidates):
            return DecodedMasks.none(self.mask_side)
        _, revised = self._previous(previous_mask)
        prompts = self._tensor(candidates.mask_embeddings)[None]
        logits = self._tensor(masks.logits)[None]
        sharp = self._model.sharpen(encoding.features.image, logits, prompts, revised)[-1]
        return DecodedMasks(_numpy(sharp.logits[0]), _numpy(sharp.quality[0].clamp(0, 1)))

    @torch.inference_mode()
    def _encode(self, pixels: Array, sam_pixels: Array) -> ImageEncoding:
        return self._model.encode(self._tensor(pixels), self._tensor(sam_pixels))

    @torch.inference_mode()
    def _region_tokens(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> dict[str, torch.Tensor]:
        features: ImageEncoding = encoding.features
        category = self._tensor(category_embeddings)[None]
        masks = self._tensor(logits)[None].sigmoid()
        regions, shapes = self._model.region_and_shape_tokens(features, category, masks)
        if self._model.config.focal:
            return {"name": regions[0], "kind": shapes[0]}
        return {"name": regions[0]}

    @torch.inference_mode()
    def _answer(self, regions: torch.Tensor, prompt: Array) -> tuple[Array, Array]:
        most = self._processor.config.max_name_tokens
        ids, scores = self._model.name(regions, self._tensor(prompt), most)
        return ids.cpu().numpy(), _numpy(scores)

    @torch.inference_mode()
    def _probability(self, regions: torch.Tensor, prompt: Array, answer: Array) -> Array:
        tokens = self._tensor(prompt), self._tensor(answer)
        return _numpy(self._model.answer_probability(regions, *tokens))

    def _previous(
        self, mask: NDArray[np.bool_] | None
    ) -> tuple[torch.Tensor, torch.Tensor] | tuple[None, None]:
        """Return share and logits of a previous mask, as ``RoseProcessor.previous``."""
        if mask is None:
            return None, None
        share, logits = self._processor.previous(mask)
        return self._tensor(share), self._tensor(logits)

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _choose_device(asked: str) -> str:
    if asked == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise RuntimeUnavailableError(
            f"device {asked!r} is not known; choose auto, cpu or cuda:N"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeUnavailableError(
            f"device {asked!r} was asked for, but PyTorch finds no CUDA GPU; use cpu or auto"
        )
    return asked


def _numpy(tensor: torch.Tensor) -> Array:
    return tensor.float().cpu().numpy()
