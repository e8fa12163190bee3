"""What a rendered tabletop scene is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One thing with an id in ``Scene.ids``; "table", "floor" and "wall" are objects too.

    colour: "" for the room's surfaces. position: centre of the bounds, world metres (x, y, z).
    size: extents of the bounds along the world axes, metres. parts: its named parts.
    """

    id: int
    noun: str
    colour: str
    position: tuple[float, float, float]
    size: tuple[float, float, float]
    parts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name to be learned: "red mug", "table"."""
        return f"{self.colour} {self.noun}" if self.colour else self.noun


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and everything that is known about it.

    image: uint8 (height, width, 3), RGB.
    ids: uint8 (height, width), the id of the object seen; every ray hits something.
    parts: uint8 (height, width), index into part_names; 0 = no named part.
    depth: float32 (height, width), metres along the optical axis.
    normals: float16 (height, width, 3), world frame, unit, towards the camera.
    intrinsics: float64 (3, 3), pixels; the centre of the upper left pixel is (0, 0).
    camera_to_world: float64 (4, 4), OpenCV axes: x right, y down, z forward.
    objects: ascending ids; includes objects that are hidden or out of view.
    """

    image: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    part_names: tuple[str, ...]
    depth: NDArray[np.float32]
    normals: NDArray[np.float16]
    intrinsics: NDArray[np.float64]
    camera_to_world: NDArray[np.float64]
    objects: tuple[SceneObject, ...]
