"""Which shapes engines are built for: the profiles of each graph, from its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rose_ros.errors import EngineError

Shape = tuple[int, ...]
#: Per input with dynamic dimensions: its smallest, most usual and largest shape.
Profile = dict[str, tuple[Shape, Shape, Shape]]

#: Tokens of a usual instruction, such as "Segment the red mug.".
_USUAL_TEXT = 8


def make_profiles(
    graphs: Mapping[str, Any], *, regions: tuple[int, ...], most_text: int, prompts: Iterable[int]
) -> dict[str, tuple[Profile, ...]]:
    """Return the profiles of every graph; one without dynamic dimensions has one, empty.

    A profile holds one size of batch of regions, so that its kernels are made for it and its
    addresses can be recorded; names have one for each length of ``prompts``, in tokens, and one for
    one more word. Text may have any length up to ``most_text``.
    """
    lengths = set(prompts)
    sizes: dict[str, list[tuple[dict[str, int], ...]]] = {
        "encode": [_fixed({})],
        "embed": [_fixed({})],
        "perceive": [({"text": 1}, {"text": min(_USUAL_TEXT, most_text)}, {"text": most_text})],
        "decode": [_fixed({"regions": count}) for count in regions],
        "sharpen": [_fixed({"regions": count}) for count in regions],
        "region": [_fixed({"regions": count}) for count in regions],
        "name": [
            _fixed({"regions": count, "tokens": tokens})
            for count in regions
            for tokens in sorted({1, *lengths})
        ],
    }
    return {
        graph: tuple(_profile(graph, entry["inputs"], three) for three in sizes[graph])
        for graph, entry in graphs.items()
    }


def resolve(shape: list[int | str], sizes: Mapping[str, int]) -> Shape:
    """Put sizes into a shape of the manifest, where a dimension may be a sum: "tokens + 21"."""
    return tuple(
        size
        if isinstance(size, int)
        else sum(int(part) if part.isdigit() else sizes[part] for part in size.split(" + "))
        for size in shape
    )


def holds(profile: Profile, shapes: Mapping[str, Shape]) -> bool:
    """Say whether shapes of inputs are within a profile."""
    return all(
        len(low) == len(shapes[name])
        and all(a <= size <= b for a, size, b in zip(low, shapes[name], high, strict=True))
        for name, (low, _, high) in profile.items()
    )


def is_fixed(profile: Profile) -> bool:
    """Say whether a profile has one shape only."""
    return all(low == high for low, _, high in profile.values())


def _fixed(sizes: dict[str, int]) -> tuple[dict[str, int], ...]:
    return sizes, sizes, sizes


def _profile(graph: str, inputs: Mapping[str, Any], three: tuple[dict[str, int], ...]) -> Profile:
    found: Profile = {}
    for name, described in inputs.items():
        shape = described["shape"]
        if all(isinstance(size, int) for size in shape):
            continue
        try:
            low, usual, high = (resolve(shape, sizes) for sizes in three)
        except KeyError as error:
            raise EngineError(
                f"input {name} of the graph {graph} has a dimension {error}, which has no profile"
            ) from error
        found[name] = (low, usual, high)
    return found
