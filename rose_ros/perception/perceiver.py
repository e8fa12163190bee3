"""One image in, named masks out: the passes of the model, usable without ROS."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ImageError
from rose_ros.model.prompts import EVERYTHING, find_prompt, refine_prompt
from rose_ros.perception.locality import beside, keep_outline, most_alike
from rose_ros.perception.masks import Shape, exclusive_shapes, resize_logits
from rose_ros.perception.phrasing import OUTLINE
from rose_ros.perception.segments import (
    Label,
    LabelSource,
    Segment,
    SegmentedFrame,
    Timing,
)
from rose_ros.perception.selection import (
    Detections,
    PerceiverOptions,
    drop_fragments,
    keep_distinct,
    keep_promising,
    pick_candidates,
)
from rose_ros.perception.zooming import zoom
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime
from rose_ros.runtime.calibration import Calibration

#: From this score on, the model's own, a name is sure; and the side of the close-up that others
#: are looked for in, at least, in sides of the image.
_SURE, _WINDOW = 0.9, 0.6
#: Bytes of a published name.
MAX_NAME_BYTES = 128


class Perceiver:
    """The model's passes with the choice of what counts as a segment; keeps no state of frames.

    ``inference_seconds`` counts the time spent inside the runtime since it was made. Thresholds
    and ranks go by the model's own objectness; what is published goes by ``calibration``.
    """

    def __init__(
        self,
        runtime: Runtime,
        options: PerceiverOptions | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        """Use ``runtime``, which one thread owns, with the calibration of its checkpoint."""
        self.runtime = runtime
        self.options = options or PerceiverOptions()
        self.calibration = runtime.calibration if calibration is None else calibration
        self.inference_seconds = 0.0

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        """Encode an RGB image uint8 (height, width, 3); raises ``ImageError``."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ImageError(
                f"an image is uint8 (height, width, 3), not {image.dtype} {image.shape}"
            )
        with self._inference():
            return self.runtime.encode(image)

    def segment(self, image: NDArray[np.uint8], text: str | None = None) -> SegmentedFrame:
        """Segment one image; ids count from 1 in order of confidence.

        ``text`` is a description to look for, e.g. "the red mug"; None means everything.
        """
        start, before = time.perf_counter(), self.inference_seconds
        encoding = self.encode(image)
        found = self.everything(encoding) if text is None else self.find(encoding, text)
        segments = self.to_segments(encoding, found)
        inference = self.inference_seconds - before
        timing = Timing(0.0, inference, time.perf_counter() - start - inference)
        numbered = tuple(replace(segment, id=i) for i, segment in enumerate(segments, start=1))
        return SegmentedFrame("", 0, 1, encoding.height, encoding.width, numbered, timing)

    def everything(self, encoding: Encoding, threshold: float | None = None) -> Detections:
        """Run a dense pass: distinct, non-overlapping, named detections."""
        least = self.options.objectness_threshold if threshold is None else threshold
        found = self.detect(encoding, self.options.text or EVERYTHING, least)
        return self.with_sure_names(encoding, found)[0]

    def find(self, encoding: Encoding, description: str) -> Detections:
        """Look for what a description fits, e.g. "the red mug"; named detections."""
        found = self.detect(encoding, find_prompt(description), self.options.find_threshold)
        return self.with_names(encoding, found)

    def likelihood(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        embeddings: NDArray[np.float32],
        name: str,
    ) -> NDArray[np.float32]:
        """Return how probable a name is for masks (n, side, side) with category embeddings."""
        with self._inference():
            return self.runtime.likelihood(encoding, logits, embeddings, name)

    def refine(
        self, encoding: Encoding, previous_mask: NDArray[np.bool_], label: str, text: str
    ) -> Detections:
        """Correct a mask (height, width) called ``label`` as ``text`` says; best first, no names.

        None when the model gives nothing for the text; several when it sees several things.
        Where the text does not speak of the outline, that stays (``locality``).
        """
        found = self.detect(
            encoding, refine_prompt(label, text), self.options.refine_threshold, previous_mask
        )
        if OUTLINE.search(text.lower()):
            return found
        return replace(found, logits=keep_outline(previous_mask, found.logits, encoding.content))

    def detect(
        self,
        encoding: Encoding,
        prompt: str,
        threshold: float,
        previous_mask: NDArray[np.bool_] | None = None,
        near: NDArray[np.bool_] | None = None,
    ) -> Detections:
        """Run one pass with ``prompt`` as it is and keep what is distinct; best first, no names.

        ``near``, bool (height, width), leaves out what is not looked for in or beside that mask.
        """
        with self._inference():
            candidates = self.runtime.perceive(encoding, prompt, previous_mask)
        candidates = candidates.take(pick_candidates(candidates, threshold, self.options))
        if near is not None:
            candidates = candidates.take(beside(candidates.centres, near, encoding.content))
        return self.distinct(encoding, candidates, previous_mask)

    def distinct(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> Detections:
        """Decode candidates, look closer at what promises to be a thing of its own, keep what is.

        Best first, no names.
        """
        with self._inference():
            masks = self.runtime.decode(encoding, candidates, previous_mask)
        promising = keep_promising(_detections(candidates, masks), encoding.content)
        candidates, masks = candidates.take(promising), masks.take(promising)
        with self._inference():
            masks = self.runtime.sharpen(encoding, candidates, masks, previous_mask)
        found = _detections(candidates, masks)
        found = found.take(keep_distinct(found, encoding.content, self.options))
        return found.take(drop_fragments(found, encoding.content, self.options))

    def with_names(self, encoding: Encoding, detections: Detections) -> Detections:
        """Return the detections with names, all asked for as one batch, and calibrated scores."""
        if not len(detections):
            return detections
        return self._calibrated(replace(detections, names=self._names(encoding, detections)))

    def with_sure_names(
        self, encoding: Encoding, detections: Detections, frame: int | None = None
    ) -> tuple[Detections, list[int]]:
        """Return things that a dense pass found, with names as ``with_names`` gives them.

        Those with unsure names, ``close_ups`` at most, are looked at again in a close-up; where
        that gives a surer name, it also gives the mask. The least sure come first or, in frames of
        a stream, given by number, each at times. Returns those that still wait, too.
        """
        if not len(detections):
            return detections, []
        names, logits = list(self._names(encoding, detections)), detections.logits.copy()
        unsure = [i for i, name in enumerate(names) if name.score < _SURE]
        if frame is None:
            unsure.sort(key=lambda i: names[i].score)
        else:
            np.random.default_rng(frame).shuffle(unsure)
        most = self.options.close_ups
        for i in unsure[:most]:
            again = self._look_closer(encoding, detections.take(np.array([i])))
            if again is not None and again.names[0].score > names[i].score:
                names[i], logits[i] = again.names[0], again.logits[0]
        named = self._calibrated(replace(detections, names=tuple(names), logits=logits))
        return named, unsure[most:] if most else []

    def _look_closer(self, encoding: Encoding, thing: Detections) -> Detections | None:
        """Return one thing as a close-up shows it; None where that shows nothing better."""
        mask = self.masks(encoding, thing)[0]
        close = zoom(self.encode, encoding, mask, _WINDOW)
        if close.encoding is encoding:
            return None
        prompt, least = self.options.text or EVERYTHING, self.options.objectness_threshold
        found = self.detect(close.encoding, prompt, least, near=close.mask)
        same = most_alike(close.mask, found.logits, close.encoding.content)
        if same is None:
            return None
        found = found.take(np.array([same]))
        return close.paste(replace(found, names=self._names(close.encoding, found)))

    def _names(self, encoding: Encoding, detections: Detections) -> tuple[RegionName, ...]:
        """Return the names of detections with the model's own scores."""
        with self._inference():
            names = self.runtime.name(encoding, detections.logits, detections.embeddings)
        return tuple(names)

    def _calibrated(self, named: Detections) -> Detections:
        calibrated = (RegionName(n.text, self.calibration.name(n.score)) for n in named.names)
        return replace(named, names=tuple(calibrated))

    def score(self, objectness: float) -> float:
        """Return the calibrated probability that a detection is one thing, in [0, 1]."""
        return self.calibration.objectness(float(objectness))

    def masks(self, encoding: Encoding, detections: Detections) -> NDArray[np.bool_]:
        """Return the masks, bool (n, height, width); they may overlap."""
        size = encoding.height, encoding.width
        return resize_logits(detections.logits, encoding.content, *size) > 0

    def to_segments(self, encoding: Encoding, detections: Detections) -> list[Segment]:
        """Return untracked segments with masks that do not overlap; those left empty are gone."""
        segments = []
        shapes = exclusive_shapes(
            detections.logits, encoding.content, encoding.height, encoding.width
        )
        for i, shape in enumerate(shapes):
            if shape is not None:
                score = self.score(detections.objectness[i])
                segments.append(make_segment(detections, i, shape, score))
        return segments

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Count the time of one call of the runtime."""
        start = time.perf_counter()
        yield
        self.inference_seconds += time.perf_counter() - start


def _detections(candidates: Candidates, masks: DecodedMasks) -> Detections:
    return Detections(
        candidates.objectness, masks.quality, masks.logits, candidates.category_embeddings
    )


def clean_name(text: str) -> str:
    """Return a model's name as it is published: lower-case, one line, at most 128 bytes."""
    # A cut multi-byte character decodes to the replacement character.
    words = "".join(c if c.isprintable() and c != "\ufffd" else " " for c in text).lower().split()
    return " ".join(words).encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip()


def make_segment(
    detections: Detections,
    index: int,
    shape: Shape,
    score: float,
    *,
    segment_id: int = 0,
    label: Label | None = None,
    alternatives: Sequence[Label] = (),
    source: LabelSource = LabelSource.FROM_MODEL,
    revision: int = 0,
) -> Segment:
    """Put a detection, its shape, score and what a tracker knows about it together."""
    if label is None:
        name = detections.names[index]
        label = Label(clean_name(name.text), float(name.score))
    return Segment(
        id=segment_id,
        label=label,
        alternatives=tuple(alternatives),
        label_source=source,
        revision=revision,
        score=score,
        mask_quality=float(detections.quality[index]),
        mask=shape.mask,
        area=shape.area,
        anchor=shape.anchor,
        truncated=shape.truncated,
        embedding=detections.embeddings[index],
    )
