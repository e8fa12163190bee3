"""Plain descriptions: which names they fit, word by word, and what they call a thing."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Words of a description that ask for nothing by themselves.
_EMPTY = re.compile(
    r"(?:an?|the|that|this|these|those|all|any|every|each|both|single|of|is|are|which|please"
    r"|them|there|it"
    r"|ones?|objects?|things?|items?|everything|anything|something|two|three|four|five|six)"
)

_SEVERAL = re.compile(
    r"all|any|every|everything|anything|each|both|two|three|four|five|six|ones|objects|things|items"
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
    for part in split(description):
        wanted = {_as_known(word, words) for word in _content(part)}
        if not wanted or not wanted <= words:
            return []
        found |= {i for i, name in enumerate(known) if wanted <= name}
    return sorted(found)


def split(description: str) -> list[str]:
    """Take "the mug and the box" apart; other descriptions are one part, in lower case.

    "The mug, the blue one" is one thing.
    """
    text = re.sub(r",\s*the (\w+) (?=ones?\b)", r" \1 ", description.lower())
    return re.split(r"\band\b|,(?=\s*(?:the|an?)\b)", text)


def plain_name(description: str) -> str:
    """Return what a description without a place calls one thing: "red mug" for "all red mugs".

    Empty when it calls it nothing: "the object", "all of them".
    """
    return " ".join(singular(word) for word in _content(description))


def asks_for_several(description: str) -> bool:
    """Return whether a description is of several things: "all mugs", "every bowl", "boxes"."""
    words = _words(description)
    return any(_SEVERAL.fullmatch(word) or singular(word) != word for word in words)


def singular(word: str) -> str:
    """Return the singular of an English noun, by its ending."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[: -2 if word.endswith(("ches", "shes", "sses", "xes", "zes")) else -1]


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def _content(text: str) -> list[str]:
    """Return the words that count."""
    return [word for word in _words(text) if not _EMPTY.fullmatch(word)]


def _as_known(word: str, known: set[str]) -> str:
    """Return a word as it stands in names, where its singular does and it does not."""
    return word if word in known or singular(word) not in known else singular(word)
