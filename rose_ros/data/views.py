"""A labelled image without its pixels: what the text generators need to know about a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop.vocabulary import SURFACES
from rose_ros.errors import DataError

if TYPE_CHECKING:
    from rose_ros.data.tabletop import Scene

#: An object showing fewer pixels than this is never the target of a text.
MIN_AREA = 60


class NamedObject(Protocol):
    """What the generators read of an object: its id in ``ids`` and its words."""

    @property
    def id(self) -> int: ...
    @property
    def noun(self) -> str: ...
    @property
    def colour(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the visible pixels of one object lie.

    area: pixels; box: (x0, y0, x1, y1) half-open pixels; centroid: (x, y) pixels.
    """

    area: int
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]


@dataclass(frozen=True, slots=True)
class LabelledView:
    """Instance and part labels of one image, with the objects they stand for.

    ids: integer (height, width), the object of every pixel, at least 1.
    parts: uint8 (height, width), index into ``part_names``; index 0 is "" (no named part).
    objects: every object whose id may occur in ``ids``; some may be hidden completely.
    visible: the objects with at least one pixel, in ascending id, computed.
    extents: id -> where its visible pixels are, computed.
    Raises ``DataError`` when the arrays disagree or hold an unknown id.
    """

    ids: NDArray[np.integer]
    parts: NDArray[np.uint8]
    part_names: Sequence[str]
    objects: Sequence[NamedObject]
    visible: tuple[NamedObject, ...] = field(init=False, repr=False, compare=False)
    extents: dict[int, Extent] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ids.shape != self.parts.shape:
            raise DataError(
                f"ids {self.ids.shape} and parts {self.parts.shape} must be two (height, width) "
                "arrays of the same size"
            )
        extents = _extents(self.ids)
        by_id = {obj.id: obj for obj in self.objects}
        unknown = sorted(extents.keys() - by_id.keys())
        if unknown:
            raise DataError(f"ids {unknown} occur in the image but in no object of the view")
        object.__setattr__(self, "extents", extents)
        object.__setattr__(self, "visible", tuple(by_id[i] for i in sorted(extents)))

    @classmethod
    def from_scene(cls, scene: Scene) -> LabelledView:
        """Build the view of a rendered scene."""
        return cls(scene.ids, scene.parts, scene.part_names, scene.objects)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.ids.shape
        return height, width

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        """Return the visible pixels of one object, bool (height, width)."""
        return np.equal(self.ids, object_id)

    def part_mask(self, object_id: int, part: str) -> NDArray[np.bool_]:
        """Return the visible pixels of a named part of one object, bool (height, width)."""
        wanted = [index for index, name in enumerate(self.part_names) if name == part and index]
        return self.mask(object_id) & np.isin(self.parts, wanted)

    def part_areas(self, object_id: int) -> dict[str, int]:
        """Return the visible pixels of each named part of one object, only parts in view."""
        x0, y0, x1, y1 = self.extents[object_id].box
        inside = self.parts[y0:y1, x0:x1][self.ids[y0:y1, x0:x1] == object_id]
        counts = np.bincount(inside, minlength=1)
        areas: dict[str, int] = {}
        for index in (np.flatnonzero(counts[1:]) + 1).tolist():
            name = self.part_names[index]
            areas[name] = areas.get(name, 0) + int(counts[index])
        return areas

    def large_enough(self, obj: NamedObject) -> bool:
        """Tell whether enough of ``obj`` is visible for a text to mean it."""
        return self.extents[obj.id].area >= MIN_AREA

    def things(self, min_area: int = MIN_AREA) -> list[NamedObject]:
        """Return the visible objects, without table, floor and wall, of at least ``min_area``."""
        return [
            obj
            for obj in self.visible
            if not is_background(obj) and self.extents[obj.id].area >= min_area
        ]

    def matching(self, noun: str = "", colour: str = "") -> list[NamedObject]:
        """Return every visible object, however small, that ``colour noun`` is true of.

        An empty word matches anything, except that no noun never means table, floor or wall.
        """
        return [
            obj
            for obj in self.visible
            if (obj.noun == noun if noun else not is_background(obj))
            and (not colour or obj.colour == colour)
        ]


def is_background(obj: NamedObject) -> bool:
    """Tell whether ``obj`` is table, floor or wall: named by its noun, not an "object"."""
    return obj.noun in SURFACES


def _extents(ids: NDArray[np.integer]) -> dict[int, Extent]:
    """Measure every id in one pass; ids (height, width) of at least 1."""
    height, width = ids.shape
    if ids.size == 0 or int(ids.min()) < 1:
        raise DataError("every pixel of ids must carry an object id of at least 1")
    flat = ids.ravel().astype(np.intp)
    count = int(flat.max()) + 1
    columns = np.bincount(flat * width + np.tile(np.arange(width), height), minlength=count * width)
    columns = columns.reshape(count, width)
    rows = np.bincount(
        flat * height + np.repeat(np.arange(height), width), minlength=count * height
    ).reshape(count, height)
    areas = columns.sum(axis=1)
    extents = {}
    for index in np.flatnonzero(areas):
        xs, ys = np.flatnonzero(columns[index]), np.flatnonzero(rows[index])
        area = int(areas[index])
        extents[int(index)] = Extent(
            area,
            (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1),
            (
                float(columns[index] @ np.arange(width)) / area + 0.5,
                float(rows[index] @ np.arange(height)) / area + 0.5,
            ),
        )
    return extents
