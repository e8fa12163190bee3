"""A static tabletop world that can be rendered from any camera."""

from __future__ import annotations

import zlib

import numpy as np
import trimesh
from numpy.typing import NDArray

from rose_ros.data.tabletop import materials as stuff
from rose_ros.data.tabletop.camera import View, ray_directions
from rose_ros.data.tabletop.catalogue import accent_of
from rose_ros.data.tabletop.layout import Placement, Table, draw_names, place
from rose_ros.data.tabletop.meshes import Shape, assemble, box, revolve, rod
from rose_ros.data.tabletop.raycast import RayCaster, Triangles
from rose_ros.data.tabletop.scene import Scene, SceneObject
from rose_ros.data.tabletop.shading import Lighting, Sensor, expose, shade
from rose_ros.data.tabletop.vocabulary import NOVEL_PAIRS, PART_NAMES, PARTS, SPLITS, SURFACES
from rose_ros.errors import DataError

#: Keeps this world's random streams apart from others that start from the same small seeds.
_STREAM = 0x7AB1E

FLOOR_HEIGHT = -0.72


class World:
    """Objects on a table in a room, with their light; made by ``build_world``.

    seed, split: what it was made from. objects: ascending ids, the room's surfaces first.
    default_view: the camera that ``render`` uses.
    """

    def __init__(
        self,
        seed: int,
        split: str,
        objects: tuple[SceneObject, ...],
        triangles: Triangles,
        materials: tuple[stuff.Material, ...],
        surfaces: tuple[stuff.Surface, ...],
        lighting: Lighting,
        sensor: Sensor,
        default_view: View,
    ) -> None:
        """Keep the parts; the ray caster is built when the first image is asked for."""
        self.seed = seed
        self.split = split
        self.objects = objects
        self.default_view = default_view
        self._triangles = triangles
        self._materials = materials
        self._surfaces = surfaces
        self._lighting = lighting
        self._sensor = sensor
        self._caster: RayCaster | None = None

    def render(
        self, view: View | None = None, *, height: int, width: int, pixel_aspect: float = 1.0
    ) -> Scene:
        """Render the world; ``pixel_aspect`` is a pixel's width over its height.

        The same arguments give the same scene, sensor noise included. Raises ``DataError`` for an
        impossible size.
        """
        view = view or self.default_view
        intrinsics = view.intrinsics(height, width, pixel_aspect)
        pose = view.camera_to_world()
        directions = ray_directions(intrinsics, pose, height, width)
        if self._caster is None:
            self._caster = RayCaster(self._triangles.corners)
        hits = self._caster.cast(pose[:3, 3], directions)
        light, normals = shade(
            self._triangles,
            self._caster,
            self._materials,
            self._surfaces,
            self._lighting,
            hits,
            pose[:3, 3],
            directions,
        )
        seen = hits.face >= 0
        ids = np.where(seen, self._triangles.owner[hits.face], 0).astype(np.uint8)
        parts = np.where(seen, self._triangles.part[hits.face], 0).astype(np.uint8)
        noise = np.random.default_rng([_STREAM, self.seed, zlib.crc32(repr(view).encode())])
        return Scene(
            image=expose(light.reshape(height, width, 3), self._sensor, noise),
            ids=ids.reshape(height, width),
            parts=parts.reshape(height, width),
            part_names=PART_NAMES,
            depth=hits.depth.reshape(height, width),
            normals=normals.astype(np.float16).reshape(height, width, 3),
            intrinsics=intrinsics,
            camera_to_world=pose,
            objects=self.objects,
        )

    def orbit(self, count: int, degrees: float = 12.0) -> list[View]:
        """Return a closed camera path of ``count`` views that starts at the default view."""
        if count < 1:
            raise DataError(f"an orbit needs at least 1 view, not {count}")
        turns = 2.0 * np.pi * np.arange(count) / count
        swing = np.deg2rad(degrees)
        return [
            self.default_view.orbited(swing * np.sin(turn), 0.4 * swing * np.sin(2.0 * turn))
            for turn in turns.tolist()
        ]


