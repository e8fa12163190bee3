"""A camera over a table: procedural scenes with exact ids, parts, depth and names.

The training set, the test set and the simulated camera of the demo.
"""

from __future__ import annotations

from rose_ros.data.tabletop.camera import View
from rose_ros.data.tabletop.scene import Scene, SceneObject
from rose_ros.data.tabletop.vocabulary import (
    COLOURS,
    NOUNS,
    NOVEL_PAIRS,
    PART_NAMES,
    PARTS,
    SPLITS,
    SURFACES,
)
from rose_ros.data.tabletop.world import World, build_world

__all__ = [
    "COLOURS",
    "NOUNS",
    "NOVEL_PAIRS",
    "PARTS",
    "PART_NAMES",
    "SPLITS",
    "SURFACES",
    "Scene",
    "SceneObject",
    "View",
    "World",
    "build_world",
    "render",
]


def render(
    seed: int,
    split: str = "train",
    *,
    height: int = 240,
    width: int = 320,
    pixel_aspect: float = 1.0,
    view: View | None = None,
) -> Scene:
    """Render the scene of a seed: deterministic from seed, split, size and view.

    ``pixel_aspect`` is a pixel's width over its height: 240x240 with 4/3 shows what 240x320 shows.
    Raises ``DataError`` for an unknown split, a negative seed or an impossible size.
    """
    world = build_world(seed, split)
    return world.render(view, height=height, width=width, pixel_aspect=pixel_aspect)
