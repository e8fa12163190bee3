"""Chooses objects, parts and names of a view, and puts phrasings into words."""

from __future__ import annotations

import numpy as np

from rose_ros.data import damage
from rose_ros.data.referring import unique_phrase
from rose_ros.data.views import MIN_AREA, LabelledView, NamedObject
from rose_ros.data.words import is_novel, pick

#: An object with fewer visible pixels is not cut, grown or broken: nothing of it would be left.
MIN_EDITED = 120


class SceneSpeaker:
    """Random choices and texts about one view.

    ``phrases`` maps a key to the phrasings to draw from; ``allow_novel`` permits the colour-noun
    pairs that are held out of training.
    """

    def __init__(
        self,
        view: LabelledView,
        rng: np.random.Generator,
        phrases: dict[str, tuple[str, ...]],
        allow_novel: bool,
    ) -> None:
        self.view = view
        self.rng = rng
        self.phrases = phrases
        self.allow_novel = allow_novel

    def thing(self, min_area: int = 0) -> NamedObject | None:
        """Return a random object that is visible enough."""
        things = self.view.things(min_area) if min_area else self.view.things()
        return pick(self.rng, things) if things else None

    def pixels(self, at_240: float) -> int:
        """Scale a length given for an image 240 pixels wide."""
        return max(round(at_240 * self.view.shape[1] / 240), 1)

    def around(self, target: NamedObject, distance: float) -> list[NamedObject]:
        """Return the other things of which some pixel is nearer than ``distance`` at width 240."""
        ring = damage.dilate(self.view.mask(target.id), self.pixels(distance))
        close = set(np.unique(self.view.ids[ring]).tolist()) - {target.id}
        return [obj for obj in self.view.things() if obj.id in close]

    def majority(self, mask: damage.Mask) -> NamedObject | None:
        """Return the object that most of ``mask`` shows."""
        covered = self.view.ids[mask]
        if covered.size == 0:
            return None
        winner = int(np.bincount(covered).argmax())
        return next(obj for obj in self.view.visible if obj.id == winner)

    def speakable_parts(self, target: NamedObject, largest: float) -> list[str]:
        """Return the parts in view, neither tiny nor more than ``largest`` of the object."""
        area = self.view.extents[target.id].area
        return [
            part
            for part, size in self.view.part_areas(target.id).items()
            if MIN_AREA <= size <= largest * area and size >= 0.03 * area
        ]

    def parts(self, min_area: int) -> list[tuple[NamedObject, str]]:
        """Return the parts in view that can be spoken of, of things of at least ``min_area``."""
        return [
            (obj, part)
            for obj in self.view.things(min_area)
            for part in self.speakable_parts(obj, 0.85)
        ]

    def object_with_part(self) -> tuple[NamedObject, str] | None:
        """Return a random object and one of its parts that can be spoken of."""
        found = self.parts(MIN_EDITED)
        return pick(self.rng, found) if found else None

    def may_say(self, colour: str, noun: str) -> bool:
        """Tell whether the pair may occur in a text."""
        return self.allow_novel or not is_novel(colour, noun)

    def name_of(self, obj: NamedObject) -> str:
        """Return "mug" or, less often and only where it may be said, "red mug"."""
        full = obj.colour and self.may_say(obj.colour, obj.noun) and self.rng.random() < 0.35
        return f"{obj.colour} {obj.noun}" if full else obj.noun

    def unique(self, obj: NamedObject) -> str | None:
        """Return a name, with article, that is true of ``obj`` only."""
        return unique_phrase(self.view, obj, self.rng, allow_novel=self.allow_novel)

    def distinct(self, other: NamedObject, target: NamedObject) -> str | None:
        """Return a name, with article, that is true of ``other`` and not of ``target``."""
        noun, colour = other.noun, other.colour
        options = [f"the {noun}"] if noun != target.noun else []
        if colour and other.name != target.name and self.may_say(colour, noun):
            options.append(f"the {colour} {noun}")
        return pick(self.rng, options) if options else None

    def say(self, key: str, previous: NamedObject, **words: str) -> str:
        """Return a random phrasing with its slots filled; ``previous`` gives the noun."""
        return self.fill(key, noun=self.name_of(previous), **words)

    def fill(self, key: str, **words: str) -> str:
        """Return a random phrasing with its slots filled, some with capital and full stop."""
        text = pick(self.rng, self.phrases[key]).format(**words)
        if self.rng.random() < 0.3:
            text = text[0].upper() + text[1:]
        return text + "." if self.rng.random() < 0.3 else text
