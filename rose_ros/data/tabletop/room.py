"""The room around the objects: table, floor, walls, light and camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from rose_ros.data.tabletop.camera import View
from rose_ros.data.tabletop.layout import Table
from rose_ros.data.tabletop.materials import Surface, surface
from rose_ros.data.tabletop.meshes import box, corner_normals, revolve, rod
from rose_ros.data.tabletop.raycast import Triangles
from rose_ros.data.tabletop.scene import SceneObject
from rose_ros.data.tabletop.shading import Lighting, Sensor
from rose_ros.data.tabletop.vocabulary import SURFACES

#: The table top is z = 0, metres.
FLOOR_HEIGHT = -0.72
CEILING_HEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class Room:
    """Half extents of the room in metres and the look of table, floor and wall."""

    half: tuple[float, float]
    surfaces: tuple[Surface, ...]


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room of 3 to 5.2 m a side and its three surfaces."""
    half = (float(rng.uniform(1.5, 2.6)), float(rng.uniform(1.5, 2.6)))
    return Room(half, tuple(surface(kind, rng) for kind in SURFACES))


def draw_table(rng: np.random.Generator) -> Table:
    """Draw a rectangular or, in a quarter of the worlds, a round table."""
    thickness = float(rng.uniform(0.02, 0.045))
    if rng.random() < 0.25:
        radius = float(rng.uniform(0.55, 0.78))
        return Table((radius, radius), True, thickness)
    return Table((float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.5, 0.75))), False, thickness)


def draw_view(rng: np.random.Generator, table: Table) -> View:
    """Draw a camera that sees 0.58 to 0.92 m of the table from top to bottom of the image."""
    fov = float(np.deg2rad(rng.uniform(34.0, 56.0)))
    half_height = rng.uniform(0.29, 0.46)
    distance = half_height / np.tan(fov / 2)
    pitch, heading = np.deg2rad(rng.uniform(22.0, 62.0)), rng.uniform(0, 2 * np.pi)
    target_x, target_y = (rng.uniform(-0.15, 0.15, 2) * np.array(table.half)).tolist()
    flat = distance * np.cos(pitch)
    target = (target_x, target_y, 0.04)
    position = (
        float(target_x + flat * np.cos(heading)),
        float(target_y + flat * np.sin(heading)),
        float(0.04 + distance * np.sin(pitch)),
    )
    return View(position, target, fov)


def draw_lighting(rng: np.random.Generator) -> Lighting:
    """Draw a lamp above the table, from warm to cool, and softer light from elsewhere."""
    elevation, heading = np.deg2rad(rng.uniform(38.0, 82.0)), rng.uniform(0, 2 * np.pi)
    reach = 1.4
    x, y = reach * np.cos(elevation) * np.cos(heading), reach * np.cos(elevation) * np.sin(heading)
    warmth = rng.uniform(0.0, 1.0)
    warm, cool = np.array([1.0, 0.86, 0.70]), np.array([0.90, 0.96, 1.06])
    tone = warm * warmth + cool * (1 - warmth)
    lamp = tone * rng.uniform(0.5, 0.95)
    above = (cool + (tone - cool) * rng.uniform(0, 1)) * rng.uniform(0.24, 0.46)
    below = above * np.array([0.95, 0.92, 0.88]) * rng.uniform(0.35, 0.65)
    side = heading + np.pi + rng.uniform(-1.0, 1.0)
    fill_direction = np.array([0.8 * np.cos(side), 0.8 * np.sin(side), 0.6])
    fill = cool * rng.uniform(0.05, 0.22)
    return Lighting(
        (float(x), float(y), float(reach * np.sin(elevation))),
        triple(lamp),
        triple(fill_direction),
        triple(fill),
        triple(above),
        triple(below),
    )


def draw_sensor(rng: np.random.Generator) -> Sensor:
    """Draw what the camera adds to the light."""
    return Sensor(
        exposure=float(rng.uniform(0.7, 0.95)),
        vignette=float(rng.uniform(0.0, 0.22)),
        noise=float(rng.uniform(0.5, 3.5)),
        blur=bool(rng.random() < 0.4),
    )


def triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return three numbers as a tuple of floats."""
    r, g, b = values.tolist()
    return r, g, b


def surface_objects(table: Table, room: Room) -> list[SceneObject]:
    """Describe the table, the floor and the wall."""
    width, depth = 2 * room.half[0], 2 * room.half[1]
    middle = (FLOOR_HEIGHT + CEILING_HEIGHT) / 2
    leg = -FLOOR_HEIGHT
    return [
        SceneObject(
            1, "table", "", (0.0, 0.0, -leg / 2), (2 * table.half[0], 2 * table.half[1], leg)
        ),
        SceneObject(2, "floor", "", (0.0, 0.0, FLOOR_HEIGHT), (width, depth, 0.0)),
        SceneObject(
            3, "wall", "", (0.0, 0.0, middle), (width, depth, CEILING_HEIGHT - FLOOR_HEIGHT)
        ),
    ]


def room_triangles(table: Table, room: Room) -> list[Triangles]:
    """Build table, floor and walls (with the ceiling) as ids 1, 2, 3."""
    half_x, half_y = table.half
    if table.round:
        top = revolve(
            [(0, -table.thickness), (half_x, -table.thickness), (half_x, 0), (0, 0)], sections=64
        )
        legs = [rod((0, 0, FLOOR_HEIGHT), (0, 0, -table.thickness), 0.06)]
        legs.append(rod((0, 0, FLOOR_HEIGHT), (0, 0, FLOOR_HEIGHT + 0.03), 0.28))
    else:
        top = box((2 * half_x, 2 * half_y, table.thickness), (0, 0, -table.thickness / 2))
        height = -FLOOR_HEIGHT - table.thickness
        middle = FLOOR_HEIGHT + height / 2
        legs = [
            box((0.05, 0.05, height), (sx * (half_x - 0.05), sy * (half_y - 0.05), middle))
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
    soup = [corner_normals(piece.mesh) for piece in (top, *legs)]
    corners = np.concatenate([entry[0] for entry in soup]).astype(np.float32)
    normals = np.concatenate([entry[1] for entry in soup]).astype(np.float32)
    width, depth = 2 * room.half[0], 2 * room.half[1]
    floor = trimesh.creation.box(extents=(width, depth, 0.02))
    floor.apply_translation((0, 0, FLOOR_HEIGHT - 0.01))
    shell = trimesh.creation.box(extents=(width, depth, CEILING_HEIGHT - FLOOR_HEIGHT + 0.01))
    shell.apply_translation((0, 0, (CEILING_HEIGHT + FLOOR_HEIGHT - 0.01) / 2))
    return [
        _flat_group(corners, normals, 1),
        _flat_group(floor.triangles.astype(np.float32), None, 2),
        _flat_group(shell.triangles.astype(np.float32), None, 3),
    ]


def _flat_group(
    corners: NDArray[np.float32], normals: NDArray[np.float32] | None, identity: int
) -> Triangles:
    """Wrap a surface of the room; its material is its id less one."""
    if normals is None:
        crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        crosses /= np.linalg.norm(crosses, axis=1, keepdims=True)
        normals = np.repeat(crosses[:, None, :], 3, axis=1).astype(np.float32)
    count = len(corners)
    return Triangles(
        corners.astype(np.float32),
        normals,
        corners.astype(np.float32),
        np.ones((count, 3), dtype=np.float32),
        np.full(count, identity, dtype=np.uint8),
        np.zeros(count, dtype=np.uint8),
        np.full(count, identity - 1, dtype=np.int16),
    )
