"""The shipped checkpoint is as good as it is said to be: a few fixed scenes, and a floor.

The floors lie well below what was measured when the checkpoint was made, so that they fail when
quality falls clearly, and not with every change of a library.
"""

from __future__ import annotations

import pytest

from rose_ros.evaluation.evaluate import evaluate_find, evaluate_refine, evaluate_segment
from rose_ros.paths import find_model
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime.onnx import OnnxRuntime

SCENES = 12


@pytest.fixture(scope="module")
def perceiver() -> Perceiver:
    return Perceiver(OnnxRuntime(find_model("rose-tiny")))


def test_scenes_are_segmented_and_named(perceiver: Perceiver) -> None:
    result = evaluate_segment(perceiver, "test", SCENES, seed=0)
    assert result["pq"] > 0.74
    assert result["recall_large"] > 0.84
    assert result["name_accuracy"] > 0.82


def test_names_that_training_never_had_are_composed(perceiver: Perceiver) -> None:
    assert evaluate_segment(perceiver, "novel", SCENES, seed=0)["name_accuracy"] > 0.7


def test_descriptions_are_found(perceiver: Perceiver) -> None:
    result = evaluate_find(perceiver, "test", SCENES, seed=0)
    assert result["giou"] > 0.65
    assert result["n_acc"] > 0.7


def test_corrections_help(perceiver: Perceiver) -> None:
    results = evaluate_refine(perceiver, "test", SCENES, seed=0)
    for kind in ("too_big", "split", "merge", "whole", "missed"):
        gain = results[kind]["iou_after"] - results[kind]["iou_before"]
        assert gain > 0.15, f"{kind}: {gain:+.2f}"
    for kind in ("too_small", "edge"):
        gain = results[kind]["iou_after"] - results[kind]["iou_before"]
        assert gain > 0.06, f"{kind}: {gain:+.2f}"
    assert results["part"]["iou_after"] > results["part"]["iou_before"]
    for kind in ("confirm", "wrong_name"):
        assert results[kind]["iou_after"] > 0.99, kind
