"""What things in the tabletop world are called, and which names are kept out of training."""

from __future__ import annotations

SPLITS: tuple[str, ...] = ("train", "test", "novel")

NOUNS: tuple[str, ...] = (
    "ball",
    "barrel",
    "bell",
    "book",
    "bottle",
    "bowl",
    "box",
    "bucket",
    "can",
    "candle",
    "cone",
    "cube",
    "die",
    "dumbbell",
    "funnel",
    "gear",
    "goblet",
    "hammer",
    "jar",
    "kettle",
    "lamp",
    "mug",
    "pan",
    "plate",
    "pyramid",
    "ring",
    "screwdriver",
    "spoon",
    "stool",
    "tray",
    "vase",
    "wrench",
)

COLOURS: tuple[str, ...] = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
    "wooden",
    "steel",
    "copper",
)

#: Room surfaces, named by the noun alone; their ids in every scene.
SURFACES: dict[str, int] = {"table": 1, "floor": 2, "wall": 3}

#: Named parts by noun. A noun that is not listed has none.
PARTS: dict[str, tuple[str, ...]] = {
    "bell": ("handle",),
    "book": ("pages",),
    "bottle": ("cap",),
    "box": ("lid",),
    "bucket": ("handle",),
    "candle": ("flame",),
    "dumbbell": ("handle",),
    "funnel": ("spout",),
    "goblet": ("stem",),
    "hammer": ("handle", "head"),
    "jar": ("lid",),
    "kettle": ("handle", "lid", "spout"),
    "lamp": ("base", "shade"),
    "mug": ("handle",),
    "pan": ("handle",),
    "screwdriver": ("handle", "shaft"),
    "spoon": ("handle",),
    "stool": ("legs", "seat"),
    "tray": ("handles",),
    "wrench": ("jaw",),
}

#: The values of ``Scene.parts`` index this tuple; index 0 means "no named part".
PART_NAMES: tuple[str, ...] = ("", *sorted({name for names in PARTS.values() for name in names}))

#: Combinations that are left out because nobody would expect them.
UNSUITABLE: dict[str, frozenset[str]] = {
    "book": frozenset({"steel", "copper", "wooden"}),
    "candle": frozenset({"steel", "copper", "wooden"}),
}

#: (colour, noun) pairs that the splits "train" and "test" never contain. Two per colour and one per
#: noun, so that each of the words is met often in training and only their combination is new.
NOVEL_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "kettle"),
        ("red", "funnel"),
        ("orange", "bottle"),
        ("orange", "bell"),
        ("yellow", "bucket"),
        ("yellow", "wrench"),
        ("green", "ball"),
        ("green", "pan"),
        ("blue", "bowl"),
        ("blue", "cone"),
        ("purple", "vase"),
        ("purple", "cube"),
        ("pink", "candle"),
        ("pink", "jar"),
        ("brown", "book"),
        ("brown", "goblet"),
        ("black", "hammer"),
        ("black", "ring"),
        ("white", "stool"),
        ("white", "plate"),
        ("grey", "pyramid"),
        ("grey", "lamp"),
        ("wooden", "spoon"),
        ("wooden", "box"),
        ("steel", "can"),
        ("steel", "tray"),
        ("copper", "mug"),
        ("copper", "gear"),
    }
)


def colours_of(noun: str) -> tuple[str, ...]:
    """Return the colours that ``noun`` may have, novel pairs included."""
    unsuitable = UNSUITABLE.get(noun, frozenset())
    return tuple(colour for colour in COLOURS if colour not in unsuitable)
