"""The triangles of a world and the rays through them (Embree)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

#: Distance by which shadow rays start above the surface, metres.
SHADOW_OFFSET = 1.0e-3
#: Change of direction by which a ray is tried again that met nothing.
NUDGE = 2.0e-4


@dataclass(frozen=True, slots=True)
class Triangles:
    """Triangle soup in world metres, one row per face.

    corners, normals, local: float32 (faces, 3, 3); ``local`` is in the object's own frame.
    openness: float32 (faces, 3), share of the surroundings that each corner sees.
    owner, part: uint8 (faces,), object ids and part indices. material: int16 (faces,).
    """

    corners: NDArray[np.float32]
    normals: NDArray[np.float32]
    local: NDArray[np.float32]
    openness: NDArray[np.float32]
    owner: NDArray[np.uint8]
    part: NDArray[np.uint8]
    material: NDArray[np.int16]

    @classmethod
    def joined(cls, groups: Sequence[Triangles]) -> Triangles:
        """Concatenate groups in order."""
        return cls(
            np.concatenate([group.corners for group in groups]),
            np.concatenate([group.normals for group in groups]),
            np.concatenate([group.local for group in groups]),
            np.concatenate([group.openness for group in groups]),
            np.concatenate([group.owner for group in groups]),
            np.concatenate([group.part for group in groups]),
            np.concatenate([group.material for group in groups]),
        )


@dataclass(frozen=True, slots=True)
class Hits:
    """What each ray met first; ``face`` is -1 where it met nothing.

    face: int32 (n,). depth: float32 (n,), in lengths of the ray's direction.
    weights: float32 (n, 3), barycentric weights of the face's corners.
    """

    face: NDArray[np.int32]
    depth: NDArray[np.float32]
    weights: NDArray[np.float32]


class RayCaster:
    """An Embree scene over triangles, built once and asked often."""

    def __init__(self, corners: NDArray[np.float32]) -> None:
        """Build the acceleration structure over corners (faces, 3, 3)."""
        self._scene = EmbreeScene()
        vertices = np.ascontiguousarray(corners.reshape(-1, 3), dtype=np.float32)
        faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
        self._mesh = TriangleMesh(self._scene, vertices, faces)

    def cast(self, origin: NDArray[np.float64], directions: NDArray[np.float32]) -> Hits:
        """Find the first face along rays (n, 3) from one origin (3,)."""
        origins = np.empty_like(directions)
        origins[:] = origin
        answer = self._scene.run(origins, directions, output=1)
        missed = np.flatnonzero(answer["primID"] < 0)
        if len(missed):
            # A ray may slip through the seam of two triangles; beside the seam it does not.
            nudged = directions[missed] + np.float32(NUDGE)
            again = self._scene.run(origins[missed], nudged, output=1)
            for key in ("primID", "tfar", "u", "v"):
                answer[key][missed] = again[key]
        u, v = answer["u"], answer["v"]
        weights = np.stack([1.0 - u - v, u, v], axis=1)
        return Hits(answer["primID"], answer["tfar"], weights)

    def blocked(
        self,
        points: NDArray[np.float32],
        normals: NDArray[np.float32],
        target: NDArray[np.float32],
    ) -> NDArray[np.bool_]:
        """Tell for points (n, 3) on surfaces with these normals whether ``target`` (3,) is hidden.

        The target itself may lie in front of a wall: what is behind it does not count.
        """
        origins = points + np.float32(SHADOW_OFFSET) * normals
        directions = target - origins
        return self.blocked_within(origins, directions, 1.0)

    def blocked_within(
        self, origins: NDArray[np.float32], directions: NDArray[np.float32], reach: float
    ) -> NDArray[np.bool_]:
        """Tell for rays (n, 3) whether anything is nearer than ``reach`` direction lengths."""
        limits = np.full(len(origins), reach, dtype=np.float32)
        return np.asarray(self._scene.run(origins, directions, limits, query="OCCLUDED")) >= 0
