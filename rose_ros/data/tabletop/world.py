"""A static tabletop world that can be rendered from any camera."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import materials as stuff
from rose_ros.data.tabletop.camera import View, ray_directions
from rose_ros.data.tabletop.catalogue import accent_of
from rose_ros.data.tabletop.layout import Placement, draw_names, place
from rose_ros.data.tabletop.meshes import Shape
from rose_ros.data.tabletop.raycast import RayCaster, Triangles
from rose_ros.data.tabletop.room import (
    draw_lighting,
    draw_room,
    draw_sensor,
    draw_table,
    draw_view,
    room_triangles,
    surface_objects,
    triple,
)
from rose_ros.data.tabletop.scene import Scene, SceneObject
from rose_ros.data.tabletop.shading import Lighting, Sensor, expose, shade
from rose_ros.data.tabletop.vocabulary import NOVEL_PAIRS, PART_NAMES, PARTS, SPLITS
from rose_ros.errors import DataError

#: Keeps this world's random streams apart from others that start from the same small seeds.
_STREAM = 0x7AB1E

#: Rays shaded at once: few enough for the intermediate arrays to stay in the cache.
_CHUNK = 32768


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
        count = height * width
        light, normals = np.empty((count, 3), np.float32), np.empty((count, 3), np.float16)
        depth, face = np.empty(count, np.float32), np.empty(count, np.int32)
        for start in range(0, count, _CHUNK):
            rays = slice(start, start + _CHUNK)
            hits = self._caster.cast(pose[:3, 3], directions[rays])
            face[rays], depth[rays] = hits.face, hits.depth
            light[rays], normals[rays] = shade(
                self._triangles,
                self._caster,
                self._materials,
                self._surfaces,
                self._lighting,
                hits,
                pose[:3, 3],
                directions[rays],
            )
        noise = np.random.default_rng([_STREAM, self.seed, zlib.crc32(repr(view).encode())])
        return Scene(
            image=expose(light.reshape(height, width, 3), self._sensor, noise),
            ids=self._triangles.owner[face].reshape(height, width),
            parts=self._triangles.part[face].reshape(height, width),
            part_names=PART_NAMES,
            depth=depth.reshape(height, width),
            normals=normals.reshape(height, width, 3),
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
    table = draw_table(rng)
    view = draw_view(rng, table)
    placements = place(draw_names(rng, split), table, view, rng)
    if split == "novel":
        placements = _keep_half_novel(placements)
    room = draw_room(rng)
    objects = [*surface_objects(table, room)]
    groups = room_triangles(table, room)
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
        draw_lighting(rng),
        draw_sensor(rng),
        view,
    )


def _keep_half_novel(placements: list[Placement]) -> list[Placement]:
    """Drop familiar objects from the end until at least half of the rest are novel."""
    novel = sum((entry.colour, entry.noun) in NOVEL_PAIRS for entry in placements)
    return placements[: max(2 * novel, 1)]


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
        triple((low + high) / 2),
        triple(high - low),
        PARTS.get(placement.noun, ()),
    )
