"""What a correction would change, before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.corrections import Correction
from rose_ros.perception.history import Refusal, rename
from rose_ros.perception.masks import measure
from rose_ros.perception.segments import Segment, Status
from rose_ros.perception.selection import Detections


@dataclass(frozen=True, slots=True)
class Change:
    """What a request changes: nothing of it is done yet.

    edits: the changed segments as they become in this frame, None for a removed one. give: what
    planners' corrections of a target's track become. added: new segments, named. wanted: the
    description that found them, "" when a split made them. shown: the target's mask bool (rows,
    columns) at the model's resolution, where it changes.
    """

    message: str
    targets: tuple[Segment, ...] = ()
    edits: dict[int, Segment | None] = field(default_factory=dict)
    give: Callable[[Correction], Correction] = lambda correction: correction
    added: Detections | None = None
    wanted: str = ""
    shown: NDArray[np.bool_] | None = None


def renaming(targets: Sequence[Segment], name: str) -> Change:
    """Give segments a planner's name; raises ``Refusal`` when they have it already."""
    changed = tuple(segment for segment in targets if segment.label.text != name)
    if not changed:
        raise Refusal(Status.NO_CHANGE, f"it is called {name!r} already")
    return Change(
        message=f"renamed to {name!r}",
        targets=changed,
        edits={s.id: replace(rename(s, name), revision=s.revision + 1) for s in changed},
        give=lambda given: replace(given, name=name),
    )


def removal(targets: Sequence[Segment]) -> Change:
    """Take segments away."""
    return Change(
        message="removed",
        targets=tuple(targets),
        edits=dict.fromkeys(segment.id for segment in targets),
        give=lambda given: replace(given, removed=True),
    )


def reshaped(target: Segment, mask: NDArray[np.bool_], quality: float) -> Segment:
    """Return a segment with another mask (height, width)."""
    shape = measure(mask, (0, 0), *mask.shape)
    if shape is None:
        raise Refusal(Status.NOT_UNDERSTOOD, "the model leaves nothing of the mask")
    return replace(
        target,
        mask=shape.mask,
        area=shape.area,
        anchor=shape.anchor,
        truncated=shape.truncated,
        mask_quality=quality,
        revision=target.revision + 1,
    )
