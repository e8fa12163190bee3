"""From a noun to its mesh: which builder, how many variants, which materials the details wear."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from rose_ros.data.tabletop import household, workshop
from rose_ros.data.tabletop.meshes import Piece, Shape, assemble
from rose_ros.data.tabletop.vocabulary import NOUNS

BUILDERS: dict[str, Callable[[np.random.Generator], list[Piece]]] = {
    "ball": workshop.ball,
    "barrel": workshop.barrel,
    "bell": household.bell,
    "book": household.book,
    "bottle": household.bottle,
    "bowl": household.bowl,
    "box": workshop.box_with_lid,
    "bucket": workshop.bucket,
    "can": household.can,
    "candle": household.candle,
    "cone": workshop.cone,
    "cube": workshop.cube,
    "die": workshop.die,
    "dumbbell": workshop.dumbbell,
    "funnel": household.funnel,
    "gear": workshop.gear,
    "goblet": household.goblet,
    "hammer": workshop.hammer,
    "jar": household.jar,
    "kettle": household.kettle,
    "lamp": household.lamp,
    "mug": household.mug,
    "pan": household.pan,
    "plate": household.plate,
    "pyramid": workshop.pyramid,
    "ring": workshop.ring,
    "screwdriver": workshop.screwdriver,
    "spoon": household.spoon,
    "stool": household.stool,
    "tray": household.tray,
    "vase": household.vase,
    "wrench": workshop.wrench,
}

#: Meshes per noun that differ in proportions.
VARIANTS = 3

#: Small or thin things are enlarged so that a camera of 240 lines can tell them apart.
ENLARGED: dict[str, float] = {
    "ball": 1.12,
    "dumbbell": 1.1,
    "gear": 1.2,
    "hammer": 1.15,
    "ring": 1.15,
    "screwdriver": 1.25,
    "spoon": 1.1,
    "wrench": 1.25,
}

#: Nouns that also lie on their side, with the probability of that.
LYING: dict[str, float] = {"bottle": 0.25, "can": 0.25, "barrel": 0.25}

#: Details of an object that may differ from its named colour: probability and choices. Only
#: neutral materials, never the larger share of the surface, so that the name stays unambiguous.
#: Heads and shafts of tools and the ends of cans are bare steel whatever the name says.
ACCENTS: dict[str, tuple[float, tuple[str, ...]]] = {
    "barrel": (1.0, ("black", "steel")),
    "bell": (0.7, ("black", "wooden")),
    "bottle": (0.9, ("white", "black", "steel")),
    "bucket": (1.0, ("steel", "black")),
    "die": (1.0, ("white", "black")),
    "dumbbell": (0.8, ("steel", "black")),
    "jar": (0.9, ("white", "black", "steel", "wooden")),
    "kettle": (0.7, ("black", "wooden")),
    "lamp": (0.8, ("black", "steel", "wooden", "white")),
    "mug": (0.15, ("black", "white")),
    "pan": (0.7, ("black", "wooden")),
    "stool": (0.4, ("black", "steel", "wooden")),
    "tray": (0.5, ("black", "steel", "wooden")),
}

#: Bodies on which a die's pips are black.
LIGHT_COLOURS = frozenset({"white", "yellow", "pink", "orange", "steel", "wooden"})


@cache
def shape_of(noun: str, variant: int, lying: bool) -> Shape:
    """Build one variant of a noun's mesh; the same arguments give the same mesh everywhere."""
    rng = np.random.default_rng([NOUNS.index(noun), variant])
    rotation = None
    if lying:
        rotation = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    return assemble(BUILDERS[noun](rng), rotation)


def accent_of(noun: str, colour: str, rng: np.random.Generator) -> str:
    """Choose the material name of an object's details; ``colour`` itself is the usual answer."""
    probability, choices = ACCENTS.get(noun, (0.0, ()))
    if noun == "die":
        return "black" if colour in LIGHT_COLOURS else "white"
    if rng.random() >= probability:
        return colour
    others = [choice for choice in choices if choice != colour]
    return str(rng.choice(others))
