"""A runtime that vouches for what the model gives: numbers, of the right shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ModelError
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime


class CheckedRuntime(Runtime):
    """Another runtime whose results are looked at before anybody believes them.

    A NaN would make every comparison false, and so a sick model look like an empty table. Raises
    ``ModelError`` instead.
    """

    def __init__(self, runtime: Runtime) -> None:
        """Watch ``runtime``, which belongs to this object from now on."""
        self._runtime = runtime
        self.kind = runtime.kind
        self.model_name = runtime.model_name
        self.device = runtime.device
        self.mask_side = runtime.mask_side
        self.calibration = runtime.calibration

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        """Encode an RGB image (height, width, 3)."""
        return self._runtime.encode(image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """Run a pass; raises ``ModelError`` when a candidate is not made of numbers."""
        found = self._runtime.perceive(encoding, text, previous_mask)
        count = len(found.objectness)
        _check("objectness", found.objectness, (count,))
        _check("centres", found.centres, (count, 2))
        _check("mask embeddings", found.mask_embeddings, (count, -1))
        _check("category embeddings", found.category_embeddings, (count, -1))
        return found

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Decode masks; raises ``ModelError`` when one is not made of numbers."""
        found = self._runtime.decode(encoding, candidates, previous_mask)
        count = len(candidates)
        _check("mask logits", found.logits, (count, -1, -1))
        _check("mask quality", found.quality, (count,))
        return found

    def sharpen(
        self,
        encoding: Encoding,
        candidates: Candidates,
        masks: DecodedMasks,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Look closer; raises ``ModelError`` when a mask is not made of numbers."""
        found = self._runtime.sharpen(encoding, candidates, masks, previous_mask)
        count = len(candidates)
        _check("mask logits", found.logits, (count, -1, -1))
        _check("mask quality", found.quality, (count,))
        return found

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        """Name regions; raises ``ModelError`` when names are missing or a score is no number."""
        names = self._runtime.name(encoding, logits, category_embeddings)
        scores = np.array([name.score for name in names], np.float32)
        _check("names", scores, (len(logits),))
        return names

    def likelihood(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
        name: str,
    ) -> NDArray[np.float32]:
        """Say how probable a name is; raises ``ModelError`` when that is no number."""
        found = self._runtime.likelihood(encoding, logits, category_embeddings, name)
        _check("likelihoods", found, (len(logits),))
        return found

    def close(self) -> None:
        """Free what the runtime holds."""
        self._runtime.close()


def _check(what: str, values: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    """Check for finite numbers of a shape, in which -1 stands for any length."""
    fits = values.ndim == len(shape) and all(
        wanted in (-1, length) for wanted, length in zip(shape, values.shape, strict=True)
    )
    if not fits:
        raise ModelError(f"the model gave {what} of shape {values.shape} instead of {shape}")
    # A NaN or an infinity anywhere shows in the smallest or the largest value.
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise ModelError(f"the model gave {what} that are not finite numbers")
