"""A correction changes what its text speaks of and leaves the rest of the outline alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.perception.locality import keep_outline
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, Runtime

SIDE = 160
CONTENT = (1.0, 0.75)
SIZE = (240, 320)

Mask = NDArray[np.bool_]


def disc(radius: int, centre: tuple[int, int] = (150, 120)) -> Mask:
    canvas = np.zeros(SIZE, np.uint8)
    cv2.circle(canvas, centre, radius, 1, -1)
    return canvas.astype(bool)


def box(x0: int, y0: int, x1: int, y1: int) -> Mask:
    canvas = np.zeros(SIZE, bool)
    canvas[y0:y1, x0:x1] = True
    return canvas


def as_logits(*masks: Mask) -> NDArray[np.float32]:
    """Masks (240, 320) on the upper three quarters of the model's square."""
    logits = np.full((len(masks), SIDE, SIDE), -6.0, np.float32)
    for row, mask in zip(logits, masks, strict=True):
        small = cv2.resize(mask.astype(np.float32), (160, 120), interpolation=cv2.INTER_AREA)
        row[:120] = np.where(small >= 0.5, 6.0, -6.0)
    return logits


def as_masks(logits: NDArray[np.float32]) -> list[Mask]:
    return [cv2.resize(one[:120], SIZE[::-1], interpolation=cv2.INTER_LINEAR) > 0 for one in logits]


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("radius", [37, 43], ids=["thinner", "thicker"])
def test_a_seam_goes_back_to_what_it_was(radius: int) -> None:
    before = disc(40)
    assert iou(before, disc(radius)) < 0.88
    (kept,) = as_masks(keep_outline(before, as_logits(disc(radius)), CONTENT))
    assert iou(before, kept) > 0.98


def test_a_handle_comes_and_the_seam_does_not() -> None:
    before, handle = disc(40), box(180, 114, 215, 124)
    (kept,) = as_masks(keep_outline(before, as_logits(disc(37) | handle), CONTENT))
    assert iou(kept, before | handle) > 0.97


def test_a_plate_goes_and_the_seam_does_not() -> None:
    mug, plate = disc(40), box(90, 150, 220, 175)
    (kept,) = as_masks(keep_outline(mug | plate, as_logits(disc(37) & ~plate), CONTENT))
    assert iou(kept, mug & ~plate) > 0.95


def test_another_thing_is_taken_as_it_is() -> None:
    logits = as_logits(disc(20, (50, 60)), disc(41))
    kept = keep_outline(disc(40), logits, CONTENT)
    np.testing.assert_array_equal(kept[0], logits[0])
    assert not np.array_equal(kept[1], logits[1])


class Redraws(Runtime):
    """Answers every text with the same mask."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        return Encoding(*image.shape[:2], CONTENT, None, image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: Mask | None = None
    ) -> Candidates:
        one = np.ones((1, 2), np.float32)
        return Candidates(one[0, :1], one / 2, one, one)

    def decode(
        self, encoding: Encoding, candidates: Candidates, previous_mask: Mask | None = None
    ) -> DecodedMasks:
        return DecodedMasks(as_logits(self.mask), np.ones(1, np.float32))

    def name(self, encoding: Encoding, logits: object, category_embeddings: object) -> list:
        return []


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("include the handle", False),
        ("without the plate", False),
        ("the outline is too loose", True),
        ("Tighter edge, please.", True),
        ("pull the border in", True),
    ],
)
def test_the_outline_moves_when_the_text_speaks_of_it(text: str, moves: bool) -> None:
    perceiver, before = Perceiver(Redraws(disc(37))), disc(40)
    encoding = perceiver.encode(np.zeros((*SIZE, 3), np.uint8))
    (after,) = perceiver.masks(encoding, perceiver.refine(encoding, before, "mug", text))
    assert (iou(before, after) < 0.9) == moves
