"""The baseline: SAM's own way of segmenting everything, a grid of points and mask suppression.

As in the automatic mode of Segment Anything (Kirillov et al., arXiv 2304.02643): every point of a
grid prompts the mask decoder, masks rank by their predicted quality, duplicates go. The language
model names what remains from the image features under the masks; it perceives nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.selection import Detections, PerceiverOptions
from rose_ros.runtime.base import Candidates, Encoding
from rose_ros.runtime.torch import TorchRuntime

#: Points along one side of the image.
GRID = 16


class PointPerceiver(Perceiver):
    """Decodes a mask at every point of a grid, whatever the instruction says."""

    def __init__(self, runtime: TorchRuntime, options: PerceiverOptions | None = None) -> None:
        """Prompt the SAM part of ``runtime``; only PyTorch gives access to its own points."""
        super().__init__(runtime, options)
        axis = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
        x, y = np.meshgrid(axis, axis)
        centres = np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)
        prompt, width = runtime.point_prompt, runtime.language_width
        self._points = Candidates(
            np.ones(len(centres), np.float32),
            centres,
            np.repeat(prompt[None], len(centres), axis=0),
            np.zeros((len(centres), width), np.float32),
        )

    def detect(
        self,
        encoding: Encoding,
        prompt: str,
        threshold: float,
        previous_mask: NDArray[np.bool_] | None = None,
        near: NDArray[np.bool_] | None = None,
    ) -> Detections:
        """Return the distinct masks of all points; the predicted quality is their objectness."""
        found = self.distinct(encoding, self._points)
        return replace(found, objectness=found.quality)
