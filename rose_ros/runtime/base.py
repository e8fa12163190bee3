"""What a runtime does for perception: four calls, numpy in and numpy out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.model.processing import RoseProcessor
from rose_ros.runtime.calibration import Calibration


@dataclass(frozen=True, slots=True)
class Encoding:
    """The image part of the model, computed once per frame and kept while a planner may ask.

    ``content`` is the share (x, y) of the model's square input that the image fills, in (0, 1]:
    (1, 1) when the image is stretched to the square, less on one axis when it is padded at the
    bottom or right. ``features`` belongs to the runtime; nobody else looks inside.
    """

    height: int
    width: int
    content: tuple[float, float]
    features: Any


@dataclass(frozen=True, slots=True)
class Candidates:
    """One entry per super-patch that a perception pass considered.

    objectness: float32 (n,), probability in [0, 1] that this super-patch stands for one segment.
    centres: float32 (n, 2), (x, y) of the super-patch centre, in [0, 1] of the model's square.
    mask_embeddings: float32 (n, prompt_width), SAM prompts.
    category_embeddings: float32 (n, language_width), what the segment is.
    """

    objectness: NDArray[np.float32]
    centres: NDArray[np.float32]
    mask_embeddings: NDArray[np.float32]
    category_embeddings: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.objectness)

    def take(self, index: NDArray[Any]) -> Candidates:
        """Select candidates by integer index or boolean mask."""
        return Candidates(
            self.objectness[index],
            self.centres[index],
            self.mask_embeddings[index],
            self.category_embeddings[index],
        )


@dataclass(frozen=True, slots=True)
class DecodedMasks:
    """Masks of some candidates.

    logits: float32 (n, side, side) over the model's square; above 0 is foreground.
    quality: float32 (n,), predicted IoU in [0, 1].
    """

    logits: NDArray[np.float32]
    quality: NDArray[np.float32]

    @classmethod
    def none(cls, side: int) -> DecodedMasks:
        """Return no masks, of the right shapes."""
        return cls(np.zeros((0, side, side), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class RegionName:
    """What the language model called a region; ``score`` is the mean token probability."""

    text: str
    score: float


def read_names(
    processor: RoseProcessor, ids: NDArray[np.int64], scores: NDArray[np.float32]
) -> list[RegionName]:
    """Turn answers, token ids (n, most) with their scores (n,), into names."""
    return [
        RegionName(processor.decode_name(row), float(score))
        for row, score in zip(ids, scores, strict=True)
    ]


def compose(answer: RegionName, kind: RegionName) -> RegionName:
    """Put the noun that the shape alone gives into a name: "red mug" and "kettle", "red kettle".

    A name that was learned as a whole prefers the pairs of words it was learned with; asked apart,
    the words are free of each other. Answers of one word ("table", "lid") stay as they are.
    """
    words, noun = answer.text.split(), kind.text.split()
    if len(words) < 2 or not noun:
        return answer
    return RegionName(" ".join([*words[:-1], *noun]), answer.score * kind.score)


class Runtime(ABC):
    """One model on one device.

    Not thread-safe: one thread owns it. All methods raise ``RoseError`` subclasses on bad input.
    """

    #: "torch", "onnx" or "tensorrt"
    kind: str
    #: name of the model, e.g. "rose-tiny"
    model_name: str
    #: where it runs, e.g. "cpu" or "cuda:0"
    device: str
    #: what turns this model's scores into probabilities; its four calls give them as they are
    calibration: Calibration = Calibration()

    @abstractmethod
    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        """Encode an RGB image (height, width, 3)."""

    @abstractmethod
    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """Run a pass conditioned on ``text`` and, when refining, on a mask (height, width)."""

    @abstractmethod
    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Decode one mask per candidate, all in one batch; n = 0 gives empty arrays."""

    @abstractmethod
    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        """Name the regions under the mask logits (n, side, side), all in one batch."""

    def close(self) -> None:  # noqa: B027 - optional hook
        """Free what the runtime holds."""
