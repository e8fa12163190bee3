"""Which segments a description means, by their names, their places and their sizes.

"The red mug", "the leftmost bowl", "the ball left of the box": words of names say what, the rest
says where. What neither can tell is left to the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.matching import asks_for_several, match_names, plain_name, split
from rose_ros.perception.phrasing import IT, MOVE, NO_THING, OTHER, STAY

#: Shares of the image: how far apart two things must be for one to be left of the other, and how
#: far to the side something may be that is in front of the other.
_APART, _ASIDE = 0.03, 0.3
#: Where things stand is no "object": what is called so, or covers more than this of the image.
_GROUND = frozenset(("table", "floor", "wall", "ground", "desk", "counter", "shelf", "ceiling"))
_GROUND_SHARE = 0.3
#: A name is taken for a thing from this likelihood on; of several things, each of at least that
#: share of the best. Longer names than this many words are descriptions, for the model to read.
LIKELY, _ALIKE, _NAME_WORDS = 0.2, 0.5, 2


@dataclass(frozen=True, slots=True)
class Thing:
    """A segment as a description sees it.

    box: (x0, y0, x1, y1) and centre: (x, y), the mean of its pixels, in shares of the image's width
    and height. area: share of the image.
    """

    name: str
    box: tuple[float, float, float, float]
    centre: tuple[float, float]
    area: float

    @property
    def is_ground(self) -> bool:
        """Whether it is table, floor or wall rather than a thing on it."""
        return self.area > _GROUND_SHARE or not _GROUND.isdisjoint(self.name.split())


def asks_for_other(text: str) -> bool:
    """Say whether a text wants something left out, or taken instead."""
    return bool(OTHER.search(text.lower()))


def asks_to_move(text: str) -> bool:
    """Say whether a text wants another thing altogether, not another outline of this one."""
    plain = text.lower()
    return bool(MOVE.search(plain)) and not STAY.search(plain)


def make_thing(
    name: str, crop: NDArray[np.bool_], corner: tuple[int, int], size: tuple[int, int]
) -> Thing:
    """Describe a mask, bool (h, w), whose corner (x, y) lies in an image of (height, width)."""
    height, width = size
    (x, y), (rows, columns) = corner, crop.shape
    area = max(1, int(np.count_nonzero(crop)))
    middle_x = x + 0.5 + float(crop.sum(axis=0) @ np.arange(columns)) / area
    middle_y = y + 0.5 + float(crop.sum(axis=1) @ np.arange(rows)) / area
    return Thing(
        name,
        (x / width, y / height, (x + columns) / width, (y + rows) / height),
        (middle_x / width, middle_y / height),
        area / (height * width),
    )


Relation = Callable[[Thing, Thing], bool]
Rank = Callable[[Thing], float]


class Scene:
    """The segments of one frame, with what the model says of a name that none of them bears.

    likelihood: from a name to float (n,) in [0, 1], how probable it is for each thing.
    it: the index of what a correction is about, which "it" points to; None when there is none.
    """

    def __init__(
        self,
        things: Sequence[Thing],
        likelihood: Callable[[str], NDArray[np.float32]],
        it: int | None = None,
    ) -> None:
        """Keep the things; ``likelihood`` is only asked when it is needed."""
        self._things = things
        self._it = it
        self._names = [thing.name for thing in things]
        self._likelihood = likelihood

    def refer(self, description: str) -> list[int] | None:
        """Return the indices of the things that a description means, ascending.

        Empty when nothing fits. None when names and places cannot tell: the description says more.
        """
        text = " ".join(description.lower().strip(" .,;:!?").split())
        if self._it is not None:
            if IT.fullmatch(text):
                return [self._it]
            rest, count = _OTHER_ONE.subn("", text)
            if count:
                return self._without_it(self._candidates(rest))
        for pattern, holds in _RELATIONS:
            match = pattern.fullmatch(text)
            if match:
                return self._related(match["what"], match["anchor"], holds)
        for pattern, rank in _RANKS:
            rest, count = pattern.subn(" ", text)
            if count:
                return self._first(rest, rank)
        return match_names(text, self._names) or self._likely(text)

    def refer_within(self, text: str) -> list[int] | None:
        """Return what a sentence speaks of: "not that one, the red mug" means the red mug.

        A phrase that fits what the correction is about speaks of that, not of what is wanted. Empty
        when nothing here is what it speaks of; None when it cannot be told.
        """
        answers = [self.refer(phrase) for phrase in phrases(text)]
        answers = [[] if answer and self._it in answer else answer for answer in answers]
        found = next((answer for answer in answers if answer), None)
        return found or (None if None in answers or not answers else [])

    def _without_it(self, found: list[int] | None) -> list[int] | None:
        return found and [i for i in found if i != self._it]

    def missing(self, text: str, label: str) -> str:
        """Return what a correction of what is called ``label`` speaks of that is not here, or "".

        Only what is to be left out or taken instead: what is to be added is mostly a part, and
        parts are no things of their own.
        """
        if not asks_for_other(text):
            return ""
        for phrase in phrases(text):
            words = bare_name(phrase).split()
            own = set(words) <= set(label.split()) or words[-1:] == label.split()[-1:]
            if not words or own or any(NO_THING.fullmatch(word) for word in words):
                continue
            if self.refer(phrase) == []:
                return " ".join(words)
        return ""

    def _likely(self, text: str) -> list[int] | None:
        """Return what may be called so although the model's first choice was another name."""
        found: set[int] = set()
        for part in split(text):
            name = plain_name(part)
            if not 1 <= len(name.split()) <= _NAME_WORDS:
                return None
            known = match_names(part, self._names)
            found.update(known or self._likeliest(name, several=asks_for_several(part)))
        return sorted(found)

    def _likeliest(self, name: str, several: bool) -> list[int]:
        scores = self._likelihood(name) if self._things else np.zeros(0)
        best = max(scores, default=0.0)
        if best < LIKELY:
            return []
        if not several:
            return [int(np.argmax(scores))]
        return [i for i, score in enumerate(scores) if score >= max(LIKELY, _ALIKE * best)]

    def _related(self, what: str, anchor: str, holds: Relation) -> list[int] | None:
        """Return what stands as asked to any of the anchors."""
        anchors, wanted = self.refer(anchor), self._candidates(what)
        if self._it is not None and anchors == [self._it]:
            wanted = self._without_it(wanted)
        if anchors is None or wanted is None:
            return None
        things = self._things
        found = [i for i in wanted if any(i != j and holds(things[i], things[j]) for j in anchors)]
        if len(found) > 1 and not asks_for_several(what):
            return [min(found, key=lambda i: min(_distance(things[i], things[j]) for j in anchors))]
        return found

    def _first(self, what: str, rank: Rank) -> list[int] | None:
        """Return the first of its like."""
        wanted = self._candidates(what)
        return wanted and [max(wanted, key=lambda i: rank(self._things[i]))]

    def _candidates(self, what: str) -> list[int] | None:
        """Return what a phrase without a place may mean; "the object" means all but the ground."""
        if not plain_name(what):
            return [i for i, thing in enumerate(self._things) if not thing.is_ground]
        return self.refer(what)