def build_world(seed: int, split: str = "train") -> World:
    """Build the world of a seed; every split has its own random stream.

    Raises ``DataError`` when the split is unknown or the seed negative.
    """
    if split not in SPLITS:
        raise DataError(f"split {split!r} is not known; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise DataError(f"seed {seed} is negative; use 0 or more")
    rng = np.random.default_rng([_STREAM, SPLITS.index(split), seed])
    table = _draw_table(rng)
    view = _draw_view(rng, table)
    placements = place(draw_names(rng, split), table, view, rng)
    if split == "novel":
        placements = _keep_half_novel(placements)
    room = _Room.draw(rng)
    objects = [*_surface_objects(table, room)]
    groups = _room_triangles(table, room)
    materials = [stuff.Material((1.0, 1.0, 1.0), gloss=s.gloss) for s in room.surfaces]
    materials += [stuff.STEEL, stuff.DARK, stuff.PAPER, stuff.FLAME]
    for placement in placements:
        identity = len(objects) + 1
        accent = accent_of(placement.noun, placement.colour, rng)
        body = stuff.material(placement.colour, rng)
        detail = body if accent == placement.colour else stuff.material(accent, rng)
        first = len(materials)
        materials += [body, detail]
        # Slots BODY, ACCENT, STEEL, DARK, PAPER, FLAME in the order of meshes.Slot.
        wear = np.array([first, first + 1, 3, 4, 5, 6], dtype=np.int16)
        group = _object_triangles(placement, identity, wear)
        groups.append(group)
        objects.append(_scene_object(placement, identity, group))
    return World(
        seed,
        split,
        tuple(objects),
        Triangles.joined(groups),
        tuple(materials),
        room.surfaces,
        _draw_lighting(rng),
        _draw_sensor(rng),
        view,
    )


class _Room:
    """Half extents and height of the room around the table, and the look of its surfaces."""

    def __init__(
        self, half: tuple[float, float], ceiling: float, surfaces: tuple[stuff.Surface, ...]
    ) -> None:
        self.half = half
        self.ceiling = ceiling
        self.surfaces = surfaces

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Room:
        half = (float(rng.uniform(1.5, 2.6)), float(rng.uniform(1.5, 2.6)))
        surfaces = tuple(stuff.surface(kind, rng) for kind in SURFACES)
        return cls(half, 2.0, surfaces)


def _keep_half_novel(placements: list[Placement]) -> list[Placement]:
    """Drop familiar objects from the end until at least half of the rest are novel."""
    novel = sum((entry.colour, entry.noun) in NOVEL_PAIRS for entry in placements)
    return placements[: max(2 * novel, 1)]


def _draw_table(rng: np.random.Generator) -> Table:
    thickness = float(rng.uniform(0.02, 0.045))
    if rng.random() < 0.25:
        radius = float(rng.uniform(0.55, 0.78))
        return Table((radius, radius), True, thickness)
    return Table((float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.5, 0.75))), False, thickness)


def _draw_view(rng: np.random.Generator, table: Table) -> View:
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


def _draw_lighting(rng: np.random.Generator) -> Lighting:
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
        _triple(lamp),
        _triple(fill_direction),
        _triple(fill),
        _triple(above),
        _triple(below),
    )


def _draw_sensor(rng: np.random.Generator) -> Sensor:
    return Sensor(
        exposure=float(rng.uniform(0.7, 0.95)),
        vignette=float(rng.uniform(0.0, 0.22)),
        noise=float(rng.uniform(0.5, 3.5)),
        blur=bool(rng.random() < 0.4),
    )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    r, g, b = values.tolist()
    return r, g, b


def _surface_objects(table: Table, room: _Room) -> list[SceneObject]:
    """Describe the table, the floor and the wall."""
    width, depth = 2 * room.half[0], 2 * room.half[1]
    middle = (FLOOR_HEIGHT + room.ceiling) / 2
    leg = -FLOOR_HEIGHT
    return [
        SceneObject(
            1, "table", "", (0.0, 0.0, -leg / 2), (2 * table.half[0], 2 * table.half[1], leg)
        ),
        SceneObject(2, "floor", "", (0.0, 0.0, FLOOR_HEIGHT), (width, depth, 0.0)),
        SceneObject(3, "wall", "", (0.0, 0.0, middle), (width, depth, room.ceiling - FLOOR_HEIGHT)),
    ]


def _room_triangles(table: Table, room: _Room) -> list[Triangles]:
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
    furniture = assemble([top, *legs])
    shift = np.array([0.0, 0.0, FLOOR_HEIGHT], dtype=np.float32)
    width, depth = 2 * room.half[0], 2 * room.half[1]
    floor = trimesh.creation.box(extents=(width, depth, 0.02))
    floor.apply_translation((0, 0, FLOOR_HEIGHT - 0.01))
    shell = trimesh.creation.box(extents=(width, depth, room.ceiling - FLOOR_HEIGHT + 0.01))
    shell.apply_translation((0, 0, (room.ceiling + FLOOR_HEIGHT - 0.01) / 2))
    return [
        _flat_group(furniture.corners + shift, furniture.normals, 1),
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


def _object_triangles(placement: Placement, identity: int, wear: NDArray[np.int16]) -> Triangles:
    """Scale, turn and shift a shape into the world; ``wear`` maps slots to materials."""
    shape: Shape = placement.shape
    cos, sin = np.cos(placement.yaw), np.sin(placement.yaw)
    rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    linear = (rotation * placement.scale).T.astype(np.float32)
    inverse = (rotation / placement.scale).T.astype(np.float32)
    shift = np.array([placement.x, placement.y, 0.0], dtype=np.float32)
    normals = shape.normals @ inverse
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return Triangles(
        shape.corners @ linear + shift,
        normals,
        shape.corners,
        shape.openness,
        np.full(len(shape.slots), identity, dtype=np.uint8),
        shape.parts,
        wear[shape.slots],
    )


def _scene_object(placement: Placement, identity: int, group: Triangles) -> SceneObject:
    """Describe a placed object by its bounds in the world."""
    low, high = group.corners.min(axis=(0, 1)), group.corners.max(axis=(0, 1))
    return SceneObject(
        identity,
        placement.noun,
        placement.colour,
        _triple((low + high) / 2),
        _triple(high - low),
        PARTS.get(placement.noun, ()),
    )
