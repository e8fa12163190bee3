"""How far scores can be taken for probabilities: collect, fit, measure, draw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import Scene
from rose_ros.evaluation.metrics import match_labels
from rose_ros.perception.masks import instance_image
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime.calibration import Calibration, Curve, logit

#: Equal bins over [0, 1] of the expected calibration error and the diagram.
BINS = 10
#: Below this slope a score says next to nothing, and a curve would no longer rise.
_LEAST_SLOPE = 0.05
#: Newton's steps at most; it needs about six.
_STEPS = 50
_WIDTH, _HEIGHT, _MARGIN = 360, 400, 50
_INK, _GREY, _BARS = (40, 40, 40), (200, 200, 200), (222, 171, 110)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(slots=True)
class Scored:
    """Scores in [0, 1], as the model gives them, and whether each was right."""

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def add(self, score: float, right: bool) -> None:
        """Add one."""
        self.scores.append(float(score))
        self.right.append(bool(right))


@dataclass(slots=True)
class Collected:
    """Objectness of segments, right where one matches an object with IoU > 0.5; names of those."""

    objectness: Scored = field(default_factory=Scored)
    name: Scored = field(default_factory=Scored)


def collect(perceiver: Perceiver, scenes: Iterable[Scene]) -> Collected:
    """Segment scenes and note every segment's own scores, not calibrated."""
    plain = Perceiver(perceiver.runtime, perceiver.options, Calibration())
    collected = Collected()
    for scene in scenes:
        frame = plain.segment(scene.image)
        labels = instance_image(frame.segments, frame.height, frame.width)
        matches, _, _ = match_labels(labels, scene.ids)
        matched = {match.predicted: match.truth for match in matches}
        names = {obj.id: obj.name for obj in scene.objects}
        for i, segment in enumerate(frame.segments, start=1):
            collected.objectness.add(segment.score, i in matched)
            if i in matched:
                right = segment.label.text == names[matched[i]]
                collected.name.add(segment.label.score, right)
    return collected


def fit(scored: Scored) -> Curve:
    """Fit slope and bias of the logit by maximum likelihood.

    A normal prior around "change nothing" counts as much as one sample or so: it keeps the fit
    finite where all are right, all wrong or neatly apart, and near the model's own scores where
    there are few.
    """
    x = np.array([logit(score) for score in scored.scores])
    right = np.array(scored.right, float)
    both = _newton(np.stack([x, np.ones_like(x)], axis=1), np.zeros_like(x), right, [1.0, 0.0])
    if both[0] >= _LEAST_SLOPE:
        return Curve(float(both[0]), float(both[1]))
    bias = _newton(np.ones((len(x), 1)), _LEAST_SLOPE * x, right, [0.0])
    return Curve(_LEAST_SLOPE, float(bias[0]))


def measure(scored: Scored, curve: Curve) -> dict[str, Any]:
    """Return ece, ece_uncalibrated, brier, mean_score, rate, n and bins.

    bins: per bin its calibrated mean score, the share that was right, and how many; None for the
    first two where it is empty. Without samples all but n and bins are None.
    """
    right = np.array(scored.right, float)
    before = np.array(scored.scores, float)
    after = np.array([curve(score) for score in scored.scores], float)
    bins = _bins(after, right)
    known = len(right) > 0
    return {
        "ece": _error(bins),
        "ece_uncalibrated": _error(_bins(before, right)),
        "brier": float(np.mean((after - right) ** 2)) if known else None,
        "mean_score": float(after.mean()) if known else None,
        "rate": float(right.mean()) if known else None,
        "n": len(right),
        "bins": bins,
    }


def measure_all(collected: Collected, calibration: Calibration) -> dict[str, dict[str, Any]]:
    """Measure "objectness" and "name"."""
    return {
        "objectness": measure(collected.objectness, calibration.objectness),
        "name": measure(collected.name, calibration.name),
    }


