"""Phrases that mean exactly one object of a scene: by name, by rank or by relation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rose_ros.data.views import LabelledView, NamedObject, is_background
from rose_ros.data.words import is_novel, pick

#: Relation -> ways to say it. "In front of" is nearer to the camera: lower in the image.
RELATIONS = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "front": ("in front of",),
    "behind": ("behind",),
}
#: Shares of the image side by which a relation must hold, and by which it must fail, to be clear.
_HOLDS, _FAILS = 0.06, 0.02
#: How much larger the biggest must be than the next, in area and in length.
_SIZE_RATIO = 1.3
#: "In front of" something far to the side is not clear; share of the image width.
_ASIDE = 0.25

_SUPERLATIVES = {
    "leftmost": ("the leftmost {}", "the {} furthest to the left", "the {} on the far left"),
    "rightmost": ("the rightmost {}", "the {} furthest to the right", "the {} on the far right"),
    "nearest": ("the nearest {}", "the closest {}", "the {} nearest to the camera"),
    "farthest": ("the farthest {}", "the {} farthest away", "the {} furthest from the camera"),
    "biggest": ("the biggest {}", "the largest {}"),
    "smallest": ("the smallest {}",),
}
_OF_TWO = {
    "leftmost": ("the left {}", "the {} on the left"),
    "rightmost": ("the right {}", "the {} on the right"),
    "nearest": ("the nearer {}", "the front {}"),
    "farthest": ("the {} in the back", "the {} further away"),
    "biggest": ("the bigger {}", "the larger {}"),
    "smallest": ("the smaller {}",),
}


def unique_phrase(
    view: LabelledView, target: NamedObject, rng: np.random.Generator, *, allow_novel: bool = False
) -> str | None:
    """Return a name that is true of ``target`` only, e.g. "the red mug"; None when there is none.

    The phrase carries its article.
    """
    noun, colour = target.noun, target.colour
    phrases = []
    if len(view.matching(noun)) == 1:
        phrases.append(f"the {noun}")
    if (
        colour
        and len(view.matching(noun, colour)) == 1
        and (allow_novel or not is_novel(colour, noun))
    ):
        phrases += [f"the {colour} {noun}"] * 2
    if colour and not is_background(target) and len(view.matching(colour=colour)) == 1:
        phrases.append(f"the {colour} one")
    return pick(rng, phrases) if phrases else None


def refer(
    view: LabelledView, target: NamedObject, rng: np.random.Generator, *, allow_novel: bool = False
) -> str | None:
    """Return any phrase that means ``target`` only: a name, a rank or a relation, or None."""
    makers: list[Callable[..., str | None]] = [unique_phrase, superlative, relation_phrase]
    order = rng.permutation(3) if rng.random() < 0.5 else range(3)
    for index in order:
        phrase = makers[int(index)](view, target, rng, allow_novel=allow_novel)
        if phrase is not None:
            return phrase
    return None


def groups_of(
    view: LabelledView, target: NamedObject, allow_novel: bool
) -> list[tuple[str, list[NamedObject]]]:
    """Return (noun phrase without article, all visible objects it is true of) for ``target``."""
    noun, colour = target.noun, target.colour
    groups = [(noun, view.matching(noun)), ("object", view.matching())]
    if colour:
        groups.append((f"{colour} object", view.matching(colour=colour)))
        if allow_novel or not is_novel(colour, noun):
            groups.append((f"{colour} {noun}", view.matching(noun, colour)))
    return groups


def superlative(
    view: LabelledView, target: NamedObject, rng: np.random.Generator, *, allow_novel: bool = False
) -> str | None:
    """Return a phrase that ranks ``target`` first among its like by a clear margin, or None."""
    if is_background(target):
        return None
    options = []
    for phrase, group in groups_of(view, target, allow_novel):
        others = [obj for obj in group if obj.id != target.id]
        if not others or not all(view.large_enough(obj) for obj in group):
            continue
        for rank in _SUPERLATIVES:
            if all(_outranks(view, rank, target, obj) for obj in others):
                words = _OF_TWO[rank] if len(others) == 1 else _SUPERLATIVES[rank]
                options.append((pick(rng, words), phrase))
    if not options:
        return None
    words_chosen, phrase = pick(rng, options)
    return words_chosen.format(phrase)


def _outranks(view: LabelledView, rank: str, target: NamedObject, other: NamedObject) -> bool:
    """Tell whether ``target`` is clearly before ``other`` in the order that ``rank`` names."""
    ours, theirs = view.extents[target.id], view.extents[other.id]
    height, width = view.shape
    across = (theirs.centroid[0] - ours.centroid[0]) / width
    depth = (ours.box[3] - theirs.box[3]) / height
    if rank == "leftmost":
        return across > _HOLDS
    if rank == "rightmost":
        return across < -_HOLDS
    if rank == "nearest":
        return depth > _HOLDS
    if rank == "farthest":
        return depth < -_HOLDS
    large, small = (ours, theirs) if rank == "biggest" else (theirs, ours)
    return large.area > _SIZE_RATIO * small.area and _length(large.box) > _length(small.box)


def _length(box: tuple[int, int, int, int]) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def holds(
    view: LabelledView, relation: str, target: NamedObject, anchor: NamedObject
) -> bool | None:
    """Tell whether ``target`` is ``relation`` of ``anchor``; None when people could disagree."""
    ours, theirs = view.extents[target.id], view.extents[anchor.id]
    height, width = view.shape
    across = (ours.centroid[0] - theirs.centroid[0]) / width
    down = (ours.centroid[1] - theirs.centroid[1]) / height
    if relation in ("left", "right"):
        amount = -across if relation == "left" else across
        clear = amount > _HOLDS and abs(across) > 0.5 * abs(down)
    else:
        depth = (ours.box[3] - theirs.box[3]) / height
        amount = depth if relation == "front" else -depth
        clear = amount > _HOLDS and abs(across) < _ASIDE
    if clear:
        return True
    return False if amount < _FAILS else None


def relation_phrase(
    view: LabelledView,
    target: NamedObject,
    rng: np.random.Generator,
    *,
    allow_novel: bool = False,
    anchor: NamedObject | None = None,
    anchor_text: str = "it",
) -> str | None:
    """Return a phrase such as "the ball left of the box" that is true of ``target`` only, or None.

    Without ``anchor`` one is chosen; with it, ``anchor_text`` is how the text calls it.
    """
    if is_background(target):
        return None
    group_options = [
        (phrase, group)
        for phrase, group in groups_of(view, target, allow_novel)
        if all(view.large_enough(obj) for obj in group)
    ]
    if not group_options:
        return None
    for _ in range(6):
        phrase, group = pick(rng, group_options)
        relation = pick(rng, tuple(RELATIONS))
        words = pick(rng, RELATIONS[relation])
        if anchor is not None:
            against, text = anchor, anchor_text
        else:
            against = pick(rng, view.things() or [target])
            name = unique_phrase(view, against, rng, allow_novel=allow_novel)
            if name is None or against.id == target.id:
                continue
            text = name
        truths = {
            obj.id: holds(view, relation, obj, against) for obj in group if obj.id != against.id
        }
        if truths.get(target.id) is True and all(
            truth is False for other, truth in truths.items() if other != target.id
        ):
            return f"the {phrase} {words} {text}"
    return None
