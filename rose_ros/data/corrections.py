"""Synthetic corrections: a previous mask, what a planner says about it, and the right masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rose_ros.data import damage
from rose_ros.data.outlines import Correction, OutlineFaults
from rose_ros.data.phrases import HELD_OUT, TRAINING
from rose_ros.data.referring import refer, relation_phrase
from rose_ros.data.tabletop.vocabulary import COLOURS, NOUNS, PART_NAMES
from rose_ros.data.views import LabelledView, NamedObject, is_background
from rose_ros.data.words import part_words, pick, with_article
from rose_ros.errors import DataError

__all__ = ["KINDS", "LEARNED", "Correction", "correct"]


def correct(
    view: LabelledView,
    rng: np.random.Generator,
    kind: str | None = None,
    *,
    held_out: bool = False,
    allow_novel: bool = False,
) -> Correction | None:
    """Return one random correction of a scene, None when the scene cannot make that kind.

    ``kind`` None draws from what the model must learn (``LEARNED``), by its share, and tries the
    others when the first cannot be made. ``held_out`` uses the phrasings kept for evaluation;
    ``allow_novel`` lets texts hold the colour-noun pairs kept out of training. Raises
    ``DataError`` for an unknown kind.
    """
    maker = _Maker(view, rng, HELD_OUT if held_out else TRAINING, allow_novel)
    if kind is not None:
        if kind not in _MAKERS:
            raise DataError(f"correction kind {kind!r} is unknown; choose from {', '.join(KINDS)}")
        return _MAKERS[kind](maker)
    kinds, shares = tuple(LEARNED), np.array(tuple(LEARNED.values()))
    for index in rng.choice(len(kinds), len(kinds), replace=False, p=shares / shares.sum()):
        correction = _MAKERS[kinds[index]](maker)
        if correction is not None:
            return correction
    return None


class _Maker(OutlineFaults):
    """Makes corrections of every kind: one method each, None when the view lacks the means."""

    def wrong_object(self) -> Correction | None:
        """Another object was segmented; half of the time one of the same noun or colour."""
        target = self.thing()
        if target is None:
            return None
        others = [obj for obj in self.view.things() if obj.id != target.id]
        alike = [obj for obj in others if obj.noun == target.noun or obj.colour == target.colour]
        if not others:
            return None
        wrong = pick(self.rng, alike if alike and self.rng.random() < 0.6 else others)
        phrase = self._instead(target, wrong)
        if phrase is None:
            return None
        previous = damage.soften(self.view.mask(wrong.id), self.rng)
        text = self.say("wrong_object", wrong, target=phrase)
        return self.result("wrong_object", wrong.name, text, previous, [target])

    def _instead(self, target: NamedObject, wrong: NamedObject) -> str | None:
        """Return a phrase for ``target`` that may lean on ``wrong`` as "it" or "the other"."""
        view, rng = self.view, self.rng
        options = [refer(view, target, rng, allow_novel=self.allow_novel)]
        group = view.matching(target.noun)
        if len(group) == 2 and wrong.noun == target.noun:
            options.append(f"the other {target.noun}")
        options.append(
            relation_phrase(view, target, rng, allow_novel=self.allow_novel, anchor=wrong)
        )
        known = [phrase for phrase in options if phrase is not None]
        return pick(rng, known) if known else None

    def part(self) -> Correction | None:
        """The whole object came out where one part is wanted."""
        found = self.object_with_part()
        if found is None:
            return None
        target, part = found
        wanted = self.view.part_mask(target.id, part)
        previous = damage.soften(self.view.mask(target.id), self.rng)
        text = self.say("part", target, **part_words(part))
        return Correction("part", target.name, text, previous, wanted[None], (target.id,), (part,))

    def whole(self) -> Correction | None:
        """One part came out where the whole object is wanted."""
        found = self.object_with_part()
        if found is None:
            return None
        target, part = found
        previous = damage.soften(self.view.part_mask(target.id, part), self.rng)
        label = part if self.rng.random() < 0.5 else target.name
        text = self.say("whole", target, **part_words(part))
        return self.result("whole", label, text, previous, [target])

    def missed(self) -> Correction | None:
        """An object did not come out at all: no previous mask, no label."""
        target = self.thing()
        if target is None:
            return None
        phrase = refer(self.view, target, self.rng, allow_novel=self.allow_novel)
        if phrase is None:
            return None
        text = self.say("missed", target, target=phrase)
        return self.result("missed", "", text, np.zeros(self.view.shape, bool), [target])

    def confirm(self) -> Correction | None:
        """Nothing is wrong and the planner says so: the mask must stay as it is."""
        target = self.thing()
        if target is None:
            return None
        return self._unchanged("confirm", target, self.say("confirm", target))

    def contradict(self) -> Correction | None:
        """The planner speaks of a part or an object that is not there: nothing may change."""
        target = self.thing()
        if target is None:
            return None
        if self.rng.random() < 0.5:
            present = {part.rstrip("s") for part in self.view.part_areas(target.id)}
            absent = [part for part in PART_NAMES[1:] if part.rstrip("s") not in present]
            text = self.say("contradict_part", target, **part_words(pick(self.rng, absent)))
        else:
            nouns = [noun for noun in NOUNS if not self.view.matching(noun)]
            if not nouns:
                return None
            noun, colour = pick(self.rng, nouns), pick(self.rng, COLOURS)
            named = self.rng.random() < 0.5 and self.may_say(colour, noun)
            other = f"the {colour} {noun}" if named else f"the {noun}"
            text = self.say("contradict_object", target, other=other)
        return self._unchanged("contradict", target, text)

    def false_alarm(self) -> Correction | None:
        """A segment where there is only table, floor or wall: nothing is to be left."""
        background = [obj.id for obj in self.view.visible if is_background(obj)]
        empty = np.isin(self.view.ids, background)
        for _ in range(20):
            previous = damage.blob(self.view.shape, self.rng)
            if np.count_nonzero(previous & empty) > 0.95 * np.count_nonzero(previous):
                break
        else:
            return None
        noun = pick(self.rng, NOUNS)
        colour = pick(self.rng, [word for word in COLOURS if self.may_say(word, noun)])
        text = self.fill("false_alarm", noun=noun)
        nothing = np.zeros((0, *self.view.shape), bool)
        return Correction("false_alarm", f"{colour} {noun}", text, previous, nothing, (), ())

    def wrong_name(self) -> Correction | None:
        """The right mask under a wrong name: the mask must stay, the name become the stated one."""
        target = self.thing()
        if target is None:
            return None
        wrong = pick(self.rng, [noun for noun in NOUNS if noun != target.noun])
        colour = target.colour if self.may_say(target.colour, wrong) else ""
        bare = self.name_of(target)
        text = self.fill("wrong_name", noun=wrong, bare=bare, other=with_article(bare))
        mask = damage.soften(self.view.mask(target.id), self.rng)
        label = f"{colour} {wrong}".strip()
        return Correction("wrong_name", label, text, mask, mask[None], (target.id,), (bare,))

    def _unchanged(self, kind: str, target: NamedObject, text: str) -> Correction:
        mask = damage.soften(self.view.mask(target.id), self.rng)
        return Correction(kind, target.name, text, mask, mask[None], (target.id,), (target.name,))


_MAKERS: dict[str, Callable[[_Maker], Correction | None]] = {
    "wrong_object": _Maker.wrong_object,
    "too_small": _Maker.too_small,
    "too_big": _Maker.too_big,
    "split": _Maker.split,
    "merge": _Maker.merge,
    "part": _Maker.part,
    "whole": _Maker.whole,
    "missed": _Maker.missed,
    "edge": _Maker.edge,
    "confirm": _Maker.confirm,
    "contradict": _Maker.contradict,
    "false_alarm": _Maker.false_alarm,
    "wrong_name": _Maker.wrong_name,
}

KINDS = tuple(_MAKERS)

#: What the model must learn, with its share of the training corrections. Rules of perception
#: handle false alarms and wrong names exactly.
LEARNED = {
    "wrong_object": 0.12,
    "too_small": 0.12,
    "too_big": 0.12,
    "split": 0.10,
    "merge": 0.07,
    "part": 0.13,
    "whole": 0.07,
    "missed": 0.05,
    "edge": 0.08,
    "confirm": 0.03,
    "contradict": 0.11,
}