def phrases(text: str) -> list[str]:
    """Return what begins with an article, each up to where its clause ends, in their order."""
    plain = text.lower()
    starts = [match.start() for match in re.finditer(r"\b(?:the|an?|another)\s", plain)]
    return [_CLAUSE_END.split(plain[start:], maxsplit=1)[0].strip() for start in starts]


def bare_name(description: str) -> str:
    """Return what a description calls what it means if it says no more; empty otherwise."""
    text = description.lower()
    places = [pattern for pattern, _ in (*_RELATIONS, *_RANKS)]
    if any(pattern.search(text) for pattern in places) or len(split(text)) > 1:
        return ""
    name = plain_name(text)
    return name if len(name.split()) <= _NAME_WORDS else ""


def _distance(one: Thing, other: Thing) -> float:
    (x, y), (u, v) = one.centre, other.centre
    return ((x - u) ** 2 + (y - v) ** 2) ** 0.5


def _is_left(one: Thing, other: Thing) -> bool:
    (x, y), (u, v) = one.centre, other.centre
    return u - x > max(_APART, 0.5 * abs(v - y))


def _is_right(one: Thing, other: Thing) -> bool:
    return _is_left(other, one)


def _is_in_front(one: Thing, other: Thing) -> bool:
    """Nearer to a camera that looks down: what it stands with is lower in the image."""
    aside = abs(one.centre[0] - other.centre[0])
    return one.box[3] - other.box[3] > _APART and aside < _ASIDE


