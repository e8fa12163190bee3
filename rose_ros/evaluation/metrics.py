"""Scores of segmentation, find and refinement: sums over images, turned into numbers at the end.

Undefined numbers (no sample of that kind) are None, never 0 or NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rose_ros.errors import DataError

#: Ground truth below this many pixels is not missed when nothing matches it.
MIN_AREA = 60
#: Objects that cover more of an image are large: 200 px at rose-tiny's 240x240.
LARGE_SHARE = 200 / 240**2
#: A prediction stands for an object when they overlap by more than this.
MATCH_IOU = 0.5
#: A correction did harm when it lost more IoU than this.
HARM = 0.05

Number = float | None


@dataclass(frozen=True, slots=True)
class Match:
    """A predicted segment that stands for an object; both by their value in the label maps."""

    predicted: int
    truth: int
    iou: float


def match_labels(
    predicted: NDArray[np.integer], truth: NDArray[np.integer]
) -> tuple[list[Match], dict[int, int], dict[int, int]]:
    """Match two label maps (height, width), 0 = nothing, where IoU > 0.5; at most one each.

    Returns the matches and the areas in pixels of all predicted and of all true segments.
    Raises ``DataError`` when the maps differ in size or hold negative labels.
    """
    if predicted.shape != truth.shape:
        raise DataError(f"predicted {predicted.shape} and true labels {truth.shape} differ in size")
    if predicted.size and min(int(predicted.min()), int(truth.min())) < 0:
        raise DataError("labels are 0 for nothing and positive for segments; one is negative")
    predicted_values, predicted_index = np.unique(predicted, return_inverse=True)
    truth_values, truth_index = np.unique(truth, return_inverse=True)
    shape = (len(predicted_values), len(truth_values))
    pairs = predicted_index.ravel() * shape[1] + truth_index.ravel()
    shared = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    predicted_areas, truth_areas = shared.sum(axis=1), shared.sum(axis=0)
    iou = shared / np.maximum(predicted_areas[:, None] + truth_areas[None] - shared, 1)
    iou[predicted_values == 0] = 0.0
    iou[:, truth_values == 0] = 0.0
    matches = [
        Match(int(predicted_values[row]), int(truth_values[column]), float(iou[row, column]))
        for row, column in np.argwhere(iou > MATCH_IOU)
    ]
    return matches, _areas(predicted_values, predicted_areas), _areas(truth_values, truth_areas)


def _areas(values: NDArray[np.integer], areas: NDArray[np.integer]) -> dict[int, int]:
    return {int(value): int(area) for value, area in zip(values, areas, strict=True) if value}


@dataclass(slots=True)
class SegmentScores:
    """Class-agnostic panoptic quality and how many matched segments have exactly the right name.

    True positives are matches with IoU > 0.5; an unmatched object below ``MIN_AREA`` pixels is not
    a false negative; every unmatched prediction is a false positive.
    """

    iou_sum: float = 0.0
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    large: int = 0
    large_found: int = 0
    names: int = 0
    right_names: int = 0

    def add(
        self,
        predicted: NDArray[np.integer],
        predicted_names: Mapping[int, str],
        truth: NDArray[np.integer],
        truth_names: Mapping[int, str],
        named: Set[int] | None = None,
    ) -> None:
        """Add one image: label maps (height, width) and the name of every label in them.

        ``named`` are the true labels whose names count; None means all.
        """
        matches, predicted_areas, truth_areas = match_labels(predicted, truth)
        matched = {match.truth for match in matches}
        self.iou_sum += sum(match.iou for match in matches)
        self.true_positives += len(matches)
        self.false_positives += len(predicted_areas) - len(matches)
        self.false_negatives += sum(
            area >= MIN_AREA for value, area in truth_areas.items() if value not in matched
        )
        large = {value for value, area in truth_areas.items() if area > LARGE_SHARE * truth.size}
        self.large += len(large)
        self.large_found += len(large & matched)
        judged = [match for match in matches if named is None or match.truth in named]
        self.names += len(judged)
        self.right_names += sum(
            predicted_names[match.predicted] == truth_names[match.truth] for match in judged
        )

    def result(self) -> dict[str, Number]:
        """Return pq, sq, rq, recall_50, recall_large and name_accuracy, in [0, 1] or None."""
        hits, misses = self.true_positives, self.false_negatives
        sq = _ratio(self.iou_sum, hits)
        rq = _ratio(hits, hits + 0.5 * self.false_positives + 0.5 * misses)
        return {
            "pq": None if rq is None else (sq or 0.0) * rq,
            "sq": sq,
            "rq": rq,
            "recall_50": _ratio(hits, hits + misses),
            "recall_large": _ratio(self.large_found, self.large),
            "name_accuracy": _ratio(self.right_names, self.names),
        }


@dataclass(slots=True)
class FindScores:
    """How well the pixels found for a description are the pixels meant.

    ciou: intersections over unions, summed over the set; giou: mean IoU per description, 1 where
    nothing is meant and nothing found; n_acc: share of the descriptions of something absent for
    which nothing was found.
    """

    shared: int = 0
    union: int = 0
    ious: list[float] = field(default_factory=list)
    absent: int = 0
    absent_right: int = 0

    def add(self, predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
        """Add one description: all pixels found and all pixels meant, bool (height, width)."""
        shared = int(np.count_nonzero(predicted & truth))
        union = int(np.count_nonzero(predicted | truth))
        self.shared += shared
        self.union += union
        self.ious.append(shared / union if union else 1.0)
        if not truth.any():
            self.absent += 1
            self.absent_right += not predicted.any()

    def result(self) -> dict[str, Number]:
        """Return ciou, giou and n_acc, each in [0, 1] or None."""
        return {
            "ciou": _ratio(self.shared, self.union),
            "giou": _ratio(sum(self.ious), len(self.ious)),
            "n_acc": _ratio(self.absent_right, self.absent),
        }


def set_iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return how well masks (n, height, width) are the masks (k, height, width), in [0, 1].

    Best one-to-one assignment; the sum of its IoUs over the larger of n and k, so that a mask too
    few or too many costs as much as a wrong one. Both empty: 1. Masks without a pixel are dropped.
    """
    predicted = predicted[predicted.any(axis=(1, 2))]
    truth = truth[truth.any(axis=(1, 2))]
    if not len(predicted) or not len(truth):
        return 1.0 if len(predicted) == len(truth) else 0.0
    flat_predicted = predicted.reshape(len(predicted), -1).astype(np.float32)
    flat_truth = truth.reshape(len(truth), -1).astype(np.float32)
    shared = flat_predicted @ flat_truth.T
    union = flat_predicted.sum(axis=1)[:, None] + flat_truth.sum(axis=1)[None] - shared
    iou = shared / union
    rows, columns = linear_sum_assignment(-iou)
    return float(iou[rows, columns].sum()) / max(iou.shape)


