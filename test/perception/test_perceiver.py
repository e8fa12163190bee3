"""Passes of the model without a session: what is a segment, and what is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rose_ros.errors import ImageError, RequestError
from rose_ros.perception.masks import decode_runs
from rose_ros.perception.perceiver import Perceiver, clean_name
from rose_ros.perception.selection import (
    Detections,
    PerceiverOptions,
    drop_fragments,
    keep_distinct,
    keep_promising,
    pick_candidates,
)
from rose_ros.runtime.base import Candidates, RegionName


def grid_candidates(objectness: list[list[float]], embeddings: np.ndarray) -> Candidates:
    """Return one candidate per cell of a grid."""
    heat = np.array(objectness, np.float32)
    rows, columns = heat.shape
    ys, xs = np.mgrid[:rows, :columns]
    centres = np.stack([(xs + 0.5) / columns, (ys + 0.5) / rows], axis=-1).reshape(-1, 2)
    return Candidates(
        heat.ravel(), centres.astype(np.float32), embeddings.astype(np.float32), embeddings
    )


def test_one_candidate_per_peak() -> None:
    heat = [[0.5, 0.6, 0.1, 0.4], [0.6, 0.9, 0.5, 0.7], [0.1, 0.2, 0.1, 0.4]]
    same = np.tile([1.0, 0.0], (12, 1))
    picked = pick_candidates(grid_candidates(heat, same), 0.3, PerceiverOptions())
    assert picked.tolist() == [5, 7]


def test_neighbours_that_mean_different_things_both_stay() -> None:
    embeddings = np.tile([1.0, 0.0], (4, 1))
    embeddings[1] = [0.0, 1.0]
    candidates = grid_candidates([[0.9, 0.8, 0.5, 0.1]], embeddings)
    picked = pick_candidates(candidates, 0.3, PerceiverOptions())
    assert picked.tolist() == [0, 1, 2]


def test_no_more_candidates_than_allowed_and_none_below_the_threshold() -> None:
    candidates = grid_candidates([[0.9, 0.2, 0.8, 0.2, 0.7, 0.2]], np.eye(6))
    assert pick_candidates(candidates, 0.3, PerceiverOptions(max_candidates=2)).tolist() == [0, 2]
    assert pick_candidates(candidates, 0.95, PerceiverOptions()).tolist() == []


def detections(logits: np.ndarray, **values: Any) -> Detections:
    count = len(logits)
    full = {"objectness": np.full(count, 0.9), "quality": np.full(count, 0.9), **values}
    return Detections(
        np.asarray(full["objectness"], np.float32),
        np.asarray(full["quality"], np.float32),
        logits.astype(np.float32),
        np.eye(count, dtype=np.float32),
    )


def boxes(*corners: tuple[int, int, int, int]) -> np.ndarray:
    logits = np.full((len(corners), 32, 32), -4.0)
    for mask, (x0, y0, x1, y1) in zip(logits, corners, strict=True):
        mask[y0:y1, x0:x1] = 4.0
    return logits


def test_duplicates_poor_tiny_and_broken_masks_go() -> None:
    logits = boxes(
        (2, 2, 12, 12), (2, 2, 12, 13), (20, 2, 30, 12), (5, 25, 5, 25), (20, 20, 28, 28)
    )
    logits[4, 0, 0] = np.nan
    found = detections(logits, objectness=[0.7, 0.8, 0.9, 0.9, 0.9], quality=[0.9, 0.9, 0.3, 1, 1])
    assert keep_distinct(found, (1.0, 1.0), PerceiverOptions()).tolist() == [1]


def test_a_closer_look_is_not_wasted_on_doubles() -> None:
    logits = boxes((2, 2, 12, 12), (2, 2, 12, 13), (2, 2, 12, 16), (20, 2, 30, 12))
    found = detections(logits, objectness=[0.7, 0.8, 0.5, 0.4], quality=[0.9, 0.9, 0.9, 0.1])
    # Of the first two, 0.9 alike, the better; the third may become something else.
    assert keep_promising(found, (1.0, 1.0)).tolist() == [1, 2, 3]
    assert keep_promising(detections(boxes()), (1.0, 1.0)).tolist() == []


def test_what_lies_in_the_padding_does_not_count() -> None:
    found = detections(boxes((2, 26, 12, 32)))
    assert keep_distinct(found, (1.0, 0.75), PerceiverOptions()).tolist() == []


def test_a_segment_that_others_swallow_is_a_fragment() -> None:
    logits = boxes((2, 2, 22, 22), (4, 4, 8, 8), (14, 14, 30, 30))
    logits[1] -= 1
    found = detections(logits)
    assert drop_fragments(found, (1.0, 1.0), PerceiverOptions()).tolist() == [0, 2]


def test_segment_without_ros(runtime: Any, paint: Any) -> None:
    image = paint(("red", 40, 60, 60, 60), ("green", 200, 60, 60, 50), ("blue", 0, 180, 50, 50))
    frame = Perceiver(runtime).segment(image)
    assert [segment.id for segment in frame.segments] == [1, 2, 3]
    by_name = {segment.label.text: segment for segment in frame.segments}
    assert set(by_name) == {"red mug", "green bowl", "blue box"}
    expected = np.zeros((240, 320), bool)
    expected[60:120, 40:100] = True
    mask = decode_runs(by_name["red mug"].mask, 240, 320)
    assert (mask & expected).sum() / (mask | expected).sum() > 0.97
    assert by_name["blue box"].truncated
    assert not by_name["red mug"].truncated
    assert by_name["red mug"].score == pytest.approx(0.9)
    assert by_name["red mug"].area == mask.sum()
    assert frame.timing.inference > 0


def test_segment_by_description(runtime: Any, paint: Any) -> None:
    image = paint(("red", 40, 60, 60, 60), ("green", 200, 60, 60, 50))
    frame = Perceiver(runtime).segment(image, "the green bowl")
    assert [segment.label.text for segment in frame.segments] == ["green bowl"]
    assert runtime.calls == ["Segment the green bowl."]


def test_an_empty_view_gives_no_segments(runtime: Any, paint: Any) -> None:
    assert Perceiver(runtime).segment(paint()).segments == ()


def test_masks_do_not_overlap(runtime: Any, paint: Any) -> None:
    image = paint(("red", 40, 60, 60, 60), ("green", 80, 90, 60, 50), ("blue", 100, 60, 90, 30))
    masks = [decode_runs(s.mask, 240, 320) for s in Perceiver(runtime).segment(image).segments]
    assert len(masks) == 3
    assert np.sum(masks, axis=0).max() == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_wrong_images_are_refused(runtime: Any, image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8"):
        Perceiver(runtime).segment(image)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(RequestError, match="quality_threshold is"):
        PerceiverOptions(quality_threshold=1.5)
    with pytest.raises(RequestError, match="max_candidates"):
        PerceiverOptions(max_candidates=0)


def test_names_of_the_model_are_made_publishable(runtime: Any, paint: Any) -> None:
    assert clean_name("  Red\nMUG\x00 ") == "red mug"
    assert len(clean_name("\u00fc" * 200).encode()) == 128
    runtime.names["red"] = RegionName("A\tRed\u202eMug", 0.5)
    (segment,) = Perceiver(runtime).segment(paint(("red", 40, 60, 60, 60))).segments
    assert segment.label.text == "a red mug"
