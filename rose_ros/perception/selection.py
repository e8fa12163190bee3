"""From one entry per super-patch to one entry per thing: candidates, duplicates, fragments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import RequestError
from rose_ros.perception.masks import crop_content, iou_matrix
from rose_ros.runtime.base import Candidates, RegionName

#: Cells a side at which masks compete; finer ones are thinned out, as only shares matter.
FRAGMENT_SIDE = 64
#: Masks as decoded that overlap more are one thing, whatever a closer look would show.
ROUGH_DUPLICATE_IOU = 0.9


@dataclass(frozen=True, slots=True)
class PerceiverOptions:
    """What counts as a segment.

    text: the instruction of a dense pass; empty means the model's own "segment everything".
    objectness_threshold, find_threshold, refine_threshold: least objectness [0, 1] in a dense,
    find and refine pass. quality_threshold: least predicted IoU [0, 1].
    neighbour_cosine: neighbouring candidates whose mask embeddings are at least this alike [-1, 1]
    claim the same thing. duplicate_iou: masks that overlap more [0, 1] are one segment.
    kept_share: a segment that keeps less of its mask [0, 1] when others claim their pixels is a
    fragment. max_candidates: masks decoded per pass. max_segments: segments per frame.
    min_share: least area as a share of the image; the default is 60 px of 256 x 256.
    close_ups: things of a frame with unsure names that are looked at again in a close-up, at most;
    each costs about a pass over an image.
    """

    text: str = ""
    objectness_threshold: float = 0.3
    find_threshold: float = 0.4
    refine_threshold: float = 0.4
    quality_threshold: float = 0.4
    neighbour_cosine: float = 0.9
    duplicate_iou: float = 0.6
    kept_share: float = 0.5
    max_candidates: int = 48
    max_segments: int = 64
    close_ups: int = 4
    min_share: float = 60 / 256**2

    def __post_init__(self) -> None:
        """Refuse values outside their range with ``RequestError``."""
        for name in (
            "objectness_threshold",
            "find_threshold",
            "refine_threshold",
            "quality_threshold",
            "duplicate_iou",
            "kept_share",
            "min_share",
        ):
            _check_range(name, getattr(self, name), 0.0, 1.0)
        _check_range("neighbour_cosine", self.neighbour_cosine, -1.0, 1.0)
        _check_range("max_candidates", self.max_candidates, 1, 1024)
        _check_range("max_segments", self.max_segments, 1, 1024)
        _check_range("close_ups", self.close_ups, 0, 64)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RequestError(f"{name} is {value}; allowed are {low} to {high}")


@dataclass(frozen=True, slots=True)
class Detections:
    """What one pass found, best first.

    objectness, quality: float32 (n,), probability and predicted IoU in [0, 1].
    logits: float32 (n, side, side) over the model's square; above 0 is foreground.
    embeddings: float32 (n, language_width), category embeddings.
    names: n names, or none when the pass did not ask for them.
    """

    objectness: NDArray[np.float32]
    quality: NDArray[np.float32]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    names: tuple[RegionName, ...] = ()

    @classmethod
    def none(cls, side: int) -> Detections:
        """Return no detections, with masks of the right shape."""
        no = np.zeros(0, np.float32)
        return cls(no, no, np.zeros((0, side, side), np.float32), np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.objectness)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Objectness weighted by mask quality, (n,), for ranking."""
        return self.objectness * self.quality

    def take(self, index: NDArray[np.int64]) -> Detections:
        """Select detections by integer index, in that order."""
        names = tuple(self.names[i] for i in index) if self.names else ()
        return Detections(
            self.objectness[index],
            self.quality[index],
            self.logits[index],
            self.embeddings[index],
            names,
        )


def joined(passes: Sequence[Detections]) -> Detections:
    """Put the detections of several passes of one image into one, without names."""
    some = [found for found in passes if len(found)] or list(passes[:1])
    return Detections(
        np.concatenate([found.objectness for found in some]),
        np.concatenate([found.quality for found in some]),
        np.concatenate([found.logits for found in some]),
        np.concatenate([found.embeddings for found in some]),
    )


