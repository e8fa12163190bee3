"""Runs, COCO RLE, overlap and the way from logits to masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from rose_ros.errors import MaskError
from rose_ros.perception.masks import (
    anchor_point,
    area_of,
    bounding_box,
    decode_runs,
    encode_runs,
    exclusive_shapes,
    iou_matrix,
    measure,
    resize_logits,
    resolve_overlaps,
    to_coco_rle,
    touches_border,
)
from rose_ros.perception.segments import RunMask

#: pycocotools does not know the copy keyword of numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24))


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_runs_round_trip(mask: np.ndarray) -> None:
    encoded = encode_runs(mask)
    assert encoded.runs.dtype == np.uint32
    assert int(encoded.runs.sum()) == encoded.width * encoded.height
    assert area_of(encoded) == mask.sum()
    box = encoded.x, encoded.y, encoded.x + encoded.width, encoded.y + encoded.height
    assert box == bounding_box(mask)
    np.testing.assert_array_equal(decode_runs(encoded, *mask.shape), mask)


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_coco_rle_is_what_pycocotools_writes(mask: np.ndarray) -> None:
    written = to_coco_rle(mask)
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert written["counts"] == expected["counts"].decode()
    assert written["size"] == list(expected["size"])
    np.testing.assert_array_equal(coco.decode(written).astype(bool), mask)


def test_coco_rle_of_long_runs() -> None:
    mask = np.zeros((720, 1280), bool)
    mask[10:700, 3:1200] = True
    mask[300, 5:900] = False
    np.testing.assert_array_equal(coco.decode(to_coco_rle(mask)).astype(bool), mask)


@pytest.mark.parametrize(
    ("box", "runs"),
    [
        ((0, 0, 4, 4), [8, 7]),
        ((0, 0, 4, 4), [8, 9]),
        ((0, 0, 4, 4), []),
        ((0, 0, 4, 4), [4, 0, 4, 8]),
        ((0, 0, 4, 4), [16, 0]),
        ((7, 0, 4, 4), [0, 16]),
        ((0, 7, 4, 4), [0, 16]),
        ((-1, 0, 4, 4), [0, 16]),
        ((0, 0, -4, -4), [0, 16]),
        ((0, 0, 2**31, 2**31), [0, 2**31]),
        ((0, 0, 1, 1), [1] * 4000),
        ((0, 0, 0, 0), [5]),
    ],
)
def test_hostile_runs_are_refused(box: tuple[int, int, int, int], runs: list[int]) -> None:
    with pytest.raises(MaskError):
        decode_runs(RunMask(*box, np.array(runs, np.uint32)), 10, 10)


@pytest.mark.parametrize(
    "runs",
    [
        np.array([-8, 24]),
        np.array([8.0, 8.0]),
        np.array([[8, 8]]),
        np.array([2**63, 2**63, 16], np.uint64),
        np.array([2**32 - 1, 17], np.uint32),
    ],
)
def test_runs_that_are_no_lengths_are_refused(runs: np.ndarray) -> None:
    with pytest.raises(MaskError):
        decode_runs(RunMask(0, 0, 4, 4, runs), 10, 10)


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 10), (100_000, 100_000)])
def test_oversize_images_are_refused_before_memory_is_taken(size: tuple[int, int]) -> None:
    with pytest.raises(MaskError, match="px"):
        decode_runs(RunMask(0, 0, 0, 0, np.zeros(0, np.uint32)), *size)


@given(
    st.tuples(*[st.integers(-3, 12)] * 4),
    st.lists(st.integers(0, 40), max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_random_runs_decode_or_are_refused(box: tuple[int, ...], runs: list[int]) -> None:
    mask = RunMask(*box, np.array(runs, np.uint32))
    try:
        decoded = decode_runs(mask, 10, 10)
    except MaskError:
        return
    assert decoded.shape == (10, 10)
    assert decoded.sum() == sum(runs[1::2])


@given(MASKS.filter(lambda mask: mask.any()))
@settings(max_examples=200, deadline=None)
def test_the_anchor_lies_inside(mask: np.ndarray) -> None:
    x, y = anchor_point(mask)
    assert mask[int(y), int(x)]


def test_the_anchor_of_a_ring_and_of_large_thin_masks() -> None:
    ys, xs = np.mgrid[:600, :600]
    distance = np.hypot(xs - 300, ys - 300)
    ring = (distance < 250) & (distance > 150)
    x, y = anchor_point(ring)
    assert abs(np.hypot(x - 300, y - 300) - 200) < 10
    thin = np.zeros((700, 900), bool)
    thin[1, 1:] = thin[1:, 897] = True
    x, y = anchor_point(thin)
    assert thin[int(y), int(x)]
    with pytest.raises(MaskError):
        anchor_point(np.zeros((5, 5), bool))


@pytest.mark.parametrize("pixel", [(0, 3), (9, 3), (4, 0), (4, 7)])
def test_touching_the_border(pixel: tuple[int, int]) -> None:
    mask = np.zeros((10, 8), bool)
    mask[4, 3] = True
    shape = measure(mask, (0, 0), 10, 8)
    assert shape is not None
    assert not touches_border(mask)
    assert not shape.truncated
    mask[pixel] = True
    shape = measure(mask, (0, 0), 10, 8)
    assert shape is not None
    assert touches_border(mask)
    assert shape.truncated


@pytest.mark.parametrize("size", [(20, 30), (200, 300)])
def test_iou_is_exact_at_any_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((12, *size), bool)
    for mask in masks[1:]:
        y, x = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
        mask[y : y + rng.integers(4, size[0] // 2), x : x + rng.integers(4, size[1] // 2)] = True
    a, b = masks[:7], masks[5:]
    shared = (a[:, None] & b[None]).sum(axis=(2, 3))
    union = (a[:, None] | b[None]).sum(axis=(2, 3))
    np.testing.assert_allclose(iou_matrix(a, b), shared / np.maximum(union, 1), atol=1e-6)
    assert iou_matrix(a[:0], b).shape == (0, len(b))


def test_padding_is_cut_away_before_resizing() -> None:
    logits = np.full((1, 8, 8), 5.0, np.float32)
    logits[0, :6] = -5
    logits[0, 2, 4] = 5
    resized = resize_logits(logits, (1.0, 0.75), 60, 80)
    assert resized.shape == (1, 60, 80)
    assert resized[0, 24:26, 44:46].min() > 3.5
    assert np.count_nonzero(resized > 0) < 200
    odd = resize_logits(logits, (0.7, 0.75), 60, 56)
    assert odd[0, 24:26, 44:46].min() > 3.5
    assert np.count_nonzero(odd > 0) < 200


def test_resizing_is_bilinear_with_pixel_centres() -> None:
    ramp = np.tile(np.arange(8, dtype=np.float32), (1, 8, 1))
    resized = resize_logits(ramp, (1.0, 1.0), 32, 32)[0]
    np.testing.assert_allclose(resized[5, 4:28], (np.arange(4, 28) + 0.5) / 4 - 0.5, atol=0.02)


def test_every_pixel_goes_to_the_highest_logit() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(-0.5, 2, (6, 16, 16)).astype(np.float32)
    resized = resize_logits(logits, (1.0, 0.75), 90, 120)
    expected = np.where((resized > 0).any(axis=0), resized.argmax(axis=0) + 1, 0)
    owner = resolve_overlaps(logits, (1.0, 0.75), 90, 120)
    assert (owner == expected).mean() > 0.999


def test_shapes_cover_what_they_own_and_bonus_decides_contests() -> None:
    logits = np.full((3, 16, 16), -4, np.float32)
    logits[0, 2:10, 2:10] = 4
    logits[1, 6:14, 6:14] = 3
    shapes = exclusive_shapes(logits, (1.0, 1.0), 64, 64)
    assert shapes[2] is None
    assert shapes[0] is not None
    assert shapes[1] is not None
    first, second = (decode_runs(shape.mask, 64, 64) for shape in shapes[:2] if shape)
    assert not (first & second).any()
    assert first[30, 30]
    assert shapes[0].area == first.sum()
    bonus = np.array([0, 100, 0], np.float32)
    swapped = exclusive_shapes(logits, (1.0, 1.0), 64, 64, bonus)[1]
    assert swapped is not None
    assert decode_runs(swapped.mask, 64, 64)[30, 30]
    assert not decode_runs(swapped.mask, 64, 64)[10, 10]


@pytest.mark.parametrize("least", [0.1, 0.5, 0.7])
def test_pairs_that_may_overlap_enough_are_exact(least: float) -> None:
    rng = np.random.default_rng(3)
    masks = np.zeros((40, 60, 80), bool)
    for mask in masks:
        x, y = rng.integers(0, 40, 2)
        mask[y : y + rng.integers(5, 30), x : x + rng.integers(5, 30)] = True
        mask &= rng.random(mask.shape) < 0.9
    exact, fast = iou_matrix(masks, masks), iou_matrix(masks, masks, least)
    np.testing.assert_array_equal(fast[exact >= least], exact[exact >= least])
    assert set(np.unique(fast[fast != exact])) <= {0.0}
    assert (fast == 0).sum() > (exact == 0).sum()