def draw_reliability(result: dict[str, dict[str, Any]]) -> NDArray[np.uint8]:
    """Draw what ``measure_all`` returned as RGB (height, width, 3): one diagram beside the other.

    A bar is the share that was right among what was scored like that; on the diagonal scores are
    probabilities. The bars below the axis say how many there are.
    """
    titles = {"objectness": "score of segments", "name": "score of names"}
    return np.hstack([_diagram(titles[name], result[name]) for name in titles])


def _newton(
    inputs: NDArray[np.float64],
    offset: NDArray[np.float64],
    right: NDArray[np.float64],
    prior: list[float],
) -> NDArray[np.float64]:
    """Fit weights (k,) of inputs (n, k), whose logits start at ``offset`` (n,), near ``prior``."""
    start = np.array(prior)

    def cost(weights: NDArray[np.float64]) -> float:
        turned = inputs @ weights + offset
        likelihood = np.logaddexp(0.0, turned) - right * turned
        return float(likelihood.sum() + 0.5 * ((weights - start) ** 2).sum())

    weights, now = start, cost(start)
    for _ in range(_STEPS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(inputs @ weights + offset, -60.0, 60.0)))
        slope = inputs.T @ (probability - right) + weights - start
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs
        step = np.linalg.solve(curvature + np.eye(len(start)), slope)
        # The cost is convex: halving the step until it falls always ends.
        while cost(weights - step) > now and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights - step
        now = cost(weights)
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _bins(scores: NDArray[np.float64], right: NDArray[np.float64]) -> list[dict[str, Any]]:
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = []
    for i in range(BINS):
        inside = place == i
        count = int(inside.sum())
        mean = float(scores[inside].mean()) if count else None
        rate = float(right[inside].mean()) if count else None
        bins.append({"mean_score": mean, "rate": rate, "n": count})
    return bins


def _error(bins: list[dict[str, Any]]) -> float | None:
    """Return the expected calibration error: how far score and rate are apart, by samples."""
    total = sum(one["n"] for one in bins)
    if not total:
        return None
    gaps = [one["n"] * abs(one["mean_score"] - one["rate"]) for one in bins if one["n"]]
    return float(sum(gaps) / total)


def _diagram(title: str, result: dict[str, Any]) -> NDArray[np.uint8]:
    """Draw one reliability diagram, RGB (_HEIGHT, _WIDTH, 3)."""
    image = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    side = _WIDTH - 2 * _MARGIN
    left, top = _MARGIN, 40
    bottom = top + side
    most = max(one["n"] for one in result["bins"]) or 1
    for i, one in enumerate(result["bins"]):
        x0, x1 = left + side * i // BINS, left + side * (i + 1) // BINS - 1
        if one["n"]:
            height = round(side * one["rate"])
            cv2.rectangle(image, (x0, bottom - height), (x1, bottom), _BARS, cv2.FILLED)
            x = left + round(side * one["mean_score"])
            cv2.circle(image, (x, bottom - height), 3, _INK, cv2.FILLED, cv2.LINE_AA)
        cells = round(40 * one["n"] / most)
        cv2.rectangle(image, (x0, bottom + 20), (x1, bottom + 20 + cells), _GREY, cv2.FILLED)
    cv2.line(image, (left, bottom), (left + side, top), _INK, 1, cv2.LINE_AA)
    cv2.rectangle(image, (left, top), (left + side, bottom), _INK, 1)
    error = "-" if result["ece"] is None else f"{result['ece']:.3f}"
    lines = {
        (left, 22): f"{title}: ECE {error}, n {result['n']}",
        (left - 8, bottom + 14): "0",
        (left + side - 6, bottom + 14): "1",
        (left - 20, top + 10): "1",
        (left + side // 2 - 20, bottom + 14): "score",
        (4, top + side // 2): "right",
    }
    for place, text in lines.items():
        cv2.putText(image, text, place, _FONT, 0.42, _INK, 1, cv2.LINE_AA)
    return image
