"""Close-ups: what is found in one lies where it was in the whole image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.data.damage import iou
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.zooming import CloseUp, zoom
from rose_ros.runtime.base import KEPT_SIDE, keep

Shape = tuple[str, int, int, int, int]


def box(shape: Shape) -> NDArray[np.bool_]:
    _, x, y, width, height = shape
    mask = np.zeros((240, 320), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def seen_again(perceiver: Perceiver, close: CloseUp) -> NDArray[np.bool_]:
    """Find the one thing in a close-up, and return its mask in the whole image."""
    found = perceiver.detect(close.encoding, "Segment everything.", 0.3)
    (mask,) = perceiver.masks(close.whole, close.paste(found))
    return mask


def looked_at(runtime: Any, image: NDArray[np.uint8], shape: Shape) -> tuple[Perceiver, CloseUp]:
    """Return a perceiver and a close-up of a thing in an image."""
    perceiver = Perceiver(runtime)
    return perceiver, zoom(perceiver.encode, perceiver.encode(image), box(shape), 0.4)


@pytest.mark.parametrize(
    "shape", [("red", 100, 75, 20, 30), ("red", 0, 0, 31, 17), ("blue", 280, 201, 40, 39)]
)
def test_what_a_close_up_shows_lies_where_it_was(runtime: Any, paint: Any, shape: Shape) -> None:
    perceiver, close = looked_at(runtime, paint(shape), shape)
    assert close.encoding.height < 0.5 * close.whole.height
    assert np.count_nonzero(close.mask) == np.count_nonzero(box(shape))
    assert iou(seen_again(perceiver, close), box(shape)) > 0.9


def test_a_close_up_of_an_image_that_was_kept_smaller(runtime: Any, paint: Any) -> None:
    shape = ("red", 96, 76, 40, 32)
    perceiver = Perceiver(runtime)
    image = paint(shape)
    small = np.asarray(cv2.resize(image, (160, 120), interpolation=cv2.INTER_NEAREST), np.uint8)
    whole = replace(perceiver.encode(image), image=small)
    close = zoom(perceiver.encode, whole, box(shape), 0.4)
    assert close.mask.shape == (close.encoding.height, close.encoding.width)
    assert iou(seen_again(perceiver, close), box(shape)) > 0.9


def test_what_fills_the_image_is_not_looked_at_anew(runtime: Any, paint: Any) -> None:
    shape = ("red", 10, 10, 300, 220)
    perceiver, close = looked_at(runtime, paint(shape), shape)
    assert close.encoding is close.whole
    assert iou(seen_again(perceiver, close), box(shape)) > 0.95


def test_nothing_found_is_nothing_pasted(runtime: Any, paint: Any) -> None:
    shape = ("red", 100, 75, 20, 30)
    perceiver, close = looked_at(runtime, paint(shape), shape)
    found = perceiver.detect(close.encoding, "Segment the blue box.", 0.3)
    assert len(found) == len(close.paste(found)) == 0


@pytest.mark.parametrize("size", [(480, 640), (2160, 3840), (3000, 40), (1, 1)])
def test_no_more_of_an_image_is_kept_than_a_close_up_shows(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    kept = keep(image)
    assert max(kept.shape[:2]) <= KEPT_SIDE
    assert min(kept.shape[:2]) >= 1
    assert not np.shares_memory(kept, image)
