"""What a runtime does for perception, numpy in and numpy out, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.model.processing import RoseProcessor
from rose_ros.runtime.calibration import Calibration, read_calibration

#: The longer side of an image that is kept with its encoding, in pixels: as much as is seen of it
#: in a close-up.
KEPT_SIDE = 640

P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Encoding:
    """The image part of the model, computed once per frame and kept while a planner may ask.

    ``content`` is the share (x, y) of the model's square input that the image fills, in (0, 1]:
    (1, 1) when the image is stretched to the square, less on one axis when it is padded at the
    bottom or right. ``features`` belongs to the runtime; nobody else looks inside. ``image`` is
    what was encoded, uint8 (rows, columns, 3), made smaller if it was larger than ``KEPT_SIDE``.
    """

    height: int
    width: int
    content: tuple[float, float]
    features: Any
    image: NDArray[np.uint8]


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

    def best(self, count: int) -> Candidates:
        """Select at most so many with the highest objectness, in that order."""
        return self.take(np.argsort(-self.objectness, kind="stable")[:count])


@dataclass(frozen=True, slots=True)
class DecodedMasks:
    """Masks of some candidates, as decoded or after a closer look.

    logits: float32 (n, side, side) over the model's square; above 0 is foreground.
    quality: float32 (n,), predicted IoU in [0, 1].
    """

    logits: NDArray[np.float32]
    quality: NDArray[np.float32]

    @classmethod
    def none(cls, side: int) -> DecodedMasks:
        """Return no masks, of the right shapes."""
        return cls(np.zeros((0, side, side), np.float32), np.zeros(0, np.float32))

    def take(self, index: NDArray[np.int64]) -> DecodedMasks:
        """Select masks by integer index, in that order."""
        return DecodedMasks(self.logits[index], self.quality[index])

    @classmethod
    def joined(cls, parts: Sequence[DecodedMasks]) -> DecodedMasks:
        """Put the masks of batches, at least one, together."""
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.quality for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class RegionName:
    """What the language model called a region; ``score`` is the mean token probability."""

    text: str
    score: float


def compose(answer: RegionName, kind: RegionName) -> RegionName:
    """Put the noun that the shape alone gives into a name: "red mug" and "kettle", "red kettle".

    A name that was learned as a whole prefers the pairs of words it was learned with; asked apart,
    the words are free of each other. Answers of one word ("table", "lid") stay as they are.
    """
    words, noun = answer.text.split(), kind.text.split()
    if len(words) < 2 or not noun:
        return answer
    return RegionName(" ".join([*words[:-1], *noun]), answer.score * kind.score)


def keep(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy an image (height, width, 3), at most ``KEPT_SIDE`` a side."""
    height, width = image.shape[:2]
    scale = KEPT_SIDE / max(height, width)
    if scale >= 1:
        return image.copy()
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


#: A question about regions, an answer and whether it must end there, to its probability (n,).
Asked = Callable[[str, str, bool], NDArray[np.float32]]


