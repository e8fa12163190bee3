"""Texts that say what to look for in a scene, with the exact objects each one means.

A text is only made when it is clear: relations and superlatives need a margin, and an object that
a word is true of is never ignored because it is small; the text is not used then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rose_ros.data.referring import RELATIONS, holds, relation_phrase, unique_phrase
from rose_ros.data.referring import superlative as superlative_phrase
from rose_ros.data.tabletop.vocabulary import COLOURS, NOUNS
from rose_ros.data.views import LabelledView, NamedObject
from rose_ros.data.words import is_novel, pick, plural, with_article


@dataclass(frozen=True, slots=True)
class Description:
    """A description and the ids of all objects it means, ascending; empty when nothing fits."""

    text: str
    ids: tuple[int, ...]


def describe(
    scene_view: LabelledView, rng: np.random.Generator, *, allow_novel: bool = False
) -> Description:
    """Return one random description of a scene.

    ``allow_novel`` permits the colour-noun pairs that are held out of training.
    """
    for index in rng.choice(len(_KINDS), size=len(_KINDS), replace=False, p=_SHARES):
        description = _KINDS[index](scene_view, rng, allow_novel)
        if description is not None:
            return description
    return _absent(scene_view, rng, allow_novel)


def _meaning(text: str, objects: list[NamedObject]) -> Description:
    return Description(text, tuple(sorted(obj.id for obj in objects)))


def _clear(view: LabelledView, objects: list[NamedObject]) -> bool:
    """Tell whether every object is visible enough to be asked for."""
    return bool(objects) and all(view.large_enough(obj) for obj in objects)


def _named(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description | None:
    """Colour and noun: "the red mug"."""
    things = [obj for obj in view.things() if novel or not is_novel(obj.colour, obj.noun)]
    if not things:
        return None
    target = pick(rng, things)
    group = view.matching(target.noun, target.colour)
    if not target.colour or not _clear(view, group):
        return None
    noun, colour = target.noun, target.colour
    if len(group) > 1:
        several = f"{colour} {plural(noun)}"
        return _meaning(
            pick(rng, (f"the {several}", f"all {several}", f"every {colour} {noun}", several)),
            group,
        )
    if rng.random() < 0.6:
        return _meaning(f"the {colour} {noun}", group)
    texts = (
        f"{colour} {noun}",
        with_article(f"{colour} {noun}"),
        f"the {noun} that is {colour}",
        f"the {noun}, the {colour} one",
        f"that {colour} {noun}",
        f"every {colour} {noun}",
    )
    return _meaning(pick(rng, texts), group)


def _noun(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description | None:
    """Noun alone, one object: "the mug", "the table"."""
    unique = [
        obj for obj in view.visible if view.large_enough(obj) and len(view.matching(obj.noun)) == 1
    ]
    if not unique:
        return None
    target = pick(rng, unique)
    texts = (f"the {target.noun}", f"the {target.noun}", target.noun, with_article(target.noun))
    return _meaning(pick(rng, texts), [target])


def _several(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description | None:
    """Noun alone, several objects: "all bowls"; or two objects joined by "and"."""
    things = view.things()
    if not things:
        return None
    groups = [view.matching(noun) for noun in sorted({obj.noun for obj in things})]
    groups = [group for group in groups if len(group) > 1 and _clear(view, group)]
    if not groups or rng.random() < 0.3:
        return _pair(view, rng, novel)
    group = pick(rng, groups)
    noun = group[0].noun
    texts = [f"all {plural(noun)}", f"the {plural(noun)}", f"every {noun}", plural(noun)]
    texts += [f"all the {plural(noun)}", f"each {noun}", f"every single {noun}"]
    if len(group) == 2:
        texts += [f"both {plural(noun)}", f"the two {plural(noun)}"]
    return _meaning(pick(rng, texts), group)


def _pair(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description | None:
    things = view.things()
    if len(things) < 2:
        return None
    first, second = (things[i] for i in rng.choice(len(things), size=2, replace=False))
    texts = [unique_phrase(view, obj, rng, allow_novel=novel) for obj in (first, second)]
    if texts[0] is None or texts[1] is None:
        return None
    return _meaning(f"{texts[0]} and {texts[1]}", [first, second])


def _colour(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description | None:
    """Colour alone: "everything red", "the blue one"."""
    colours = sorted({obj.colour for obj in view.things() if obj.colour})
    if not colours:
        return None
    colour = pick(rng, colours)
    group = view.matching(colour=colour)
    if not _clear(view, group):
        return None
    texts = [f"everything {colour}", f"all {colour} objects", f"anything {colour}"]
    if len(group) == 1:
        texts += [f"the {colour} one", f"the {colour} object", f"the {colour} thing"] * 2
    else:
        texts += [f"the {colour} ones", f"all {colour} things", f"the {colour} objects"]
    return _meaning(pick(rng, texts), group)


def _superlative(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description | None:
    """First or last of a kind: "the leftmost can"."""
    things = view.things()
    for _ in range(min(len(things), 4)):
        target = pick(rng, things)
        text = superlative_phrase(view, target, rng, allow_novel=novel)
        if text is not None:
            return _meaning(text, [target])
    return None


def _relation(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description | None:
    """Where it is relative to something else: "the ball left of the box"."""
    things = view.things()
    for _ in range(min(len(things), 4)):
        target = pick(rng, things)
        text = relation_phrase(view, target, rng, allow_novel=novel)
        if text is not None:
            return _meaning(text, [target])
    return None


def _absent(view: LabelledView, rng: np.random.Generator, novel: bool) -> Description:
    """Something that is not there; half of the time its noun or its colour is."""
    if rng.random() < 0.25:
        wrong = _false_relation(view, rng, novel)
        if wrong is not None:
            return wrong
    nouns = sorted({obj.noun for obj in view.things(1)})
    colours = sorted({obj.colour for obj in view.things(1) if obj.colour})
    for _ in range(50):
        near = rng.random() < 0.5
        noun = pick(rng, nouns) if near and nouns and rng.random() < 0.5 else pick(rng, NOUNS)
        colour = pick(rng, colours) if near and colours else pick(rng, COLOURS)
        form = rng.random()
        if form < 0.6 and not view.matching(noun, colour) and (novel or not is_novel(colour, noun)):
            texts = [f"the {colour} {noun}"] * 2 + [f"all {colour} {plural(noun)}"]
            return Description(pick(rng, [*texts, with_article(f"{colour} {noun}")]), ())
        if 0.6 <= form < 0.9 and not view.matching(noun):
            texts = [f"the {noun}", with_article(noun), f"all {plural(noun)}", f"every {noun}"]
            return Description(pick(rng, texts), ())
        if form >= 0.9 and not view.matching(colour=colour):
            return Description(pick(rng, [f"everything {colour}", f"the {colour} one"]), ())
    return Description("the elephant", ())


def _false_relation(
    view: LabelledView, rng: np.random.Generator, novel: bool
) -> Description | None:
    """Two things that are there, with a relation that is clearly not true."""
    things = view.things()
    if len(things) < 2:
        return None
    target, anchor = (things[i] for i in rng.choice(len(things), size=2, replace=False))
    anchor_text = unique_phrase(view, anchor, rng, allow_novel=novel)
    relation = pick(rng, tuple(RELATIONS))
    group = [obj for obj in view.matching(target.noun) if obj.id != anchor.id]
    if anchor_text is None or any(holds(view, relation, obj, anchor) is not False for obj in group):
        return None
    return Description(f"the {target.noun} {pick(rng, RELATIONS[relation])} {anchor_text}", ())


_Maker = Callable[[LabelledView, np.random.Generator, bool], "Description | None"]
_KINDS: tuple[_Maker, ...] = (
    _named,
    _noun,
    _several,
    _colour,
    _superlative,
    _relation,
    _absent,
)
_SHARES = (0.28, 0.1, 0.14, 0.1, 0.12, 0.14, 0.12)
