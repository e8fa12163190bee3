"""Property tests: quick by default, ROSE_FUZZ=5000 tries that many examples of each."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from rose_ros.model.prompts import EVERYTHING
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime

settings.register_profile(
    "rose",
    max_examples=int(os.environ.get("ROSE_FUZZ", "40")),
    deadline=None,
    # The machine may be busy; how long an example takes is no property.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("rose")

SIDE = 32
GRID = 4
WIDTH = 8


class WildRuntime(Runtime):
    """A model of no sense at all, but repeatable: what it sees depends on the image's mean.

    ``names`` are what it calls things, one after another.
    """

    kind = "wild"
    model_name = "wild"
    device = "cpu"

    def __init__(self, names: list[str]) -> None:
        self._names = names or ["thing"]

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        """Take the mean as the seed; wide and tall images are padded."""
        height, width = image.shape[:2]
        longest = max(height, width)
        content = width / longest, height / longest
        return Encoding(height, width, content, int(image.mean()), image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """Find up to sixteen things; every text gives others."""
        random = np.random.default_rng([encoding.features, 0 if text == EVERYTHING else len(text)])
        count = int(random.integers(0, GRID * GRID + 1))
        cells = random.permutation(GRID * GRID)[:count]
        centres = np.stack([cells % GRID, cells // GRID], axis=1) + 0.5
        return Candidates(
            random.random(count, np.float32),
            (centres / GRID).astype(np.float32),
            random.normal(size=(count, WIDTH)).astype(np.float32),
            random.normal(size=(count, WIDTH)).astype(np.float32),
        )

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Draw a box around each centre, of any size, with a ragged edge."""
        random = np.random.default_rng([encoding.features, len(candidates)])
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE
        logits = np.zeros((len(candidates), SIDE, SIDE), np.float32)
        for row, (cx, cy) in enumerate(candidates.centres):
            half = random.uniform(0.02, 0.5, 2)
            inside = (np.abs(x - cx) < half[0]) & (np.abs(y - cy) < half[1])
            logits[row] = np.where(inside, 3.0, -3.0) + random.normal(scale=1.5, size=(SIDE, SIDE))
        return DecodedMasks(logits, random.random(len(candidates), np.float32))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        """Use the given names in turn."""
        count = len(logits)
        return [RegionName(self._names[i % len(self._names)], 0.5) for i in range(count)]


@pytest.fixture(scope="session")
def wild() -> Callable[[list[str]], Runtime]:
    """The way to make a wild runtime."""
    return WildRuntime
