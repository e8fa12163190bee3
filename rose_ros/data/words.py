"""Small words around the tabletop vocabulary: plurals, articles and the held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from rose_ros.data.tabletop.vocabulary import NOVEL_PAIRS

T = TypeVar("T")

_IRREGULAR = {"die": "dice", "knife": "knives", "scissors": "scissors"}


def plural(noun: str) -> str:
    """Return the plural of an English noun, e.g. "box" -> "boxes"."""
    head, _, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}" if head else last


def with_article(phrase: str) -> str:
    """Return the phrase with "a" or "an" before it."""
    return f"an {phrase}" if phrase[:1] in "aeiou" else f"a {phrase}"


def part_words(part: str) -> dict[str, str]:
    """Return the slots of a named part and its verb; "pages" and "legs" are plural."""
    if part.endswith("s"):
        return {"part": part, "a_part": part, "is_part": "are", "s_part": ""}
    return {"part": part, "a_part": with_article(part), "is_part": "is", "s_part": "s"}


def is_novel(colour: str, noun: str) -> bool:
    """Tell whether the pair is held out of everything the model trains on."""
    return (colour, noun) in NOVEL_PAIRS


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options, all equally likely; a generator's own choice is 20x slower."""
    return options[int(rng.integers(len(options)))]
