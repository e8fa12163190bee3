"""Where the camera stands and what its pixels look at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import DataError


@dataclass(frozen=True, slots=True)
class View:
    """A camera: position and target in world metres, vertical field of view in radians."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    vertical_fov: float

    def camera_to_world(self) -> NDArray[np.float64]:
        """Return the pose (4, 4) with OpenCV axes: x right, y down, z forward."""
        position = np.array(self.position)
        forward = np.array(self.target) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        pose[:3, 3] = position
        return pose

    def intrinsics(self, height: int, width: int, pixel_aspect: float = 1.0) -> NDArray[np.float64]:
        """Return the camera matrix (3, 3); pixel centres have integer coordinates.

        ``pixel_aspect`` is a pixel's width over its height on the image plane: a square array with
        4/3 covers the same view as a 4:3 array of square pixels.
        """
        if height < 1 or width < 1 or pixel_aspect <= 0:
            raise DataError(
                f"cannot render {width}x{height} pixels of aspect {pixel_aspect}; "
                "height and width must be at least 1 and the aspect above 0"
            )
        fy = height / (2.0 * np.tan(self.vertical_fov / 2.0))
        fx = fy / pixel_aspect
        return np.array([[fx, 0.0, (width - 1) / 2.0], [0.0, fy, (height - 1) / 2.0], [0, 0, 1.0]])

    def orbited(self, azimuth: float, elevation: float) -> View:
        """Return the view turned around its target by two angles in radians."""
        offset = np.array(self.position) - np.array(self.target)
        distance = float(np.linalg.norm(offset))
        heading = np.arctan2(offset[1], offset[0]) + azimuth
        pitch = np.clip(np.arcsin(offset[2] / distance) + elevation, 0.15, 1.4)
        turned = distance * np.array(
            [np.cos(pitch) * np.cos(heading), np.cos(pitch) * np.sin(heading), np.sin(pitch)]
        )
        x, y, z = (turned + np.array(self.target)).tolist()
        return replace(self, position=(x, y, z))


def ray_directions(
    intrinsics: NDArray[np.float64], pose: NDArray[np.float64], height: int, width: int
) -> NDArray[np.float32]:
    """Return world ray directions (height * width, 3), one metre long along the optical axis."""
    x = (np.arange(width) - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(height) - intrinsics[1, 2]) / intrinsics[1, 1]
    right, down, forward = pose[:3, :3].T
    rays = x[None, :, None] * right + y[:, None, None] * down + forward
    return np.ascontiguousarray(rays.reshape(-1, 3), dtype=np.float32)
