"""Draw what was perceived over the image it was perceived in."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ImageError
from rose_ros.perception.masks import decode_box
from rose_ros.perception.segments import Segment, SegmentedFrame

#: Share of the segment's colour inside its mask.
_OPACITY = 0.35
#: Hues a golden ratio apart stay apart, however many there are.
_GOLDEN_RATIO = 0.61803398875
#: Smaller side of an image, in pixels, at which text has OpenCV's scale 1.
_PIXELS_PER_SCALE = 950.0
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def colour_of(segment_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of an id, the same in every frame."""
    hue = (0.08 + segment_id * _GOLDEN_RATIO) % 1.0
    saturation = (0.95, 0.65)[segment_id // 7 % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_overlay(
    image: NDArray[np.uint8], frame: SegmentedFrame, *, names_only: bool = False
) -> NDArray[np.uint8]:
    """Return a copy of an RGB image (height, width, 3) with masks, outlines, names and scores.

    ``names_only`` leaves out ids and scores.
    """
    if image.shape != (frame.height, frame.width, 3) or image.dtype != np.uint8:
        raise ImageError(
            f"image is {image.dtype} {image.shape}; the frame needs uint8 "
            f"{(frame.height, frame.width, 3)}"
        )
    canvas = image.copy()
    for segment in frame.segments:
        _paint_mask(canvas, segment, frame)
    # Text last and small segments last, so that no mask and no large name hides a name.
    for segment in sorted(frame.segments, key=lambda segment: -segment.area):
        _write_name(canvas, segment, names_only or not segment.id)
    return canvas


def _paint_mask(canvas: NDArray[np.uint8], segment: Segment, frame: SegmentedFrame) -> None:
    """Tint the mask of one segment and draw its outline, in place."""
    mask = segment.mask
    inside = decode_box(mask, frame.height, frame.width)
    if not inside.any():
        return
    colour = colour_of(segment.id)
    box = canvas[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width]
    tint = box[inside] * (1.0 - _OPACITY) + np.array(colour) * _OPACITY
    box[inside] = tint.astype(np.uint8)
    outlines, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(mask.x, mask.y)
    )
    thickness = max(1, round(min(frame.height, frame.width) / 400))
    cv2.drawContours(canvas, outlines, -1, colour, thickness, cv2.LINE_AA)


def _write_name(canvas: NDArray[np.uint8], segment: Segment, name_only: bool) -> None:
    """Write id, name and score of one segment on a dark plate around its anchor, in place."""
    height, width = canvas.shape[:2]
    scale = max(0.4, min(height, width) / _PIXELS_PER_SCALE)
    # OpenCV's built-in font has no letters beyond ASCII.
    name = segment.label.text.encode("ascii", "replace").decode("ascii")
    text = name if name_only else f"{segment.id} {name} {segment.label.score:.2f}"
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, 1)
    margin = max(2, text_height // 4)
    x = max(margin, min(round(segment.anchor[0] - text_width / 2), width - text_width - margin))
    y = max(text_height + margin, min(round(segment.anchor[1] + text_height / 2), height - below))
    left, top = max(0, x - margin), max(0, y - text_height - margin)
    plate = canvas[top : y + below + 1, left : x + text_width + margin]
    plate[:] = plate // 3
    # Half way to white: pure blue cannot be read on a dark plate.
    red, green, blue = ((value + 255) // 2 for value in colour_of(segment.id))
    cv2.putText(canvas, text, (x, y), _FONT, scale, (red, green, blue), 1, cv2.LINE_AA)
