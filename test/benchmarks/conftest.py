"""A runtime whose calls take a known time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime

#: s: what naming takes.
SLOW = 0.02
SIDE = 32


class SlowRuntime(Runtime):
    """Sees one bright thing in the upper left quarter; naming it takes ``SLOW``."""

    kind, model_name, device = "fake", "slow", "cpu"

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        return Encoding(*image.shape[:2], (1.0, 1.0), image, image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        count = int(encoding.features.max() > 0)
        return Candidates(
            np.full(count, 0.9, np.float32),
            np.full((count, 2), 0.25, np.float32),
            np.ones((count, 4), np.float32),
            np.ones((count, 4), np.float32),
        )

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        logits = np.full((len(candidates), SIDE, SIDE), -5, np.float32)
        logits[:, : SIDE // 2, : SIDE // 2] = 5
        return DecodedMasks(logits, np.full(len(candidates), 0.9, np.float32))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        time.sleep(SLOW)
        return [RegionName("thing", 0.9)] * len(logits)


@pytest.fixture
def slow_runtime() -> SlowRuntime:
    """Return such a runtime."""
    return SlowRuntime()
