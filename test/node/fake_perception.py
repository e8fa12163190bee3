"""The real perception node on a scripted model: coloured rectangles on black are the things.

The parameter ``model`` is the script: "fake", "fake:delay=0.3" (seconds per image), "fake:load=3.0"
(seconds to load), "missing" (no such checkpoint), "broken" (fails while loading for a reason that
nobody foresaw). The top left pixel says what goes wrong with an image (``FAULTS``). The word
"explode" in a text makes the model fail on that request, the word "slowly" makes it think for two
seconds, and "forever" for ever. Asked to correct a mask it gives a larger one, a smaller one for
"only the ...", and with the script "fake:stubborn" the same one.
"""

from __future__ import annotations

import math
import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ModelError
from rose_ros.model.prompts import EVERYTHING
from rose_ros.node.perception_node import PerceptionNode
from rose_ros.node.running import run
from rose_ros.runtime.base import (
    Candidates,
    DecodedMasks,
    Encoding,
    RegionName,
    Runtime,
    keep,
)

SIDE = 64
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 220, 30),
    "blue": (30, 30, 220),
    "yellow": (220, 220, 30),
}
NAMES = tuple(COLOURS)
#: What the colour of the top left pixel makes the model do.
FAULTS = {
    (255, 0, 255): "raise",
    (0, 255, 255): "nan objectness",
    (0, 255, 254): "nan logits",
    (0, 255, 253): "too few names",
    (255, 255, 255): "hang",
}
GROWN = len(NAMES)


class FakeRuntime(Runtime):
    """Sees each colour of the table as one thing called "red box", "green box" and so on."""

    kind = "fake"
    device = "cpu"

    def __init__(self, script: str) -> None:
        """Follow the script; raises as it says."""
        if script == "missing":
            raise ModelError("no checkpoint at /nowhere/model.safetensors: no such file")
        if script == "broken":
            raise ValueError("tensor of 3 bytes")
        self.model_name = script.partition(":")[0]
        self._stubborn = script.endswith(":stubborn")
        self._fault = ""
        time.sleep(float(script.partition("load=")[2] or 0.0))
        self._delay = float(script.partition("delay=")[2] or 0.0)

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        """Reduce the image to a map of colours, 0 = none."""
        time.sleep(self._delay)
        self._fault = FAULTS.get(tuple(int(value) for value in image[0, 0]), "")
        if self._fault == "raise":
            raise RuntimeError("scripted failure")
        if self._fault == "hang":
            hang()
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST).astype(int)
        things = np.zeros((SIDE, SIDE), int)
        for index, colour in enumerate(COLOURS.values()):
            things[np.abs(small - colour).max(axis=2) < 60] = index + 1
        return Encoding(*image.shape[:2], (1.0, 1.0), things, keep(image))

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """See everything, or the colours that the text names, or one thing grown."""
        if "explode" in text:
            raise RuntimeError("scripted failure")
        if "slowly" in text:
            time.sleep(2.0)
        if "forever" in text:
            hang()
        things = encoding.features
        seen = [index for index in range(len(NAMES)) if (things == index + 1).any()]
        if previous_mask is not None:
            small = cv2.resize(previous_mask.astype(np.uint8), (SIDE, SIDE)) > 0
            seen = [int(np.bincount(things[small], minlength=len(NAMES) + 1)[1:].argmax())]
        elif text != EVERYTHING:
            seen = [index for index in seen if NAMES[index] in text]
        centres, embeddings = [], np.zeros((len(seen), GROWN + 1), np.float32)
        for row, index in enumerate(seen):
            y, x = np.nonzero(things == index + 1)
            centres.append(((x.mean() + 0.5) / SIDE, (y.mean() + 0.5) / SIDE))
            embeddings[row, index] = 1.0
        categories = embeddings[:, :GROWN].copy()
        if previous_mask is not None and not self._stubborn:
            embeddings[:, GROWN] = -0.5 if "only the" in text else 0.5
        sure = math.nan if self._fault == "nan objectness" else 0.9
        return Candidates(
            np.full(len(seen), sure, np.float32),
            np.array(centres, np.float32).reshape(-1, 2),
            embeddings,
            categories,
        )

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Give the pixels of each colour; after a correction two cells more or less."""
        logits = np.full((len(candidates), SIDE, SIDE), -4.0, np.float32)
        for row, embedding in enumerate(candidates.mask_embeddings):
            mask = (encoding.features == int(embedding[:GROWN].argmax()) + 1).astype(np.uint8)
            if embedding[GROWN]:
                change = cv2.dilate if embedding[GROWN] > 0 else cv2.erode
                mask = change(mask, np.ones((5, 5), np.uint8))
            logits[row][mask > 0] = 4.0
        if self._fault == "nan logits":
            logits[..., 0, 0] = math.nan
        return DecodedMasks(logits, np.full(len(candidates), 0.8, np.float32))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        """Name by colour."""
        names = [RegionName(f"{NAMES[int(e.argmax())]} box", 0.7) for e in category_embeddings]
        return names[1:] if self._fault == "too few names" else names


def hang() -> None:
    """Do what a stuck device does: never come back."""
    time.sleep(3600.0)


def open_fake(model: str, **_: Any) -> Runtime:
    """Make the scripted runtime."""
    return FakeRuntime(model)


def create_node(**kwargs: Any) -> PerceptionNode:
    """Make the node on the scripted runtime."""
    return PerceptionNode(runtime_factory=open_fake, **kwargs)


if __name__ == "__main__":
    raise SystemExit(run(create_node))
