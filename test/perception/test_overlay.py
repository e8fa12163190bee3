"""Overlays: the image stays, masks are tinted, names are written, whatever the segments are."""

from __future__ import annotations

import numpy as np
import pytest

from rose_ros.errors import ImageError
from rose_ros.perception.masks import encode_runs
from rose_ros.perception.overlay import colour_of, draw_overlay
from rose_ros.perception.segments import Label, LabelSource, Segment, SegmentedFrame

HEIGHT, WIDTH = 120, 200


def segment(identity: int, box: tuple[int, int, int, int], name: str = "red mug") -> Segment:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = True
    anchor = ((x0 + x1) / 2, (y0 + y1) / 2)
    return Segment(
        identity,
        Label(name, 0.9),
        (),
        LabelSource.FROM_MODEL,
        0,
        0.9,
        0.9,
        encode_runs(mask),
        int(mask.sum()),
        anchor,
        False,
        np.zeros(1, np.float32),
    )


def frame(*segments: Segment) -> SegmentedFrame:
    return SegmentedFrame("camera", 1, 1, HEIGHT, WIDTH, segments)


def test_masks_are_tinted_in_their_colour_and_the_input_is_left_alone() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    drawn = draw_overlay(image, frame(segment(5, (20, 10, 180, 110))))
    assert (image == 100).all()
    corner = drawn[15, 30].astype(float)
    expected = 100 * 0.65 + np.array(colour_of(5)) * 0.35
    np.testing.assert_allclose(corner, expected, atol=2)
    np.testing.assert_array_equal(drawn[5, 5], image[5, 5])
    assert len(np.unique(drawn[50:70, 60:140].reshape(-1, 3), axis=0)) > 4, "no text"


def test_no_segments_no_change() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_array_equal(draw_overlay(image, frame()), image)


def test_colours_of_neighbouring_ids_differ() -> None:
    colours = np.array([colour_of(i) for i in range(1, 13)], float)
    distance = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    assert distance[~np.eye(len(colours), dtype=bool)].min() > 40
    assert colour_of(4) == colour_of(4)


@pytest.mark.parametrize(
    ("box", "name"),
    [
        ((0, 0, 3, 3), "a name that is far wider than the whole image is, by a lot of letters"),
        ((197, 117, 200, 120), "mug"),
        ((0, 118, 200, 120), ""),
        ((50, 50, 51, 51), "größer \u65e5\u672c"),
    ],
)
def test_text_stays_inside(box: tuple[int, int, int, int], name: str) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn = draw_overlay(image, frame(segment(1, box, name)))
    assert drawn.shape == image.shape
    assert drawn.any()


def test_wrong_images_are_refused() -> None:
    with pytest.raises(ImageError, match=r"\(120, 200, 3\)"):
        draw_overlay(np.zeros((5, 5, 3), np.uint8), frame())
    with pytest.raises(ImageError, match="float64"):
        draw_overlay(np.zeros((HEIGHT, WIDTH, 3)), frame())  # type: ignore[arg-type]