def likelihood_of(name: str, asked: Asked, *, by_shape: bool) -> NDArray[np.float32]:
    """Put the probability (n,) of a name together from those of what ``compose`` puts together.

    ``asked`` answers "name" and, if ``by_shape``, "kind". One word may be a noun, or what a name
    begins with.
    """
    *first, last = name.split()
    if not by_shape:
        return asked("name", name, True)
    if first:
        return asked("name", " ".join(first), False) * asked("kind", last, True)
    return np.maximum(asked("kind", last, True), asked("name", last, False))


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
    #: cells a side of mask logits, after the closer look
    mask_side: int = 64
    #: what turns this model's scores into probabilities; its calls give them as they are
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

    def sharpen(
        self,
        encoding: Encoding,
        candidates: Candidates,
        masks: DecodedMasks,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Take a closer look at the masks that were decoded of candidates, finer for it.

        A model that takes none gives them back.
        """
        return masks

    def draw(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Decode one mask per candidate and take the closer look at all of them."""
        masks = self.decode(encoding, candidates, previous_mask)
        return self.sharpen(encoding, candidates, masks, previous_mask)

    @abstractmethod
    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        """Name the regions under the mask logits (n, side, side), all in one batch."""

    def likelihood(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
        name: str,
    ) -> NDArray[np.float32]:
        """Return how probable a name is for each region under mask logits (n, side, side).

        float32 (n,) in [0, 1]. A runtime that only knows its first choice says 0 of what has other
        words.
        """
        found, words = self.name(encoding, logits, category_embeddings), set(name.split())
        scores = [one.score if words <= set(one.text.split()) else 0.0 for one in found]
        return np.array(scores, np.float32)

    def close(self) -> None:  # noqa: B027 - optional hook
        """Free what the runtime holds."""


class CheckpointRuntime(Runtime):
    """What all runtimes of a checkpoint do alike; a subclass only runs the network.

    Region tokens are whatever the subclass likes, one for each region.
    """

    #: what ends a name
    _end_token_id: int

    def __init__(self, folder: Path) -> None:
        """Read what a checkpoint folder says beside its network; raises ``ModelError``."""
        self.model_name = folder.name
        self._processor = RoseProcessor.from_pretrained(folder)
        self.calibration = read_calibration(folder)
        self._prompts = {
            "name": self._processor.name_prompt_ids(),
            "kind": self._processor.kind_prompt_ids(),
        }

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        features = self._encode(*self._processor.pixel_values(image))
        height, width = image.shape[:2]
        content = self._processor.content(height, width)
        return Encoding(height, width, content, features, keep(image))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        if not len(logits):
            return []
        regions = self._region_tokens(encoding, logits, category_embeddings)
        answers = self._each(lambda one: self._ask(regions[one], self._prompts[one]), [*regions])
        if len(answers) == 1:
            return answers[0]
        return [compose(*pair) for pair in zip(*answers, strict=True)]

    def likelihood(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
        name: str,
    ) -> NDArray[np.float32]:
        if not len(logits):
            return np.zeros(0, np.float32)
        regions = self._region_tokens(encoding, logits, category_embeddings)

        def asked(question: str, answer: str, ends: bool) -> NDArray[np.float32]:
            ids = self._processor.encode_text(f" {answer}")[0]
            if ends:
                ids = np.append(ids, self._end_token_id)
            if len(ids) > self._processor.config.max_name_tokens:  # no name is as long
                return np.zeros(len(logits), np.float32)
            return self._probability(regions[question], self._prompts[question], ids)

        return likelihood_of(name, asked, by_shape="kind" in regions)

    def _each(self, run: Callable[[P], T], parts: Sequence[P]) -> list[T]:
        """Run something on parts that do not depend on each other; maybe at the same time."""
        return [run(part) for part in parts]

    def _ask(self, regions: Any, prompt: NDArray[np.int64]) -> list[RegionName]:
        ids, scores = self._answer(regions, prompt)
        return [
            RegionName(self._processor.decode_name(row), float(score))
            for row, score in zip(ids, scores, strict=True)
        ]

    @abstractmethod
    def _encode(self, pixels: NDArray[np.float32], sam_pixels: NDArray[np.float32]) -> Any:
        """Make the features of an encoding from the network's inputs (1, 3, size, size)."""

    @abstractmethod
    def _region_tokens(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> dict[str, Any]:
        """Make region tokens (n, width) for "name" and, if shapes are read apart, for "kind"."""

    @abstractmethod
    def _answer(
        self, regions: Any, prompt: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Answer a prompt (length,) greedily for region tokens (n, width), all in one batch.

        Returns token ids (n, most), filled up with the end token, and the mean probability (n,)
        of the tokens up to and including the end.
        """

    @abstractmethod
    def _probability(
        self, regions: Any, prompt: NDArray[np.int64], answer: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the probability (n,) of an answer (tokens,) to a prompt about region tokens."""
