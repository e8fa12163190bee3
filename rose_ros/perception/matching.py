"""Which of the named segments a plain description means, by the words of their names alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Words of a description that ask for nothing by themselves.
_EMPTY = re.compile(
    r"(?:an?|the|that|this|these|those|all|any|every|each|both|single|of|is|are|which|please"
    r"|ones?|objects?|things?|items?|everything|anything|something|two|three|four|five|six)"
)

_IRREGULAR = {"dice": "die", "knives": "knife", "leaves": "leaf", "shelves": "shelf"}


def match_names(description: str, names: Sequence[str]) -> list[int]:
    """Return the indices of the names that a description fits; none when names cannot tell.

    "the red mug" fits names with both words, "all bowls" every bowl, "the mug and the box" either.
    Names can tell when every word that counts occurs in some of them; a word that no name has
    ("leftmost", "behind", a synonym) is for the model.
    """
    known = [set(name.split()) for name in names]
    words = set().union(*known) if known else set()
    found: set[int] = set()
    for part in re.split(r"\band\b|,(?=\s*(?:the|an?)\b)", description.lower()):
        wanted = _content(part, words)
        if not wanted or not wanted <= words:
            return []
        found |= {i for i, name in enumerate(known) if wanted <= name}
    return sorted(found)


def _content(text: str, known: set[str]) -> set[str]:
    """Return the words that count, as they stand in names where a known singular fits."""
    plain = [word for word in re.findall(r"[\w'-]+", text) if not _EMPTY.fullmatch(word)]
    return {_singular(word, known) for word in plain}


def _singular(word: str, known: set[str]) -> str:
    options = [word, word.removesuffix("s"), word.removesuffix("es"), _IRREGULAR.get(word, word)]
    if word.endswith("ies"):
        options.append(f"{word[:-3]}y")
    return next((one for one in options if one in known), word)