def pick_candidates(
    candidates: Candidates, threshold: float, options: PerceiverOptions
) -> NDArray[np.int64]:
    """Return the indices of the candidates to decode, best first.

    Objectness peaks at one super-patch per instance with a soft heat around it. Going down from
    the best, a candidate beside one already taken is left out unless its mask embedding says
    that it means something else.
    """
    order = np.argsort(-candidates.objectness, kind="stable")
    order = order[candidates.objectness[order] >= threshold]
    if not len(order):
        return order
    near = _neighbours(candidates.centres, order)
    alike = _cosines(candidates.mask_embeddings[order]) >= options.neighbour_cosine
    claims = near & alike
    free = np.ones(len(order), bool)
    taken = []
    for i in range(len(order)):
        if free[i]:
            taken.append(i)
            free &= ~claims[i]
            if len(taken) == options.max_candidates:
                break
    return order[taken]


def _neighbours(centres: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (n, n): whether two candidates lie in each other's 3 x 3 super-patches."""
    near = np.ones((len(order), len(order)), bool)
    for axis in range(2):
        steps = np.diff(np.unique(np.round(centres[:, axis], 4)))
        step = float(steps.min()) if len(steps) else 1.0
        along = centres[order, axis]
        near &= np.abs(along[:, None] - along[None]) < 1.5 * step
    return near


def _cosines(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosines (n, n) of embeddings (n, width)."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(lengths, 1e-12)
    cosines: NDArray[np.float32] = unit @ unit.T
    return cosines


def keep_promising(detections: Detections, content: tuple[float, float]) -> NDArray[np.int64]:
    """Return the indices of freshly decoded detections that are worth a closer look, best first.

    Left out: masks that a better one covers so well that they would become the same.
    """
    masks = crop_content(detections.logits, content) > 0
    return _unlike(masks, np.argsort(-detections.scores, kind="stable"), ROUGH_DUPLICATE_IOU)


def keep_distinct(
    detections: Detections, content: tuple[float, float], options: PerceiverOptions
) -> NDArray[np.int64]:
    """Return the indices of the detections worth keeping, best first.

    Left out: masks with logits that are not finite, of too little quality or area, and masks that
    overlap a better one by more than ``duplicate_iou``.
    """
    masks = crop_content(detections.logits, content) > 0
    shares = masks.mean(axis=(1, 2)) if len(masks) else np.zeros(0)
    good = np.isfinite(detections.logits).all(axis=(1, 2)) & (shares >= options.min_share)
    good &= detections.quality >= options.quality_threshold
    order = np.argsort(-detections.scores, kind="stable")
    return _unlike(masks, order[good[order]], options.duplicate_iou)[: options.max_segments]


def _unlike(masks: NDArray[np.bool_], order: NDArray[np.int64], most: float) -> NDArray[np.int64]:
    """Go through masks (n, h, w) in ``order``; return those unlike all that were taken before."""
    overlap = iou_matrix(masks[order], masks[order], most)
    kept: list[int] = []
    for i in range(len(order)):
        if not any(overlap[i, j] > most for j in kept):
            kept.append(i)
    return order[kept]


def drop_fragments(
    detections: Detections, content: tuple[float, float], options: PerceiverOptions
) -> NDArray[np.int64]:
    """Return the indices of the detections that keep their pixels when all claim theirs.

    The worst of those that keep less than ``kept_share`` goes first, and what it claimed is free
    again for the others.
    """
    step = max(1, detections.logits.shape[-1] // FRAGMENT_SIDE)
    logits = crop_content(detections.logits, content)[:, ::step, ::step]
    masks = logits > 0
    areas = masks.sum(axis=(1, 2))
    kept = np.arange(len(detections))
    while len(kept):
        held = np.where(masks[kept], logits[kept], -np.inf)
        owner = np.where(masks[kept].any(axis=0), held.argmax(axis=0), -1)
        owned = np.bincount(owner[owner >= 0], minlength=len(kept))
        poor = np.flatnonzero(owned < options.kept_share * areas[kept])
        if not len(poor):
            break
        worst = poor[np.argmin(detections.scores[kept[poor]])]
        kept = np.delete(kept, worst)
    return kept
