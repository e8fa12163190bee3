"""The PyTorch runtime: the reference every other runtime is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rose_ros.errors import RuntimeUnavailableError
from rose_ros.model.loading import load_model
from rose_ros.model.modeling import ImageEncoding
from rose_ros.model.processing import RoseProcessor
from rose_ros.paths import find_model
from rose_ros.runtime.base import (
    Candidates,
    DecodedMasks,
    Encoding,
    RegionName,
    Runtime,
    compose,
    read_names,
)
from rose_ros.runtime.calibration import read_calibration

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Previous:
    share: torch.Tensor
    logits: torch.Tensor


class TorchRuntime(Runtime):
    """Runs a checkpoint folder with PyTorch, on the CPU or on a CUDA GPU."""

    kind = "torch"

    def __init__(self, model: str | Path, *, device: str = "auto") -> None:
        folder = find_model(model)
        self.device = _choose_device(device)
        self.model_name = folder.name
        self._processor = RoseProcessor.from_pretrained(folder)
        self.calibration = read_calibration(folder)
        self._model = load_model(folder)
        nn.Module.to(self._model, self.device)
        self._centres = self._model.centres.cpu().numpy()
        self._name_prompt = self._tensor(self._processor.name_prompt_ids())
        self._kind_prompt = self._tensor(self._processor.kind_prompt_ids())

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
    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        pixels, sam_pixels = self._processor.pixel_values(image)
        features = self._model.encode(self._tensor(pixels), self._tensor(sam_pixels))
        height, width = image.shape[:2]
        return Encoding(height, width, self._processor.content(height, width), features)

    @torch.inference_mode()
    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        ids = self._tensor(self._processor.encode_text(text))
        previous = self._previous(previous_mask)
        found = self._model.perceive(
            encoding.features,
            ids,
            torch.ones_like(ids, dtype=torch.bool),
            None if previous is None else previous.share,
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
            return DecodedMasks.none(self._model.config.decoded_size)
        previous = self._previous(previous_mask)
        features: ImageEncoding = encoding.features
        revised = None if previous is None else previous.logits
        prompts = self._tensor(candidates.mask_embeddings)[None]
        centres = self._tensor(candidates.centres)[None]
        logits, quality = self._model.decode_masks(features.embedding, prompts, centres, revised)
        if self._model.sharpener is not None:
            sharp = self._model.sharpen(features.image, logits, prompts, revised)
            logits, quality = sharp.logits, sharp.quality
        return DecodedMasks(_numpy(logits[0]), _numpy(quality[0].clamp(0, 1)))

    @torch.inference_mode()
    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        if not len(logits):
            return []
        features: ImageEncoding = encoding.features
        category = self._tensor(category_embeddings)[None]
        masks = self._tensor(logits)[None].sigmoid()
        regions, shapes = self._model.region_and_shape_tokens(features, category, masks)
        names = self._answer(regions[0], self._name_prompt)
        if not self._model.config.focal:
            return names
        kinds = self._answer(shapes[0], self._kind_prompt)
        return [compose(*pair) for pair in zip(names, kinds, strict=True)]

    def _answer(self, regions: torch.Tensor, prompt: torch.Tensor) -> list[RegionName]:
        """Answer one question about regions (n, width)."""
        ids, scores = self._model.name(regions, prompt, self._processor.config.max_name_tokens)
        return read_names(self._processor, ids.cpu().numpy(), _numpy(scores))

    def _previous(self, mask: NDArray[np.bool_] | None) -> _Previous | None:
        if mask is None:
            return None
        share, logits = self._processor.previous(mask)
        return _Previous(self._tensor(share), self._tensor(logits))

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
