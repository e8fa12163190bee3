"""The PyTorch runtime: the reference every other runtime is compared with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rose_ros.errors import RuntimeUnavailableError
from rose_ros.model.encoding import ImageEncoding
from rose_ros.model.loading import load_model
from rose_ros.paths import find_model
from rose_ros.runtime.base import Candidates, CheckpointRuntime, DecodedMasks, Encoding
from rose_ros.runtime.cuda_graphs import CudaGraphs, Tensors, directly, halve

Array = NDArray[Any]

#: On a GPU, texts are filled up to a multiple of so many tokens, regions to a power of two.
_TEXT_STEP, _FEW_REGIONS = 16, 8


class TorchRuntime(CheckpointRuntime):
    """Runs a checkpoint folder with PyTorch, on the CPU or on a CUDA GPU.

    On a GPU in bfloat16 where it can, and as CUDA graphs of few shapes.
    """

    kind = "torch"

    def __init__(self, model: str | Path, *, device: str = "auto", threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        folder = find_model(model)
        self.device = _choose_device(device)
        super().__init__(folder)
        self._model = load_model(folder)
        self.mask_side = self._model.config.decoded_size
        # On a GPU, Python could not launch the kernels of a small network as fast as they run.
        self._is_recorded = torch.device(self.device).type == "cuda"
        self._is_half = self._is_recorded and _has_bfloat16(self.device)
        if self._is_half:
            halve(self._model)
        nn.Module.to(self._model, self.device)
        self._run = CudaGraphs(self.device) if self._is_recorded else directly
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
        count = ids.shape[1]
        present = torch.ones_like(ids, dtype=torch.bool)
        share, _ = self._previous(previous_mask)
        found = self._on_image(
            "perceive",
            self._perceive,
            encoding,
            self._filled(ids, 1, _TEXT_STEP * -(-count // _TEXT_STEP)),
            self._filled(present, 1, _TEXT_STEP * -(-count // _TEXT_STEP)),
            *(() if share is None else (share,)),
        )
        objectness, masks, categories = (_numpy(one[0]) for one in found)
        return Candidates(objectness, self._centres, masks, categories)

    @torch.inference_mode()
    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        if not len(candidates):
            return DecodedMasks.none(self.mask_side)
        _, revised = self._previous(previous_mask)
        prompts = self._regions(candidates.mask_embeddings)
        centres = self._regions(candidates.centres)
        return self._masks("decode", self._decode, encoding, prompts, centres, revised, candidates)

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
        prompts, logits = self._regions(candidates.mask_embeddings), self._regions(masks.logits)
        return self._masks("sharpen", self._sharpen, encoding, prompts, logits, revised, candidates)

    @torch.inference_mode()
    def _encode(self, pixels: Array, sam_pixels: Array) -> ImageEncoding:
        inputs = self._tensor(pixels), self._tensor(sam_pixels)
        with self._precision():
            found = self._run("encode", lambda *both: self._model.encode(*both).tensors, *inputs)
        return ImageEncoding.of(found)

    @torch.inference_mode()
    def _region_tokens(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> dict[str, torch.Tensor]:
        category, masks = self._regions(category_embeddings), self._regions(logits)
        found = self._on_image("region", self._describe, encoding, category, masks)
        names = ("name", "kind") if self._model.config.focal else ("name",)
        return {name: one[0, : len(logits)] for name, one in zip(names, found, strict=False)}

    @torch.inference_mode()
    def _answer(self, regions: torch.Tensor, prompt: Array) -> tuple[Array, Array]:
        most, count = self._processor.config.max_name_tokens, len(regions)

        def name(regions: torch.Tensor, prompt: torch.Tensor) -> Tensors:
            return self._model.name(regions, prompt, most, stop_early=not self._is_recorded)

        given = self._filled(regions, 0, _bucket(count)), self._tensor(prompt)
        with self._precision():
            ids, scores = self._run("name", name, *given)
        return ids[:count].cpu().numpy(), _numpy(scores[:count])

    @torch.inference_mode()
    def _probability(self, regions: torch.Tensor, prompt: Array, answer: Array) -> Array:
        tokens = self._tensor(prompt), self._tensor(answer)
        with self._precision():
            return _numpy(self._model.answer_probability(regions, *tokens))

    # -- what is recorded on a GPU ------------------------------------------------------------

    def _perceive(self, encoding: ImageEncoding, *own: torch.Tensor) -> Tensors:
        found = self._model.perceive(encoding, *own)
        return found.objectness.sigmoid(), found.mask_embeddings, found.category_embeddings

    def _decode(self, encoding: ImageEncoding, *own: torch.Tensor) -> Tensors:
        return self._model.decode_masks(encoding.embedding, *own)

    def _sharpen(
        self,
        encoding: ImageEncoding,
        prompts: torch.Tensor,
        logits: torch.Tensor,
        *revised: torch.Tensor,
    ) -> Tensors:
        sharp = self._model.sharpen(encoding.image, logits, prompts, *revised)[-1]
        return sharp.logits, sharp.quality

    def _describe(
        self, encoding: ImageEncoding, category: torch.Tensor, logits: torch.Tensor
    ) -> Tensors:
        return self._model.region_and_shape_tokens(encoding, category, logits.sigmoid())

    def _masks(
        self,
        name: str,
        compute: Callable[..., Tensors],
        encoding: Encoding,
        first: torch.Tensor,
        second: torch.Tensor,
        revised: torch.Tensor | None,
        candidates: Candidates,
    ) -> DecodedMasks:
        """Run what makes one mask per candidate."""
        more = () if revised is None else (revised,)
        logits, quality = self._on_image(name, compute, encoding, first, second, *more)
        count = len(candidates)
        return DecodedMasks(_numpy(logits[0, :count]), _numpy(quality[0, :count].clamp(0, 1)))

    def _on_image(
        self,
        name: str,
        compute: Callable[..., Tensors],
        encoding: Encoding,
        *own: torch.Tensor,
    ) -> Tensors:
        """Run something about an encoded image and tensors of its own."""

        def run(*tensors: torch.Tensor) -> Tensors:
            return compute(ImageEncoding.of(tensors[len(own) :]), *tensors[: len(own)])

        features: ImageEncoding = encoding.features
        with self._precision():
            return self._run(name, run, *own, *features.tensors)

    def _precision(self) -> AbstractContextManager[object]:
        if not self._is_half:
            return nullcontext()
        return torch.autocast("cuda", torch.bfloat16)

    # -- tensors ------------------------------------------------------------------------------

    def _regions(self, values: Array) -> torch.Tensor:
        """Bring what belongs to regions (n, ...) to the device: (1, n or more, ...)."""
        return self._filled(self._tensor(values)[None], 1, _bucket(len(values)))

    def _filled(self, values: torch.Tensor, axis: int, count: int) -> torch.Tensor:
        """Fill up with zeros to ``count`` along an axis, where few shapes are to be met."""
        missing = count - values.shape[axis]
        if not self._is_recorded or not missing:
            return values
        shape = list(values.shape)
        shape[axis] = missing
        return torch.cat([values, values.new_zeros(shape)], dim=axis)

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


def _has_bfloat16(device: str) -> bool:
    """Tell whether a GPU computes in bfloat16; PyTorch's own answer counts emulation, too."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _bucket(count: int) -> int:
    return max(_FEW_REGIONS, 1 << (count - 1).bit_length())


def _numpy(tensor: torch.Tensor) -> Array:
    return tensor.float().cpu().numpy()
