"""Runs of masks: exact both ways, and hostile ones refused before anything is allocated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rose_ros.errors import MaskError
from rose_ros.perception.masks import decode_runs, encode_runs
from rose_ros.perception.segments import RunMask

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24))
EDGES = st.one_of(st.integers(0, 30), st.sampled_from([2**31 - 1, 2**32 - 2, 2**32 - 1]))
RUNS = st.lists(EDGES, max_size=12)


@given(MASKS)
def test_a_mask_comes_back_as_it_was(mask: NDArray[np.bool_]) -> None:
    runs = encode_runs(mask)
    np.testing.assert_array_equal(decode_runs(runs, *mask.shape), mask)
    assert int(runs.runs.sum(dtype=np.uint64)) == runs.width * runs.height


@given(EDGES, EDGES, EDGES, EDGES, RUNS, st.integers(1, 40), st.integers(1, 40))
@example(0, 0, 2**32 - 1, 2**32 - 1, [2**32 - 1, 2**32 - 1], 8, 8)
@example(0, 0, 4, 4, [2**32 - 8, 24], 4, 4)
@example(2**32 - 1, 0, 2, 1, [0, 2], 4, 4)
def test_hostile_runs_are_decoded_exactly_or_refused(
    x: int, y: int, width: int, height: int, runs: list[int], rows: int, columns: int
) -> None:
    mask = RunMask(x, y, width, height, np.array(runs, np.uint32))
    inside = x + width <= columns and y + height <= rows
    # Neighbouring runs are joined: only the first may be empty.
    fits = inside and sum(runs) == width * height and 0 not in runs[1:]
    try:
        decoded = decode_runs(mask, rows, columns)
    except MaskError:
        assert not fits
        return
    assert fits
    assert decoded.shape == (rows, columns)
    assert int(decoded.sum()) == sum(runs[1::2])


def test_a_mask_of_a_whole_large_image_is_small() -> None:
    mask = RunMask(0, 0, 8000, 6000, np.array([0, 48_000_000], np.uint32))
    assert decode_runs(mask, 6000, 8000).all()
    with pytest.raises(MaskError):
        decode_runs(mask, 6000, 7999)
