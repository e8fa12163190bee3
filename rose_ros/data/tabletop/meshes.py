"""Pieces of procedural meshes, and the triangle soup that the ray caster reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix

from rose_ros.data.tabletop.raycast import RayCaster
from rose_ros.data.tabletop.vocabulary import PART_NAMES

_OPENNESS_RAYS = 20
_LEAST_OPENNESS = 0.3

#: Faces that meet at less than this angle are shaded as one smooth surface.
CREASE_COSINE = float(np.cos(np.deg2rad(42.0)))


class Slot(IntEnum):
    """Which of an object's materials a face wears."""

    BODY = 0
    ACCENT = 1
    STEEL = 2
    DARK = 3
    PAPER = 4
    FLAME = 5


@dataclass(frozen=True, slots=True)
class Piece:
    """A mesh in metres with one material slot and one named part ("" for none)."""

    mesh: trimesh.Trimesh
    slot: Slot = Slot.BODY
    part: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A finished object in its resting pose: centred in x and y, standing on z = 0.

    corners, normals: float32 (faces, 3, 3), per triangle corner, metres and unit vectors.
    slots, parts: uint8 (faces,), values of ``Slot`` and indices into ``PART_NAMES``.
    openness: float32 (faces, 3), share of the sky that each corner sees, 0..1.
    extents: float64 (3,), metres.
    """

    corners: NDArray[np.float32]
    normals: NDArray[np.float32]
    slots: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    openness: NDArray[np.float32]
    extents: NDArray[np.float64]


def revolve(
    profile: ArrayLike, slot: Slot = Slot.BODY, part: str = "", sections: int = 32
) -> Piece:
    """Turn a profile of (radius, z) points around the z axis."""
    mesh = trimesh.creation.revolve(np.asarray(profile, dtype=float), sections=sections)
    return Piece(mesh, slot, part)


def box(
    size: ArrayLike, centre: ArrayLike = (0, 0, 0), slot: Slot = Slot.BODY, part: str = ""
) -> Piece:
    """Build a cuboid of ``size`` around ``centre``."""
    mesh = trimesh.creation.box(extents=np.asarray(size, dtype=float))
    mesh.apply_translation(np.asarray(centre, dtype=float))
    return Piece(mesh, slot, part)


def rod(
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    slot: Slot = Slot.BODY,
    part: str = "",
    sections: int = 16,
) -> Piece:
    """Build a cylinder between two points."""
    segment = np.stack([np.asarray(start, dtype=float), np.asarray(end, dtype=float)])
    mesh = trimesh.creation.cylinder(radius=radius, segment=segment, sections=sections)
    return Piece(mesh, slot, part)


def tube(
    path: ArrayLike,
    radius: ArrayLike,
    slot: Slot = Slot.BODY,
    part: str = "",
    flatten: float = 1.0,
    sections: int = 10,
) -> Piece:
    """Sweep a circle along a path (n, 3) that lies in a plane y = constant.

    ``radius`` is one number or one per point; ``flatten`` scales the section along the y axis.
    """
    points = np.asarray(path, dtype=float)
    count = len(points)
    radii = np.broadcast_to(np.asarray(radius, dtype=float), (count,))
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    sideways = np.array([0.0, 1.0, 0.0])
    across = np.cross(along, sideways)
    angles = np.linspace(0.0, 2.0 * np.pi, sections, endpoint=False)
    ring = (
        np.cos(angles)[None, :, None] * across[:, None, :]
        + flatten * np.sin(angles)[None, :, None] * sideways
    )
    vertices = (points[:, None, :] + radii[:, None, None] * ring).reshape(-1, 3)
    vertices = np.concatenate([vertices, points[:1], points[-1:]])
    faces = _grid_faces(count, sections)
    first, last = count * sections, count * sections + 1
    k = np.arange(sections)
    after = (k + 1) % sections
    offset = (count - 1) * sections
    caps = [
        np.stack([np.full(sections, first), k, after], axis=1),
        np.stack([np.full(sections, last), offset + after, offset + k], axis=1),
    ]
    mesh = trimesh.Trimesh(vertices, np.concatenate([faces, *caps]), process=False)
    return Piece(mesh, slot, part)


def _grid_faces(rings: int, sections: int) -> NDArray[np.int64]:
    """Return the side faces of ``rings`` closed rings of ``sections`` vertices each."""
    ring, k = np.meshgrid(np.arange(rings - 1), np.arange(sections), indexing="ij")
    here, right = ring * sections + k, ring * sections + (k + 1) % sections
    above, above_right = here + sections, right + sections
    lower = np.stack([here, above, right], axis=-1).reshape(-1, 3)
    upper = np.stack([right, above, above_right], axis=-1).reshape(-1, 3)
    return np.concatenate([lower, upper])


def plate_with_hole(
    outline: ArrayLike,
    hole: ArrayLike,
    thickness: float,
    slot: Slot = Slot.BODY,
    part: str = "",
    closed: bool = True,
) -> Piece:
    """Extrude the band between two outlines (n, 2) with matching points along z.

    ``closed`` joins the last point with the first; otherwise the band ends there, as a C does.
    """
    outer, inner = np.asarray(outline, dtype=float), np.asarray(hole, dtype=float)
    count = len(outer)
    bottom, top = np.full((count, 1), -thickness / 2), np.full((count, 1), thickness / 2)
    rings = [
        np.hstack([outer, bottom]),
        np.hstack([outer, top]),
        np.hstack([inner, top]),
        np.hstack([inner, bottom]),
    ]
    # Point k of ring j is vertex 4k + j: the four rings close around the band's section.
    vertices = np.stack(rings, axis=1).reshape(-1, 3)
    steps = count if closed else count - 1
    k, j = np.meshgrid(np.arange(steps), np.arange(4), indexing="ij")
    following = (k + 1) % count
    here, next_ring = 4 * k + j, 4 * k + (j + 1) % 4
    there, there_next = 4 * following + j, 4 * following + (j + 1) % 4
    faces = [
        np.stack([here, there, next_ring], axis=-1).reshape(-1, 3),
        np.stack([there, there_next, next_ring], axis=-1).reshape(-1, 3),
    ]
    if not closed:
        end = 4 * (count - 1)
        faces.append(np.array([[0, 1, 2], [0, 2, 3], [end, end + 2, end + 1]]))
        faces.append(np.array([[end, end + 3, end + 2]]))
    return Piece(trimesh.Trimesh(vertices, np.concatenate(faces), process=False), slot, part)


def moved(
    piece: Piece, offset: ArrayLike = (0, 0, 0), turn: float = 0.0, axis: ArrayLike = (0, 0, 1)
) -> Piece:
    """Return a copy turned by ``turn`` radians around ``axis``, then shifted by ``offset``."""
    matrix = trimesh.transformations.rotation_matrix(turn, np.asarray(axis, dtype=float))
    matrix[:3, 3] = np.asarray(offset, dtype=float)
    return Piece(piece.mesh.copy().apply_transform(matrix), piece.slot, piece.part)


def arc(
    centre: ArrayLike, radii: tuple[float, float], start: float, end: float, count: int
) -> NDArray[np.float64]:
    """Return points (count, 3) of an ellipse in the xz plane; angles in radians from +x to +z."""
    angles = np.linspace(start, end, count)
    points = np.stack(
        [radii[0] * np.cos(angles), np.zeros(count), radii[1] * np.sin(angles)], axis=1
    )
    return points + np.asarray(centre, dtype=float)


def assemble(pieces: Sequence[Piece], rotation: NDArray[np.float64] | None = None) -> Shape:
    """Join pieces, apply a rotation (3, 3), put the result on z = 0 and centre it."""
    corners, normals, slots, parts = [], [], [], []
    for piece in pieces:
        piece_corners, piece_normals = corner_normals(piece.mesh)
        corners.append(piece_corners)
        normals.append(piece_normals)
        slots.append(np.full(len(piece_corners), piece.slot, dtype=np.uint8))
        parts.append(np.full(len(piece_corners), PART_NAMES.index(piece.part), dtype=np.uint8))
    points, directions = np.concatenate(corners), np.concatenate(normals)
    if rotation is not None:
        points, directions = points @ rotation.T, directions @ rotation.T
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    points = points - np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    mesh_corners, mesh_normals = points.astype(np.float32), directions.astype(np.float32)
    return Shape(
        mesh_corners,
        mesh_normals,
        np.concatenate(slots),
        np.concatenate(parts),
        _openness(mesh_corners, mesh_normals),
        high - low,
    )


def _openness(corners: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much of the space above each corner (faces, 3) is free of the object itself.

    The plane that the object stands on hides what is below the horizon by half.
    """
    # Measured a little inside each face: corners themselves are often buried in another piece.
    inside = corners + np.float32(0.2) * (corners.mean(axis=1, keepdims=True) - corners)
    outward = normals.reshape(-1, 3)
    points = inside.reshape(-1, 3) + np.float32(0.0015) * outward
    golden = np.pi * (3.0 - np.sqrt(5.0))
    k = np.arange(_OPENNESS_RAYS)
    height = 1.0 - 2.0 * (k + 0.5) / _OPENNESS_RAYS
    ring = np.sqrt(1.0 - height**2)
    sphere = np.stack([ring * np.cos(golden * k), ring * np.sin(golden * k), height], axis=1)
    # Points of the unit sphere around the normal's tip: cosine-distributed as seen from its foot.
    directions = outward[:, None, :] * np.float32(1.02) + sphere[None, :, :].astype(np.float32)
    starts = np.repeat(points, _OPENNESS_RAYS, axis=0)
    blocked = RayCaster(corners).blocked_within(
        starts, np.ascontiguousarray(directions.reshape(-1, 3)), 0.3
    )
    ground = (directions[:, :, 2] < 0) & (points[:, None, 2] < 0.05)
    free = np.where(blocked.reshape(-1, _OPENNESS_RAYS), 0.0, np.where(ground, 0.5, 1.0))
    # Faces that share a smooth corner share its value.
    keys = np.round(np.concatenate([corners.reshape(-1, 3), 0.1 * outward], axis=1), 4)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)
    mean = np.bincount(group, free.mean(axis=1)) / np.bincount(group)
    return np.maximum(mean[group], _LEAST_OPENNESS).reshape(-1, 3).astype(np.float32)


def corner_normals(
    mesh: trimesh.Trimesh,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return corners and smooth corner normals (faces, 3, 3); creases stay sharp."""
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    crosses = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    )
    areas = np.linalg.norm(crosses, axis=1)
    keep = areas > 1e-12
    faces, crosses, areas = faces[keep], crosses[keep], areas[keep]
    face_normals = crosses / areas[:, None]
    _, merged = np.unique(np.round(vertices, 7), axis=0, return_inverse=True)
    shared = merged.reshape(-1)[faces].reshape(-1)
    corner = np.arange(len(shared))
    incidence = coo_matrix((np.ones(len(shared)), (corner, shared))).tocsr()
    pairs = (incidence @ incidence.T).tocoo()
    here, there = pairs.row // 3, pairs.col // 3
    smooth = np.einsum("ij,ij->i", face_normals[here], face_normals[there]) > CREASE_COSINE
    weights = coo_matrix(
        (np.ones(int(smooth.sum())), (pairs.row[smooth], there[smooth])),
        shape=(len(shared), len(faces)),
    )
    normals = weights.tocsr() @ crosses
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return vertices[faces], normals.reshape(-1, 3, 3)
