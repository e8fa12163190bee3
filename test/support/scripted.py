"""A runtime that is told what is in an image, for tests of what is built on runtimes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime

Mask = NDArray[np.bool_]

#: Things of one image have numbers below this.
THINGS = 64


class ScriptedRuntime(Runtime):
    """Gives each thing of an image one candidate, its exact mask and its name.

    Subclasses say what is there: ``look``, ``meant``, ``mask`` and ``called``. A candidate's two
    embeddings are the thing's number as a one-hot code.
    """

    kind, model_name, device = "test", "scripted", "cpu"
    #: side of the mask logits, in cells of the model's square
    side = 64

    @abstractmethod
    def look(self, image: NDArray[np.uint8]) -> Any:
        """Return what the other three shall know about an image."""

    @abstractmethod
    def meant(self, seen: Any, text: str, previous_mask: Mask | None) -> Sequence[int]:
        """Return the numbers of the things that a text means."""

    @abstractmethod
    def mask(self, seen: Any, thing: int) -> Mask:
        """Return the mask bool (height, width) of a thing, of any size: it is stretched."""

    @abstractmethod
    def called(self, seen: Any, thing: int) -> RegionName:
        """Return the name of a thing."""

    def objectness(self, seen: Any, thing: int) -> float:
        """Return how sure the model is that this is one thing."""
        return 0.9

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        return Encoding(*image.shape[:2], (1.0, 1.0), self.look(image), image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: Mask | None = None
    ) -> Candidates:
        seen = encoding.features
        things = list(self.meant(seen, text, previous_mask))
        centres = [_centre(self.mask(seen, thing)) for thing in things]
        codes = np.eye(THINGS, dtype=np.float32)[things].reshape(-1, THINGS)
        return Candidates(
            np.array([self.objectness(seen, thing) for thing in things], np.float32),
            np.array(centres, np.float32).reshape(-1, 2),
            codes,
            codes.copy(),
        )

    def decode(
        self, encoding: Encoding, candidates: Candidates, previous_mask: Mask | None = None
    ) -> DecodedMasks:
        logits = np.empty((len(candidates), self.side, self.side), np.float32)
        for row, code in enumerate(candidates.mask_embeddings):
            mask = self.mask(encoding.features, int(code.argmax())).astype(np.uint8)
            small = cv2.resize(mask, (self.side, self.side), interpolation=cv2.INTER_NEAREST)
            logits[row] = np.where(small, 8.0, -8.0)
        return DecodedMasks(logits, np.full(len(candidates), 0.9, np.float32))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        return [self.called(encoding.features, int(code.argmax())) for code in category_embeddings]


def _centre(mask: Mask) -> tuple[float, float]:
    """Return the middle (x, y) of a mask in [0, 1]."""
    ys, xs = np.nonzero(mask)
    return (float(xs.mean()) + 0.5) / mask.shape[1], (float(ys.mean()) + 0.5) / mask.shape[0]
