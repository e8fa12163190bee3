"""Masks: run lengths and COCO RLE, overlap, and the way from low-resolution logits to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import MaskError
from rose_ros.perception.sampling import Box, cell_scale, sample
from rose_ros.perception.segments import RunMask, Segment

#: Largest image whose masks are decoded, in pixels. Runs come from other machines.
MAX_PIXELS = 50_000_000
#: Boxes up to this many pixels give an exact anchor; larger ones are thinned out first.
ANCHOR_PIXELS = 16_384


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return (x0, y0, x1, y1), half-open, of a mask (h, w); (0, 0, 0, 0) when it is empty."""
    if mask.size == 0:
        return 0, 0, 0, 0
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return (x, y, x + width, y + height) if width else (0, 0, 0, 0)


def encode_runs(mask: NDArray[np.bool_], offset: tuple[int, int] = (0, 0)) -> RunMask:
    """Encode a mask (h, w) whose top left pixel lies at ``offset`` (x, y) of the image."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise MaskError(f"a mask is bool (height, width), not {mask.dtype} {mask.shape}")
    x0, y0, x1, y1 = bounding_box(mask)
    if x1 == x0:
        return RunMask(0, 0, 0, 0, np.zeros(0, np.uint32))
    flat = mask[y0:y1, x0:x1].ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    runs = np.diff(edges).astype(np.uint32)
    if flat[0]:
        runs = np.concatenate((np.zeros(1, np.uint32), runs))
    return RunMask(x0 + offset[0], y0 + offset[1], x1 - x0, y1 - y0, runs)


def decode_runs(mask: RunMask, height: int, width: int) -> NDArray[np.bool_]:
    """Decode to bool (height, width); raises ``MaskError`` for runs that do not fit together."""
    crop = decode_box(mask, height, width)
    full = np.zeros((height, width), bool)
    full[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width] = crop
    return full


def decode_box(mask: RunMask, height: int, width: int) -> NDArray[np.bool_]:
    """Decode only the box of a mask, bool (mask.height, mask.width); same checks."""
    runs = _checked_runs(mask, height, width)
    values = np.zeros(len(runs), bool)
    values[1::2] = True
    return np.repeat(values, runs).reshape(mask.height, mask.width)


def _checked_runs(mask: RunMask, height: int, width: int) -> NDArray[np.int64]:
    """Return the runs as int64 after refusing what no encoder writes."""
    if height <= 0 or width <= 0 or height * width > MAX_PIXELS:
        raise MaskError(f"an image of {width} x {height} px; allowed are 1 to {MAX_PIXELS} px")
    box = (mask.x, mask.y, mask.width, mask.height)
    if min(box) < 0 or mask.x + mask.width > width or mask.y + mask.height > height:
        raise MaskError(f"box {box} (x, y, width, height) lies outside {width} x {height} px")
    runs = np.asarray(mask.runs)
    if runs.ndim != 1 or (runs.size and runs.dtype.kind not in "ui"):
        raise MaskError(f"runs are one row of whole numbers, not {runs.dtype} {runs.shape}")
    area = mask.width * mask.height
    if runs.size > area + 1:
        raise MaskError(f"{runs.size} runs for a box of {area} px")
    if runs.size and (int(runs.max()) > area or int(runs.min()) < 0):
        raise MaskError(f"a run of {int(runs.max())} or {int(runs.min())} px in {area} px")
    lengths: NDArray[np.int64] = runs.astype(np.int64)
    if int(lengths.sum()) != area:
        raise MaskError(f"runs add up to {int(lengths.sum())} px; the box has {area} px")
    if not lengths[1:].all():
        raise MaskError("a run of 0 px after the first; neighbouring runs must be joined")
    return lengths


def area_of(mask: RunMask) -> int:
    """Return the number of foreground pixels."""
    return int(mask.runs[1::2].sum())


def touches_border(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask (h, w) has a pixel on the border of the image."""
    if mask.size == 0:
        return False
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def anchor_point(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return (x, y) of the pixel farthest from the outline; a point inside the mask (h, w)."""
    x0, y0, x1, y1 = bounding_box(mask)
    if x1 == x0:
        raise MaskError("an empty mask has no anchor")
    crop = mask[y0:y1, x0:x1]
    step = max(1, round((crop.size / ANCHOR_PIXELS) ** 0.5))
    thinned = crop[::step, ::step]
    if not thinned.any():
        step, thinned = 1, crop
    padded = np.pad(thinned.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    _, _, _, (x, y) = cv2.minMaxLoc(distance)
    return float(x0 + (x - 1) * step), float(y0 + (y - 1) * step)


def iou_matrix(
    a: NDArray[np.bool_], b: NDArray[np.bool_], least: float = 0.0
) -> NDArray[np.float32]:
    """Return the exact IoU (n, m) of masks (n, h, w) and (m, h, w); two empty masks give 0.

    Looks only where the boxes of two masks meet. A matrix product would be no faster here, and
    much slower while its threads wait for busy cores. Pairs that cannot have an IoU above ``least``
    give 0 without a look at their masks.
    """
    if a.ndim != 3 or b.ndim != 3 or a.shape[1:] != b.shape[1:]:
        raise MaskError(f"masks are (n, h, w) of one size, not {a.shape} and {b.shape}")
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)), np.float32)
    boxes_a = np.array([bounding_box(mask) for mask in a])
    boxes_b = np.array([bounding_box(mask) for mask in b])
    low = np.maximum(boxes_a[:, None, :2], boxes_b[None, :, :2])
    high = np.minimum(boxes_a[:, None, 2:], boxes_b[None, :, 2:])
    areas_a = np.array([np.count_nonzero(mask) for mask in a], np.float32)[:, None]
    areas_b = np.array([np.count_nonzero(mask) for mask in b], np.float32)[None]
    meeting = np.maximum(high - low, 0).prod(axis=2)
    most = np.minimum(meeting, np.minimum(areas_a, areas_b))
    # The IoU rises with what is shared, which is no more than the boxes share.
    possible = (most > 0) & (most >= least * (areas_a + areas_b - most))
    shared = np.zeros((len(a), len(b)), np.float32)
    for i, j in np.argwhere(possible):
        (x0, y0), (x1, y1) = low[i, j], high[i, j]
        shared[i, j] = np.count_nonzero(a[i, y0:y1, x0:x1] & b[j, y0:y1, x0:x1])
    union = areas_a + areas_b - shared
    return (shared / np.maximum(union, 1.0)).astype(np.float32)


def content_cells(side: int, content: tuple[float, float]) -> tuple[int, int]:
    """Return (rows, columns) of a square of ``side`` cells that the image fills."""
    columns = min(side, max(1, int(np.ceil(side * content[0] - 1e-6))))
    rows = min(side, max(1, int(np.ceil(side * content[1] - 1e-6))))
    return rows, columns


def crop_content(array: NDArray[Any], content: tuple[float, float]) -> NDArray[Any]:
    """Cut the part of square maps (n, side, side) that the image fills."""
    rows, columns = content_cells(array.shape[-1], content)
    return array[:, :rows, :columns]


def resize_logits(
    logits: NDArray[np.float32], content: tuple[float, float], height: int, width: int
) -> NDArray[np.float32]:
    """Resize logits (n, side, side) of the model's square to the image, (n, height, width).

    Bilinear, after the padding is cut away; exact for any ``content`` share (x, y).
    """
    cropped = crop_content(logits, content)
    full = np.empty((len(logits), height, width), np.float32)
    scale = cell_scale(logits.shape[-1], content, height, width)
    for i, source in enumerate(cropped):
        full[i] = sample(source, scale, (0, 0, width, height), (height, width))
    return full


def resolve_overlaps(
    logits: NDArray[np.float32],
    content: tuple[float, float],
    height: int,
    width: int,
    bonus: NDArray[np.float32] | None = None,
) -> NDArray[np.uint16]:
    """Give every pixel to one segment: (height, width), index + 1, 0 where none is foreground.

    logits: (n, side, side); the highest above 0 wins. bonus: (n,), added when segments compete,
    never to what counts as foreground. Works box by box: memory does not grow with n.
    """
    owner = np.zeros((height, width), np.uint16)
    best = np.zeros((height, width), np.float32)
    scale = cell_scale(logits.shape[-1], content, height, width)
    for i, source in enumerate(crop_content(logits, content)):
        box = _foreground_window(source, scale, height, width)
        x0, y0, x1, y1 = box
        if x0 == x1:
            continue
        values = sample(source, scale, box, (height, width))
        if bonus is not None and bonus[i]:
            values = np.where(values > 0, values + np.float32(bonus[i]), values)
        held, owners = best[y0:y1, x0:x1], owner[y0:y1, x0:x1]
        wins = values > held
        # Whoever wins comes after all owners so far; maxima take half the time of masked copies.
        np.maximum(owners, wins * np.uint16(i + 1), out=owners)
        np.fmax(held, values, out=held)
    return owner


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a segment is.

    area: pixels. anchor: (x, y), a pixel inside the mask. truncated: touches the image border.
    """

    mask: RunMask
    area: int
    anchor: tuple[float, float]
    truncated: bool


def measure(
    crop: NDArray[np.bool_], offset: tuple[int, int], height: int, width: int
) -> Shape | None:
    """Describe a mask given as a crop at ``offset`` (x, y) of an image; None when it is empty."""
    runs = encode_runs(crop, offset)
    if not runs.width:
        return None
    x, y = anchor_point(crop)
    right, bottom = runs.x + runs.width, runs.y + runs.height
    truncated = runs.x == 0 or runs.y == 0 or right == width or bottom == height
    return Shape(runs, area_of(runs), (x + offset[0], y + offset[1]), truncated)


def exclusive_shapes(
    logits: NDArray[np.float32],
    content: tuple[float, float],
    height: int,
    width: int,
    bonus: NDArray[np.float32] | None = None,
) -> list[Shape | None]:
    """Return each segment's shape after ``resolve_overlaps``; None for one that keeps no pixel."""
    owner = resolve_overlaps(logits, content, height, width, bonus)
    scale = cell_scale(logits.shape[-1], content, height, width)
    shapes: list[Shape | None] = []
    for i, source in enumerate(crop_content(logits, content)):
        x0, y0, x1, y1 = _foreground_window(source, scale, height, width)
        shapes.append(measure(owner[y0:y1, x0:x1] == i + 1, (x0, y0), height, width))
    return shapes


def _foreground_window(
    source: NDArray[np.float32], scale: tuple[float, float], height: int, width: int
) -> Box:
    """Return the pixels that the foreground cells can reach; an empty box when there are none."""
    c0, r0, c1, r1 = bounding_box(source > 0)
    if c1 == c0:
        return 0, 0, 0, 0
    x0 = max(0, int((c0 - 1) / scale[0]))
    y0 = max(0, int((r0 - 1) / scale[1]))
    x1 = min(width, int(np.ceil((c1 + 1) / scale[0])))
    y1 = min(height, int(np.ceil((r1 + 1) / scale[1])))
    return x0, y0, x1, y1


def instance_image(segments: Sequence[Segment], height: int, width: int) -> NDArray[np.uint16]:
    """Paint segments into (height, width): index + 1, 0 where there is none."""
    image = np.zeros((height, width), np.uint16)
    for index, segment in enumerate(segments):
        mask = segment.mask
        box = image[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width]
        np.copyto(box, np.uint16(index + 1), where=decode_box(mask, height, width))
    return image


def to_coco_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return {"size": [h, w], "counts": str}, the compressed COCO RLE of a mask (h, w)."""
    height, width = mask.shape
    flat = np.asarray(mask, bool).T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    counts = np.diff(edges)
    if flat.size and flat[0]:
        counts = np.concatenate(([0], counts))
    # COCO writes each count as the difference to the one before the last, from the fourth on.
    counts[3:] = counts[3:] - counts[1:-2]
    return {"size": [height, width], "counts": "".join(_coco_digits(int(c)) for c in counts)}


def _coco_digits(value: int) -> str:
    """Write a signed number in COCO's base 32: five bits a character, low bits first."""
    digits = []
    while True:
        bits = value & 0x1F
        value >>= 5
        done = value == (-1 if bits & 0x10 else 0)
        digits.append(chr(48 + (bits if done else bits | 0x20)))
        if done:
            return "".join(digits)