def _is_behind(one: Thing, other: Thing) -> bool:
    return _is_in_front(other, one)


def _is_above(one: Thing, other: Thing) -> bool:
    (x, y), (u, v) = one.centre, other.centre
    return v - y > max(_APART, 0.5 * abs(u - x))


def _is_below(one: Thing, other: Thing) -> bool:
    return _is_above(other, one)


def _is_beside(one: Thing, other: Thing) -> bool:
    """With less between their boxes than the smaller one is long."""
    gaps = (
        max(0.0, one.box[axis] - other.box[axis + 2], other.box[axis] - one.box[axis + 2])
        for axis in (0, 1)
    )
    reach = min(max(box[2] - box[0], box[3] - box[1]) for box in (one.box, other.box))
    return max(gaps) < reach


def _is_on(one: Thing, other: Thing) -> bool:
    """Its middle is within the other's box, which is larger."""
    x, y = one.centre
    x0, y0, x1, y1 = other.box
    return one.area < other.area and x0 <= x <= x1 and y0 <= y <= y1


def _relation(words: str, holds: Relation) -> tuple[re.Pattern[str], Relation]:
    filler = r"(?:(?:that|which) (?:is|are|stands?|lies?|lie) )?"
    return re.compile(rf"(?P<what>.+?) {filler}(?:{words}) (?P<anchor>.+)"), holds


_OTHER_ONE = re.compile(r"\b(?:other|another)\b")
_CLAUSE_END = re.compile(
    r"[,;:.!?]|\b(?:instead|please|not|is|are|was|were|should|must|does|do|did|has|you|i|too|out|off"
    r"|from|as well)\b"
)
_SIDES = r"(?:left|right|top|bottom|front|back|rear)"
_CAMERA = r"(?:the )?(?:camera|robot|viewer|front|me|us)"
_MOST = r"(?:furthest|farthest)"

_RANKS: tuple[tuple[re.Pattern[str], Rank], ...] = tuple(
    (re.compile(rf"\b(?:(?:that|which) (?:is|are) )?(?:{words})(?![\w-])"), rank)
    for words, rank in (
        (
            rf"left-?most|{_MOST} (?:to the )?left|(?:on|at|to) the (?:far )?left(?: side)?|left",
            lambda thing: -thing.centre[0],
        ),
        (
            rf"right-?most|{_MOST} (?:to the )?right|(?:on|at|to) the (?:far )?right(?: side)?"
            r"|right",
            lambda thing: thing.centre[0],
        ),
        (
            rf"(?:nearest|closest|nearer|closer)(?: to {_CAMERA})?|(?:in|at) (?:the )?front|front",
            lambda thing: thing.box[3],
        ),
        (
            rf"(?:{_MOST}|further|farther)(?: away)?(?: from {_CAMERA})?"
            r"|(?:in|at) the (?:back|rear)|back|rear",
            lambda thing: -thing.box[3],
        ),
        (r"biggest|largest|bigger|larger|big|large", lambda thing: thing.area),
        (r"smallest|smaller|tiniest|small|tiny", lambda thing: -thing.area),
        (r"top-?most|upper-?most|highest|(?:on|at) (?:the )?top", lambda thing: -thing.centre[1]),
        (r"bottom-?most|lowest|at (?:the )?bottom", lambda thing: thing.centre[1]),
    )
)

_RELATIONS = (
    _relation(r"(?:(?:to|on|at) the )?left(?: side)? of", _is_left),
    _relation(r"(?:(?:to|on|at) the )?right(?: side)? of", _is_right),
    _relation(r"in front of|before", _is_in_front),
    _relation(r"behind|in back of", _is_behind),
    _relation(r"above|over", _is_above),
    _relation(r"below|under|underneath|beneath", _is_below),
    _relation(r"next to|beside|near|close to|by", _is_beside),
    _relation(rf"on top of|(?:on|in|inside)(?! (?:the )?(?:far )?{_SIDES})", _is_on),
)
