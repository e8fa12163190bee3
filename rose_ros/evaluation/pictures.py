"""Pictures for the pages: tiles with captions, put together to sheets, as small files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import DataError
from rose_ros.perception.masks import decode_runs, measure
from rose_ros.perception.overlay import draw_overlay
from rose_ros.perception.segments import Label, LabelSource, Segment, SegmentedFrame

Picture = NDArray[np.uint8]
Masks = NDArray[np.bool_]

#: Bytes of one sheet at most: four of them stay below 1.5 MB.
SHEET_BYTES = 370_000
_QUALITIES = range(88, 20, -6)
_FONT, _SCALE, _LINE, _MARGIN = cv2.FONT_HERSHEY_SIMPLEX, 0.42, 16, 6
_INK, _PAPER, _WANTED = (30, 30, 30), 255, (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Tile:
    """An RGB picture (height, width, 3) and what is written under it, a line each."""

    picture: Picture
    lines: tuple[str, ...] = ()


def draw(
    image: Picture,
    frame: SegmentedFrame,
    width: int,
    wanted: Masks | None = None,
    *,
    names_only: bool = False,
) -> Picture:
    """Draw segments over an RGB image (height, width, 3), brought to ``width``.

    wanted: bool (n, height, width), masks that are outlined in white. names_only: without ids
    and scores.
    """
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    how = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
    large = np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
    segments = []
    for segment in frame.segments:
        mask = decode_runs(segment.mask, frame.height, frame.width)
        shape = measure(_resized(mask, height, width), (0, 0), height, width)
        if shape is not None:
            segments.append(replace(segment, mask=shape.mask, area=shape.area, anchor=shape.anchor))
    drawn = replace(frame, height=height, width=width, segments=tuple(segments))
    picture = draw_overlay(large, drawn, names_only=names_only)
    for mask in () if wanted is None else wanted:
        outlines, _ = cv2.findContours(
            _resized(mask, height, width).astype(np.uint8),
            cv2.RETR_EXTERNAL,
            cv2.CHAIN_APPROX_NONE,
        )
        cv2.drawContours(picture, outlines, -1, _WANTED, 1, cv2.LINE_AA)
    return picture


def frame_of(masks: Masks, names: Sequence[str]) -> SegmentedFrame:
    """Make a frame of masks (n, height, width) and n names, numbered from 1."""
    height, width = masks.shape[1:]
    segments = []
    for number, (mask, name) in enumerate(zip(masks, names, strict=True), start=1):
        shape = measure(mask, (0, 0), height, width)
        if shape is None:
            continue
        segments.append(
            Segment(
                id=number,
                label=Label(name, 1.0),
                alternatives=(),
                label_source=LabelSource.FROM_MODEL,
                revision=0,
                score=1.0,
                mask_quality=1.0,
                mask=shape.mask,
                area=shape.area,
                anchor=shape.anchor,
                truncated=shape.truncated,
                embedding=np.zeros(0, np.float32),
            )
        )
    return SegmentedFrame("", 0, 1, height, width, tuple(segments))


def make_sheet(tiles: Sequence[Tile], columns: int) -> Picture:
    """Put tiles of any size into rows of ``columns``; every row is as high as it needs."""
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = max(tile.picture.shape[1] for tile in tiles) + _MARGIN
    sheet = []
    for row in rows:
        cells = [_cell(tile, width) for tile in row]
        cells += [np.full((1, width, 3), _PAPER, np.uint8)] * (columns - len(cells))
        height = max(len(cell) for cell in cells)
        filled = [
            np.pad(c, ((0, height - len(c)), (0, 0), (0, 0)), constant_values=_PAPER) for c in cells
        ]
        sheet.append(np.hstack(filled))
    return np.vstack(sheet)


def encode_jpeg(picture: Picture, most: int = SHEET_BYTES) -> bytes:
    """Encode RGB (height, width, 3) as the best JPEG of at most ``most`` bytes."""
    for quality in _QUALITIES:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        done, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)
        if done and data.size <= most:
            return data.tobytes()
    raise DataError(f"a picture of {picture.shape} does not fit into {most} bytes as a JPEG")


def _resized(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Bring a mask (h, w) to (height, width), its edge smooth."""
    soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft > 0.5)


def _cell(tile: Tile, width: int) -> Picture:
    """Set a tile on paper of a width, its lines wrapped below it."""
    lines = [part for line in tile.lines for part in _wrapped(line, width - _MARGIN)]
    height, own = tile.picture.shape[:2]
    cell = np.full((height + _LINE * len(lines) + 2 * _MARGIN, width, 3), _PAPER, np.uint8)
    cell[:height, :own] = tile.picture
    for number, line in enumerate(lines, start=1):
        place = (2, height + _LINE * number - 3)
        cv2.putText(cell, line, place, _FONT, _SCALE, _INK, 1, cv2.LINE_AA)
    return cell


def _wrapped(line: str, width: int) -> list[str]:
    """Break a line into parts that fit a width in pixels; OpenCV's font knows ASCII alone."""
    parts: list[str] = []
    for word in line.encode("ascii", "replace").decode("ascii").split():
        longer = f"{parts[-1]} {word}" if parts else word
        fits = cv2.getTextSize(longer, _FONT, _SCALE, 1)[0][0] <= width
        if parts and fits:
            parts[-1] = longer
        else:
            parts.append(word)
    return parts
