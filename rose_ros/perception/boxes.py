"""The tightest oriented box around points, and rotations as quaternions; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import GeometryError

#: Points that the search for the best box looks at.
_BOX_POINTS = 500
#: Percentiles between which a box lies: a few stray points do not stretch it.
_BOX_PERCENTILES = (1.0, 99.0)
#: degrees: the grid of the search for the best box, and the finer one around its best angle.
_COARSE_DEGREES = np.arange(0.0, 90.0, 5.0)
_FINE_DEGREES = np.arange(-4.0, 4.1, 1.0)
_BOX_ROUNDS = 3
#: Planes that are tried as the largest face, and how near to one a point lies on it: share of the
#: largest extent.
_FACE_TRIALS = 60
_FACE_SHARE = 0.03

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class OrientedBox:
    """A box around points.

    centre: metres. rotation: float64 (3, 3), its columns are the box's axes, right-handed: x along
    the longest edge, z along the shortest and towards the camera. size: edge lengths along these
    axes, metres, longest first.
    """

    centre: Vector
    rotation: NDArray[np.float64]
    size: Vector


def vector(values: NDArray[np.float64] | Sequence[float]) -> Vector:
    """Return three numbers as a tuple of floats."""
    x, y, z = (float(value) for value in values)
    return x, y, z


def oriented_box(points: NDArray[np.float64]) -> OrientedBox:
    """Fit a tight box to points (n, 3), metres; the one with the least surface that is found.

    Begins with the principal axes or with the largest flat face, whichever gives the smaller box,
    and turns around each axis in turn.
    """
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise GeometryError(f"points have the shape {points.shape}; give (n, 3) with n above 0")
    middle = np.median(points, axis=0)
    centred = points - middle
    sample = _without_strays(centred[:: max(1, len(points) // _BOX_POINTS)])
    best, axes = min(
        (_tighter(sample, start, [2]) for start in (_principal_axes(sample), _face_axes(sample))),
        key=lambda found: found[0],
    )
    for _ in range(_BOX_ROUNDS):
        before = best
        best, axes = _tighter(sample, axes, [0, 1, 2])
        if best > 0.99 * before:
            break
    return _box(centred, axes, middle)


def _principal_axes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axes (3, 3), as columns, along which points (n, 3) spread most and least."""
    return np.asarray(np.linalg.eigh(points.T @ points)[1])


def _face_axes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return axes (3, 3), as columns, of which the last is normal to the largest flat face.

    The plane near which most of the points (n, 3) lie, among those through three of them.
    """
    corners = np.random.default_rng(0).integers(0, len(points), (_FACE_TRIALS, 3))
    first, second, third = np.moveaxis(points[corners], 1, 0)
    normals = np.cross(second - first, third - first)
    lengths = np.linalg.norm(normals, axis=1)
    if not lengths.any():
        return np.eye(3)
    normals /= np.where(lengths > 0, lengths, np.inf)[:, None]
    distances = np.abs(points @ normals.T - np.einsum("tc,tc->t", first, normals))
    near = distances < _FACE_SHARE * np.ptp(points, axis=0).max()
    normal = normals[int(np.argmax(np.where(lengths > 0, near.sum(axis=0), -1)))]
    # The other two: any that are perpendicular. Their turn comes.
    return np.asarray(np.linalg.svd(normal[None])[2][[1, 2, 0]].T)


def _tighter(
    points: NDArray[np.float64], axes: NDArray[np.float64], around: Sequence[int]
) -> tuple[float, NDArray[np.float64]]:
    """Turn axes (3, 3) ``around`` some of themselves so that the box of points (n, 3) gets smaller.

    Returns half its surface and the axes.
    """
    best = float(_surface(np.ptp(points @ axes, axis=0)))
    for axis in around:
        turn, best = _best_turn(points @ axes, axis, best)
        axes = axes @ turn
    return best, axes


def _without_strays(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop the points (n, 3) outside the percentiles of any coordinate, if many are left."""
    low, high = np.percentile(points, _BOX_PERCENTILES, axis=0)
    kept = points[((points >= low) & (points <= high)).all(axis=1)]
    return kept if 2 * len(kept) > len(points) else points


def _surface(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the surface of boxes of size (..., 3); unlike the volume it is not 0 for flat ones."""
    a, b, c = np.moveaxis(size, -1, 0)
    return np.asarray(a * b + b * c + c * a)


def _best_turn(
    points: NDArray[np.float64], axis: int, surface: float
) -> tuple[NDArray[np.float64], float]:
    """Turn points (n, 3) around a coordinate axis so that their box gets smallest.

    Returns the rotation (3, 3) and the half surface, which is at most ``surface``.
    """
    first, second = [other for other in range(3) if other != axis]
    height = np.ptp(points[:, axis])
    plane = points[:, [first, second]]
    angle = 0.0
    for degrees in (_COARSE_DEGREES, _FINE_DEGREES):
        angles = angle + np.deg2rad(degrees)
        cos, sin = np.cos(angles), np.sin(angles)
        # (angles, n): coordinates of all points along both axes of each turned frame
        along = np.ptp(np.stack([cos, sin], axis=1) @ plane.T, axis=1)
        across = np.ptp(np.stack([-sin, cos], axis=1) @ plane.T, axis=1)
        surfaces = _surface(np.stack([along, across, np.full(len(angles), height)], axis=1))
        index = int(np.argmin(surfaces))
        if surfaces[index] < surface:
            surface, angle = float(surfaces[index]), float(angles[index])
    rotation = np.eye(3)
    rotation[first, first] = rotation[second, second] = np.cos(angle)
    rotation[second, first], rotation[first, second] = np.sin(angle), -np.sin(angle)
    return rotation, surface


def _box(
    centred: NDArray[np.float64], axes: NDArray[np.float64], middle: NDArray[np.float64]
) -> OrientedBox:
    """Measure points (n, 3) around ``middle`` along axes (3, 3), and order the axes."""
    low, high = np.percentile(centred @ axes, _BOX_PERCENTILES, axis=0)
    centre = middle + axes @ ((low + high) / 2)
    order = np.argsort(low - high, kind="stable")
    longest, shortest = axes[:, order[0]], axes[:, order[2]]
    if longest[int(np.argmax(np.abs(longest)))] < 0:
        longest = -longest
    if shortest @ centre > 0:
        shortest = -shortest
    rotation = np.stack([longest, np.cross(shortest, longest), shortest], axis=1)
    return OrientedBox(vector(centre), rotation, vector((high - low)[order]))


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return (x, y, z, w), unit, w at least 0, of a rotation (3, 3)."""
    # The symmetric matrix of Bar-Itzhack (2000): its last eigenvector is the quaternion.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    matrix = np.array(
        [
            [xx - yy - zz, xy + yx, xz + zx, zy - yz],
            [xy + yx, yy - xx - zz, yz + zy, xz - zx],
            [xz + zx, yz + zy, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = np.linalg.eigh(matrix)[1][:, 3].tolist()
    return (x, y, z, w) if w >= 0 else (-x, -y, -z, -w)
