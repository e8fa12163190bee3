"""Who stands where: names by split, poses by rejection on footprints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop.camera import View
from rose_ros.data.tabletop.catalogue import ENLARGED, LYING, VARIANTS, shape_of
from rose_ros.data.tabletop.meshes import Shape
from rose_ros.data.tabletop.vocabulary import NOUNS, NOVEL_PAIRS, colours_of

MAX_OBJECTS = 12
#: Free space between footprints, metres.
CLEARANCE = 0.006
_TRIES = 60


@dataclass(frozen=True, slots=True)
class Table:
    """The table top on z = 0: half extents in metres; round ones have equal extents."""

    half: tuple[float, float]
    round: bool
    thickness: float

    def holds(self, x: float, y: float, radius: float) -> bool:
        """Tell whether a disc lies on the table top."""
        if self.round:
            return bool(np.hypot(x, y) + radius < self.half[0])
        return abs(x) + radius < self.half[0] and abs(y) + radius < self.half[1]


@dataclass(frozen=True, slots=True)
class Placement:
    """One object on the table: its mesh, its scale along x, y, z, its yaw and its place."""

    noun: str
    colour: str
    shape: Shape
    scale: NDArray[np.float64]
    yaw: float
    x: float
    y: float


def draw_names(rng: np.random.Generator, split: str) -> list[tuple[str, str]]:
    """Draw 1 to 12 (colour, noun) pairs; in the split "novel" the novel ones come first."""
    few = rng.random() < 0.12
    count = int(rng.integers(1, 4) if few else rng.integers(4, MAX_OBJECTS + 1))
    novel = (count + 1) // 2 if split == "novel" else 0
    held_out = sorted(NOVEL_PAIRS)
    chosen = rng.permutation(len(held_out))[:novel]
    names = [held_out[k] for k in chosen]
    while len(names) < count:
        noun = str(rng.choice(NOUNS))
        colour = str(rng.choice(colours_of(noun)))
        # Repeat a noun or a colour of the scene often: what tells things apart is then the other.
        repeat = rng.random()
        if names and repeat < 0.2:
            noun = names[rng.integers(len(names))][1]
        elif names and repeat < 0.4:
            colour = names[rng.integers(len(names))][0]
        if colour in colours_of(noun) and (colour, noun) not in NOVEL_PAIRS:
            names.append((colour, noun))
    return names


def place(
    names: list[tuple[str, str]],
    table: Table,
    view: View,
    rng: np.random.Generator,
) -> list[Placement]:
    """Place named objects without overlap in what the view sees of the table.

    Objects that find no room are left out; the first always finds room.
    """
    offset = np.array(view.position) - np.array(view.target)
    distance = float(np.linalg.norm(offset))
    heading = float(np.arctan2(offset[1], offset[0]))
    half_height = distance * np.tan(view.vertical_fov / 2)
    spread = rng.uniform(0.55, 1.0)
    lateral = spread * 1.15 * half_height
    depth = spread * min(0.95 * half_height * distance / offset[2], 0.5 * distance)
    placed: list[Placement] = []
    discs = np.zeros((0, 3))
    for colour, noun in names:
        shape, scale = _draw_shape(noun, rng)
        for attempt in range(_TRIES):
            yaw = float(rng.uniform(0, 2 * np.pi))
            near, side = rng.uniform(-depth, depth), rng.uniform(-lateral, lateral)
            x = view.target[0] + near * np.cos(heading) - side * np.sin(heading)
            y = view.target[1] + near * np.sin(heading) + side * np.cos(heading)
            if not placed and attempt == _TRIES - 1:
                x, y = 0.0, 0.0
            footprint = _footprint(shape, scale, yaw, x, y)
            if not all(table.holds(px, py, 0.8 * r) for px, py, r in footprint.tolist()):
                continue
            gaps = np.hypot(
                footprint[:, None, 0] - discs[None, :, 0], footprint[:, None, 1] - discs[None, :, 1]
            )
            if (gaps < footprint[:, None, 2] + discs[None, :, 2] + CLEARANCE).any():
                continue
            placed.append(Placement(noun, colour, shape, scale, yaw, float(x), float(y)))
            discs = np.concatenate([discs, footprint])
            break
    return placed


def _draw_shape(noun: str, rng: np.random.Generator) -> tuple[Shape, NDArray[np.float64]]:
    """Choose a variant, a pose and a scale."""
    lying = rng.random() < LYING.get(noun, 0.0)
    shape = shape_of(noun, int(rng.integers(VARIANTS)), bool(lying))
    scale = rng.uniform(0.88, 1.14) * ENLARGED.get(noun, 1.0) * np.ones(3)
    if noun not in ("ball", "cube", "die") and not lying:
        scale[2] *= rng.uniform(0.94, 1.07)
    return shape, scale


def _footprint(
    shape: Shape, scale: NDArray[np.float64], yaw: float, x: float, y: float
) -> NDArray[np.float64]:
    """Cover the object's oriented bounding rectangle with discs (n, 3): x, y, radius."""
    length, width = (shape.extents[:2] * scale[:2]).tolist()
    turn = yaw if length >= width else yaw + np.pi / 2
    longer, shorter = max(length, width), min(length, width)
    count = int(np.ceil(longer / shorter))
    steps = (np.arange(count) + 0.5) / count - 0.5
    # Nearly square: one disc over the corners, as two would reach further.
    if longer / shorter < 1.15:
        return np.array([[x, y, 0.5 * np.hypot(longer, shorter)]])
    radius = 0.5 * np.hypot(longer / count, shorter)
    centres = np.stack([x + steps * longer * np.cos(turn), y + steps * longer * np.sin(turn)], 1)
    return np.concatenate([centres, np.full((count, 1), radius)], axis=1)
