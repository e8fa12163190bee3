"""Where segments are in space: robust geometry of the depth under a mask, in the camera's frame.

The frame is that of ROS cameras: x right, y down, z along the optical axis, metres. Depth is
measured along z. One camera sees only the near side of a thing, so everything here describes the
visible surface; nothing is guessed about the far side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import GeometryError
from rose_ros.perception.boxes import OrientedBox, Vector, oriented_box, vector

#: m: nearer than this no depth camera measures.
MIN_DEPTH = 0.05
#: Pixels with usable depth that a segment needs at least.
MIN_PIXELS = 12
#: Neighbours whose depths differ by more than this share of the smaller one are two surfaces.
JUMP_SHARE = 0.03
#: Pixels on jumps are left out as long as this share of a segment remains.
_KEPT_SHARE = 0.3
#: Depths farther from the median than this many (robust) standard deviations are outliers, ...
_OUTLIER_DEVIATIONS = 4.0
#: ... but never those within this share of the depth: noise, not another surface.
_OUTLIER_SHARE = 0.02
#: The deviation of a normal distribution is this many median absolute deviations.
_MAD_TO_SIGMA = 1.4826
#: Larger segments are thinned out to about this many pixels.
_MAX_PIXELS = 16_384
#: Pixels whose median is the depth of the point on a segment.
_POINT_PIXELS = 9


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """A pinhole camera, pixels; the centre of the upper left pixel is (0, 0).

    Raises ``GeometryError`` for numbers that no calibrated camera has.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not np.isfinite(values).all() or self.fx <= 0 or self.fy <= 0:
            raise GeometryError(
                f"the camera is not calibrated: fx, fy, cx, cy are {values}; "
                "focal lengths must be above 0"
            )


@dataclass(frozen=True, slots=True)
class SegmentGeometry:
    """Where one segment is; metres.

    position: the middle of the visible surface, the median of each coordinate over its pixels.
    point: on the visible surface, seen through a pixel inside the mask, far from its outline.
    box: around the visible surface. pixels: how many were used.
    coverage: share of the mask's pixels that have usable depth.
    """

    position: Vector
    point: Vector
    box: OrientedBox
    pixels: int
    coverage: float


def usable_depth(depth: NDArray[np.floating], max_depth: float = np.inf) -> NDArray[np.float32]:
    """Return depth (h, w), metres, as float32 with NaN where nothing was measured.

    Nothing was measured where depth is not finite, below ``MIN_DEPTH`` or above ``max_depth``.
    """
    if depth.ndim != 2:
        raise GeometryError(f"depth has the shape {depth.shape}; give (height, width)")
    values = depth.astype(np.float32)
    with np.errstate(invalid="ignore"):
        values[~((values >= MIN_DEPTH) & (values <= max_depth) & np.isfinite(values))] = np.nan
    return values


def depth_jumps(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the pixels of usable depth (h, w) that lie beside a jump to another surface.

    Depth cameras measure something between the two surfaces there ("flying pixels").
    """
    jumps = np.zeros(depth.shape, bool)
    for near, far in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        one, other = depth[near], depth[far]
        with np.errstate(invalid="ignore"):
            apart = np.abs(one - other) > JUMP_SHARE * np.minimum(one, other)
        jumps[near] |= apart
        jumps[far] |= apart
    return jumps


def back_project(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    depth: NDArray[np.floating],
    intrinsics: Intrinsics,
) -> NDArray[np.float64]:
    """Return the points (n, 3), metres, of pixels x (n,), y (n,) with depth (n,)."""
    z = depth.astype(np.float64)
    return np.stack(
        [
            (x - intrinsics.cx) / intrinsics.fx * z,
            (y - intrinsics.cy) / intrinsics.fy * z,
            z,
        ],
        axis=1,
    )


def locate(
    inside: NDArray[np.bool_],
    offset: tuple[int, int],
    anchor: tuple[float, float],
    depth: NDArray[np.float32],
    jumps: NDArray[np.bool_],
    intrinsics: Intrinsics,
) -> SegmentGeometry | None:
    """Measure one segment; None when too few of its pixels have usable depth.

    inside: the mask's box, bool (rows, columns), at ``offset`` (x, y) of the image. anchor: (x, y)
    pixels, a point inside the mask. depth, jumps: (h, w), from ``usable_depth``, ``depth_jumps``.
    """
    rows, columns = inside.shape
    x0, y0 = offset
    if x0 < 0 or y0 < 0 or y0 + rows > depth.shape[0] or x0 + columns > depth.shape[1]:
        raise GeometryError(
            f"a mask of {columns} x {rows} px at {offset} lies outside the depth image of "
            f"{depth.shape[1]} x {depth.shape[0]} px"
        )
    step = max(1, int(np.ceil(np.sqrt(np.count_nonzero(inside) / _MAX_PIXELS))))
    mask = inside[::step, ::step]
    values = depth[y0 : y0 + rows : step, x0 : x0 + columns : step]
    measured = mask & np.isfinite(values)
    count = int(np.count_nonzero(measured))
    if count < MIN_PIXELS:
        return None
    steady = measured & ~jumps[y0 : y0 + rows : step, x0 : x0 + columns : step]
    if np.count_nonzero(steady) >= max(MIN_PIXELS, _KEPT_SHARE * count):
        measured = steady
    y, x = np.nonzero(measured)
    z = values[measured]
    kept = _near_median(z)
    x, y, z = x[kept] * step + x0, y[kept] * step + y0, z[kept]
    points = back_project(x, y, z, intrinsics)
    return SegmentGeometry(
        position=vector(np.median(points, axis=0)),
        point=_surface_point(x, y, z, anchor, intrinsics),
        box=oriented_box(points),
        pixels=len(points),
        coverage=count / int(np.count_nonzero(mask)),
    )


def _near_median(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the depths (n,) that belong to one thing with their median."""
    middle = float(np.median(depth))
    distance = np.abs(depth - middle)
    spread = _OUTLIER_DEVIATIONS * _MAD_TO_SIGMA * float(np.median(distance))
    return np.asarray(distance <= max(spread, _OUTLIER_SHARE * middle))


def _surface_point(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    depth: NDArray[np.float32],
    anchor: tuple[float, float],
    intrinsics: Intrinsics,
) -> Vector:
    """Return the point seen through the pixel nearest to ``anchor``, at its neighbours' depth."""
    distance = (x - anchor[0]) ** 2 + (y - anchor[1]) ** 2
    count = min(_POINT_PIXELS, len(distance))
    nearest = np.argpartition(distance, count - 1)[:count]
    first = nearest[[int(np.argmin(distance[nearest]))]]
    level = np.median(depth[nearest], keepdims=True)
    return vector(back_project(x[first], y[first], level, intrinsics)[0])
