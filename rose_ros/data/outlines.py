"""Corrections of an outline: the right object was segmented, badly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.data import damage
from rose_ros.data.speaker import MIN_EDITED, SceneSpeaker
from rose_ros.data.views import NamedObject
from rose_ros.data.words import part_words, pick, plural

#: What counts as touching, and as near, in pixels at an image width of 240.
_TOUCHING, _NEAR = 3, 12
_COUNTS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction.

    kind: one of ``KINDS``. label: the previous segment's name, "" when there was none.
    text: what the planner says. previous_mask: bool (height, width).
    target_masks: bool (k, height, width); k is 0 when nothing is to be left.
    target_ids: the object of each target; target_names: its name, or the part's.
    """

    kind: str
    label: str
    text: str
    previous_mask: NDArray[np.bool_]
    target_masks: NDArray[np.bool_]
    target_ids: tuple[int, ...]
    target_names: tuple[str, ...]


class OutlineFaults(SceneSpeaker):
    """Makes such corrections of one view: one method per kind, None when it lacks the means."""

    def too_small(self) -> Correction | None:
        """A named part is missing, or one side is cut off."""
        target = self.thing(MIN_EDITED)
        if target is None:
            return None
        mask = self.view.mask(target.id)
        parts = self.speakable_parts(target, 0.5)
        if parts and self.rng.random() < 0.6:
            part = pick(self.rng, parts)
            previous = mask & ~damage.dilate(self.view.part_mask(target.id, part), 1)
            text = self.say("too_small_part", target, **part_words(part))
        else:
            side = pick(self.rng, damage.SIDES)
            previous = damage.cut_off(mask, side, self.rng.uniform(0.2, 0.6), self.rng)
            key = "too_small_side" if self.rng.random() < 0.75 else "too_small_any"
            text = self.say(key, target, side=side)
        kept = np.count_nonzero(previous) / np.count_nonzero(mask)
        if not 0.2 < kept < 0.97:
            return None
        previous = damage.soften(previous, self.rng)
        return self.result("too_small", target.name, text, previous, [target])

    def too_big(self) -> Correction | None:
        """A touching neighbour, or a strip of what is beside or behind, is in the mask too."""
        target = self.thing(MIN_EDITED)
        if target is None:
            return None
        mask = self.view.mask(target.id)
        other: NamedObject | None
        touching = self.around(target, _TOUCHING)
        if touching and self.rng.random() < 0.6:
            other = pick(self.rng, touching)
            previous = mask | self.view.mask(other.id)
            side = None
        else:
            side = pick(self.rng, damage.SIDES)
            reach = self.pixels(self.rng.uniform(5, 18))
            previous = damage.spill(mask, side, reach, self.rng)
            other = self.majority(previous & ~mask)
        if other is None or np.count_nonzero(previous) < 1.08 * np.count_nonzero(mask):
            return None
        text = self._too_big_text(target, other, side)
        previous = damage.soften(previous, self.rng)
        return self.result("too_big", target.name, text, previous, [target])

    def _too_big_text(self, target: NamedObject, other: NamedObject, side: str | None) -> str:
        phrase = self.distinct(other, target)
        if side is not None and (phrase is None or self.rng.random() < 0.4):
            return self.say("too_big_side", target, side=side)
        if phrase is None or self.rng.random() < 0.15:
            return self.say("too_big_any", target)
        return self.say("too_big_object", target, other=phrase)

    def split(self) -> Correction | None:
        """Several near objects came out as one."""
        first = self.thing()
        if first is None:
            return None
        near = self.around(first, _TOUCHING) or self.around(first, _NEAR)
        alike = [obj for obj in near if obj.noun == first.noun]
        if not near:
            return None
        joined = [first, pick(self.rng, alike or near)]
        more = [obj for obj in alike or near if obj.id != joined[1].id]
        if more and self.rng.random() < 0.2:
            joined.append(pick(self.rng, more))
        joined.sort(key=lambda obj: obj.id)
        union = np.isin(self.view.ids, [obj.id for obj in joined])
        previous = damage.soften(damage.close(union, self.pixels(_NEAR / 2)), self.rng)
        label = max(joined, key=lambda obj: self.view.extents[obj.id].area).name
        return self.result("split", label, self._split_text(joined), previous, joined)

    def _split_text(self, joined: Sequence[NamedObject]) -> str:
        count = _COUNTS[len(joined)]
        if len({obj.noun for obj in joined}) == 1 and self.rng.random() < 0.7:
            return self.say("split_same", joined[0], count=count, things=plural(joined[0].noun))
        names = [self.unique(obj) for obj in joined]
        if len(joined) == 2 and None not in names and self.rng.random() < 0.6:
            return self.say("split_named", joined[0], first=str(names[0]), second=str(names[1]))
        return self.say("split_any", joined[0], count=count)

    def merge(self) -> Correction | None:
        """One object came out in pieces; the previous mask is one piece, or two with a gap."""
        target = self.thing(MIN_EDITED)
        if target is None:
            return None
        mask = self.view.mask(target.id)
        if self.rng.random() < 0.5:
            previous = damage.without_band(mask, self.rng)
        else:
            side = pick(self.rng, damage.SIDES)
            previous = damage.cut_off(mask, side, self.rng.uniform(0.3, 0.65), self.rng)
        if not 0.2 < np.count_nonzero(previous) / np.count_nonzero(mask) < 0.95:
            return None
        previous = damage.soften(previous, self.rng)
        return self.result("merge", target.name, self.say("merge", target), previous, [target])

    def edge(self) -> Correction | None:
        """The right object with a bad outline: too loose, too tight or too rough."""
        target = self.thing(MIN_EDITED)
        if target is None:
            return None
        mask = self.view.mask(target.id)
        size = np.sqrt(self.view.extents[target.id].area)
        fault = pick(self.rng, ("edge_loose", "edge_tight", "edge_rough"))
        if fault == "edge_rough":
            block = max(int(size * self.rng.uniform(0.12, 0.25)), 4)
            rough = self.rng.random() < 0.5
            previous = (
                damage.quantise(mask, block)
                if rough
                else damage.wobble(mask, size * self.rng.uniform(0.06, 0.12), self.rng)
            )
        else:
            reach = max(round(size * self.rng.uniform(0.04, 0.12)), 1)
            change = damage.dilate if fault == "edge_loose" else damage.erode
            previous = change(mask, reach)
        if not 0.35 < damage.iou(previous, mask) < 0.97:
            return None
        return self.result("edge", target.name, self.say(fault, target), previous, [target])

    def result(
        self,
        kind: str,
        label: str,
        text: str,
        previous: damage.Mask,
        targets: Sequence[NamedObject],
    ) -> Correction:
        """Return the correction whose targets are whole objects."""
        masks = np.stack([self.view.mask(obj.id) for obj in targets])
        ids = tuple(obj.id for obj in targets)
        return Correction(
            kind, label, text, previous, masks, ids, tuple(obj.name for obj in targets)
        )
