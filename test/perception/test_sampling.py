"""Cells become pixels as the formula says, at any size and in any box, the fast way or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_ros.perception.sampling import cell_scale, sample

SIZES = [(480, 640), (720, 1280), (1080, 1920), (90, 120), (37, 53), (24, 32), (5, 3), (160, 80)]


def expected(
    source: np.ndarray, scale: tuple[float, float], box: tuple[int, int, int, int]
) -> np.ndarray:
    """Interpolate between the centres of cells, which the border repeats."""

    def axis(low: int, high: int, scale: float, cells: int) -> tuple[np.ndarray, ...]:
        at = (np.arange(low, high) + 0.5) * scale - 0.5
        first = np.floor(at).astype(int)
        return np.clip(first, 0, cells - 1), np.clip(first + 1, 0, cells - 1), at - first

    x0, y0, x1, y1 = box
    left, right, across = axis(x0, x1, scale[0], source.shape[1])
    top, bottom, down = axis(y0, y1, scale[1], source.shape[0])
    upper = source[top][:, left] * (1 - across) + source[top][:, right] * across
    lower = source[bottom][:, left] * (1 - across) + source[bottom][:, right] * across
    found: np.ndarray = upper * (1 - down[:, None]) + lower * down[:, None]
    return found


@pytest.mark.parametrize("content", [(1.0, 1.0), (1.0, 0.75), (0.5, 1.0), (0.77, 1.0)])
@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_box_is_what_the_formula_says(
    size: tuple[int, int], content: tuple[float, float], data: st.DataObject
) -> None:
    side = data.draw(st.sampled_from([16, 64, 80]))
    height, width = size
    columns, rows = (int(np.ceil(side * share - 1e-6)) for share in content)
    source = np.random.default_rng(side).normal(size=(rows, columns)).astype(np.float32) * 5
    x0 = data.draw(st.integers(0, width - 1))
    y0 = data.draw(st.integers(0, height - 1))
    box = (
        x0,
        y0,
        data.draw(st.integers(x0 + 1, min(width, x0 + 200))),
        data.draw(st.integers(y0 + 1, min(height, y0 + 200))),
    )
    scale = cell_scale(side, content, height, width)
    found = sample(source, scale, box, size)
    np.testing.assert_allclose(found, expected(source, scale, box), atol=0.2)
    clear = np.abs(expected(source, scale, box)) > 0.2
    np.testing.assert_array_equal(found[clear] > 0, expected(source, scale, box)[clear] > 0)


@pytest.mark.parametrize("size", SIZES[:4])
def test_whole_cells_are_exact(size: tuple[int, int]) -> None:
    source = np.random.default_rng(0).normal(size=(80, 80)).astype(np.float32)
    scale, box = cell_scale(80, (1.0, 1.0), *size), (0, 0, size[1], size[0])
    np.testing.assert_allclose(
        sample(source, scale, box, size), expected(source, scale, box), atol=1e-3
    )
