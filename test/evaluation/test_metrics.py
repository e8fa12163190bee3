"""Scores against hand-made cases and against torchmetrics and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from rose_ros.errors import DataError
from rose_ros.evaluation.metrics import (
    FindScores,
    RefineScores,
    SegmentScores,
    match_labels,
    set_iou,
)

Labels = NDArray[np.int64]


def boxes(*spans: tuple[int, int, int, int], size: tuple[int, int] = (40, 60)) -> Labels:
    """Draw boxes (x0, y0, x1, y1) with the labels 1, 2, ..."""
    labels = np.zeros(size, np.int64)
    for label, (x0, y0, x1, y1) in enumerate(spans, start=1):
        labels[y0:y1, x0:x1] = label
    return labels


def masks(labels: Labels) -> NDArray[np.bool_]:
    return np.stack([labels == value for value in np.unique(labels) if value])


def names(labels: Labels, **known: str) -> dict[int, str]:
    return {int(value): known.get(f"n{value}", "thing") for value in np.unique(labels) if value}


def score(predicted: Labels, truth: Labels) -> dict[str, float | None]:
    scores = SegmentScores()
    scores.add(predicted, names(predicted), truth, names(truth))
    return scores.result()


def test_perfect_prediction_scores_one() -> None:
    truth = boxes((0, 0, 20, 20), (30, 0, 60, 40))
    assert set(score(truth, truth).values()) == {1.0}


def test_a_case_counted_by_hand() -> None:
    truth = boxes((0, 0, 20, 20), (30, 0, 50, 20), (0, 25, 20, 40))
    # First object: 300 of 400 px found; second: 180 of 400 px, IoU 0.45; third: missed.
    predicted = boxes((0, 0, 15, 20), (30, 0, 39, 20), (52, 30, 60, 40))
    result = score(predicted, truth)
    assert result["sq"] == pytest.approx(0.75)
    assert result["rq"] == pytest.approx(1 / (1 + 0.5 * 2 + 0.5 * 2))
    assert result["pq"] == pytest.approx(0.25)
    assert result["recall_50"] == pytest.approx(1 / 3)


def test_exactly_half_is_no_match() -> None:
    matches, predicted, truth = match_labels(boxes((0, 0, 10, 20)), boxes((0, 0, 20, 20)))
    assert matches == []
    assert predicted == {1: 200}
    assert truth == {1: 400}


def test_small_unmatched_objects_are_ignored_and_small_matched_ones_count() -> None:
    truth = boxes((0, 0, 20, 20), (30, 30, 37, 37))
    missed = score(boxes((0, 0, 20, 20)), truth)
    assert missed["pq"] == pytest.approx(1.0)
    assert missed["recall_50"] == pytest.approx(1.0)
    scores = SegmentScores()
    scores.add(truth, names(truth), truth, names(truth))
    assert scores.true_positives == 2
    just_large_enough = boxes((0, 0, 20, 20), (30, 30, 36, 40))
    assert score(boxes((0, 0, 20, 20)), just_large_enough)["recall_50"] == pytest.approx(0.5)


def test_large_objects_are_counted_apart() -> None:
    """In an image of 60x40, an object of 10 px is large and one of 8 px is not."""
    truth = boxes((0, 0, 20, 20), (30, 30, 35, 32), (40, 40, 44, 42))
    result = score(boxes((0, 0, 20, 20)), truth)
    assert result["recall_large"] == pytest.approx(0.5)
    assert result["recall_50"] == pytest.approx(1.0)


def test_names_must_match_exactly() -> None:
    truth = boxes((0, 0, 20, 20), (30, 0, 60, 40))
    scores = SegmentScores()
    scores.add(truth, {1: "red mug", 2: "mug"}, truth, {1: "red mug", 2: "blue mug"})
    assert scores.result()["name_accuracy"] == pytest.approx(0.5)
    scores = SegmentScores()
    scores.add(truth, {1: "red mug", 2: "mug"}, truth, {1: "red mug", 2: "blue mug"}, {2})
    assert scores.result()["name_accuracy"] == 0.0


def test_nothing_at_all_is_undefined_and_only_wrong_is_zero() -> None:
    nothing = np.zeros((8, 8), np.int64)
    assert set(score(nothing, nothing).values()) == {None}
    result = score(boxes((0, 0, 10, 10)), boxes((30, 0, 50, 20)))
    assert result["pq"] == 0.0
    assert result["sq"] is None
    assert result["name_accuracy"] is None


def test_scores_of_images_are_summed_not_averaged() -> None:
    good, bad = boxes((0, 0, 20, 20), (30, 0, 50, 20), (0, 25, 20, 40)), boxes((0, 0, 20, 20))
    scores = SegmentScores()
    scores.add(good, names(good), good, names(good))
    scores.add(np.zeros_like(bad), {}, bad, names(bad))
    assert scores.result()["pq"] == pytest.approx(3 / 3.5)


def test_maps_of_different_size_or_sign_are_refused() -> None:
    with pytest.raises(DataError, match="size"):
        match_labels(np.zeros((4, 4), int), np.zeros((4, 5), int))
    with pytest.raises(DataError, match="negative"):
        match_labels(np.full((4, 4), -1), np.zeros((4, 4), int))


@pytest.mark.parametrize("seed", range(6))
def test_panoptic_quality_agrees_with_torchmetrics(seed: int) -> None:
    torch = pytest.importorskip("torch")
    detection = pytest.importorskip("torchmetrics.detection")
    truth, predicted = noisy_pair(seed)
    # Class 1 holds all segments. "Nothing" must be a class of its own: torchmetrics leaves pixels
    # of an unknown class out of the unions.
    reference = detection.PanopticQuality(
        things={1}, stuffs={2}, return_sq_and_rq=True, return_per_class=True
    )
    stack = [
        torch.from_numpy(np.stack([np.where(labels > 0, 1, 2), labels], axis=-1))[None]
        for labels in (predicted, truth)
    ]
    pq, sq, rq = reference(*stack)[0].tolist()
    result = score(predicted, truth)
    assert result["pq"] is not None
    assert [result["pq"], result["sq"], result["rq"]] == pytest.approx([pq, sq, rq], abs=1e-6)


def noisy_pair(seed: int) -> tuple[Labels, Labels]:
    """Return a truth that fills the image, every object above 60 px, and a shaken prediction."""
    rng = np.random.default_rng(seed)
    columns = np.sort(rng.choice(np.arange(8, 72, 8), 3, replace=False))
    rows = np.sort(rng.choice(np.arange(16, 48, 16), 1, replace=False))
    ys, xs = np.mgrid[:64, :80]
    truth = 1 + np.searchsorted(columns, xs, "right") * 2 + np.searchsorted(rows, ys, "right")
    shift = rng.integers(-5, 6, 2)
    predicted = np.roll(truth, shift, axis=(0, 1))
    predicted[rng.random(truth.shape) < 0.1] = 0
    predicted[predicted == int(rng.integers(1, 9))] = 0
    return truth.astype(np.int64), predicted.astype(np.int64)


@pytest.mark.parametrize("seed", range(4))
def test_iou_agrees_with_pycocotools(seed: int) -> None:
    truth, predicted = noisy_pair(seed)
    matches, _, _ = match_labels(predicted, truth)
    assert matches
    for match in matches:
        pair = [
            coco.encode(np.asfortranarray((labels == value).astype(np.uint8)))
            for labels, value in ((predicted, match.predicted), (truth, match.truth))
        ]
        expected = coco.iou(pair[:1], pair[1:], [False])[0, 0]
        assert match.iou == pytest.approx(float(expected))


def test_find_counted_by_hand() -> None:
    scores = FindScores()
    truth, empty = boxes((0, 0, 20, 20)) > 0, np.zeros((40, 60), bool)
    scores.add(boxes((0, 0, 10, 20)) > 0, truth)
    scores.add(empty, empty)
    scores.add(boxes((0, 0, 10, 10)) > 0, empty)
    result = scores.result()
    assert result["ciou"] == pytest.approx(200 / (400 + 100))
    assert result["giou"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert result["n_acc"] == pytest.approx(0.5)


def test_find_without_absent_descriptions_has_no_n_acc() -> None:
    scores = FindScores()
    scores.add(boxes((0, 0, 9, 9)) > 0, boxes((0, 0, 9, 9)) > 0)
    assert scores.result() == {"ciou": 1.0, "giou": 1.0, "n_acc": None}


def test_set_iou_matches_one_to_one_and_charges_for_the_rest() -> None:
    pair = masks(boxes((0, 0, 20, 20), (30, 0, 50, 20)))
    nothing = np.zeros((0, 40, 60), bool)
    assert set_iou(pair, pair[::-1]) == pytest.approx(1.0)
    assert set_iou(pair[:1], pair) == pytest.approx(0.5)
    assert set_iou(pair.any(axis=0, keepdims=True), pair) == pytest.approx(0.25)
    assert set_iou(np.stack([pair[0], pair[0]]), pair) == pytest.approx(0.5)
    assert set_iou(nothing, nothing) == 1.0
    assert set_iou(pair, nothing) == 0.0
    assert set_iou(np.zeros((1, 40, 60), bool), nothing) == 1.0


def test_refinement_counted_by_hand() -> None:
    target = boxes((0, 0, 20, 20)) > 0
    half, other = boxes((0, 0, 10, 20)) > 0, boxes((20, 0, 40, 20)) > 0
    scores = RefineScores()
    spilt = boxes((20, 0, 30, 20)) > 0
    scores.add(half, target[None], target[None], other[None], target & ~half)
    scores.add(target, (target | spilt)[None], target[None], other[None], spilt)
    scores.add_name("handle", ["red mug"], ["red mug"])
    scores.add_name("handle", ["red cup"], ["red mug"])
    scores.add_name("red mug", ["red cup"], ["red mug"])
    assert scores.result() == {
        "iou_before": pytest.approx(0.75),
        "iou_after": pytest.approx((1.0 + 400 / 600) / 2),
        "harm_rate": pytest.approx(0.5),
        "preservation_iou": pytest.approx(0.75),
        "rename_rate": pytest.approx(0.5),
        "n": 2,
    }


def test_no_corrections_give_no_numbers() -> None:
    result = RefineScores().result()
    assert result.pop("n") == 0
    assert set(result.values()) == {None}