@dataclass(slots=True)
class RefineScores:
    """What corrections of one kind did.

    harm_rate: share that lost more than ``HARM`` IoU. preservation_iou: mean over the objects not
    meant of the share of their pixels that the correction leaves alone. rename_rate: share
    with exactly the right name afterwards, of those whose label was not right before.
    """

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    preserved: list[float] = field(default_factory=list)
    wrongly_named: int = 0
    renamed: int = 0

    def add(
        self,
        previous: NDArray[np.bool_],
        corrected: NDArray[np.bool_],
        truth: NDArray[np.bool_],
        others: NDArray[np.bool_] | None,
        drawn: NDArray[np.bool_],
    ) -> None:
        """Add one correction.

        previous, drawn: bool (height, width); drawn is what the correction covers anew. corrected,
        truth: bool (n or k, height, width). others: bool (m, height, width), the objects that the
        correction is not about, or None.
        """
        self.before.append(set_iou(previous[None], truth))
        self.after.append(set_iou(corrected, truth))
        for mask in () if others is None else others:
            self.preserved.append(np.count_nonzero(mask & ~drawn) / np.count_nonzero(mask))

    def add_name(self, before: str, after: Sequence[str], right: Sequence[str]) -> None:
        """Add the names of one correction: the label before, those published after, the right."""
        if not right or list(right) == [before]:
            return
        self.wrongly_named += 1
        self.renamed += sorted(after) == sorted(right)

    def result(self) -> dict[str, Number]:
        """Return iou_before, iou_after, harm_rate, preservation_iou, rename_rate and n."""
        count = len(self.before)
        harmed = sum(
            after < before - HARM for before, after in zip(self.before, self.after, strict=True)
        )
        return {
            "iou_before": _ratio(sum(self.before), count),
            "iou_after": _ratio(sum(self.after), count),
            "harm_rate": _ratio(harmed, count),
            "preservation_iou": _ratio(sum(self.preserved), len(self.preserved)),
            "rename_rate": _ratio(self.renamed, self.wrongly_named),
            "n": count,
        }


def _ratio(part: float, whole: float) -> Number:
    """Return part / whole, None when there is nothing to divide by."""
    return float(part) / whole if whole else None
