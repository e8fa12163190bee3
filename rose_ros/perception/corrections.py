"""What planners corrected: per track, for the whole session, and how to take it back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.segments import Segment

#: Corrections that can be undone, and rules that a session keeps; the oldest go first.
MAX_ENTRIES = 64
MAX_RULES = 64


@dataclass(frozen=True, slots=True)
class MaskCorrection:
    """A mask change in words, applied anew to each frame.

    text, label: what the model is told. growth: area after / before when it was given.
    overlap: IoU of the masks before and after. several: it cuts one segment into several.
    serial: rises with each correction of the session.
    """

    text: str
    label: str
    growth: float
    overlap: float
    several: bool
    serial: int


@dataclass(frozen=True, slots=True)
class Correction:
    """What planners made of one track.

    name: "" leaves it to the model. removed: not published. wanted: the description that added
    the track, "" when the model saw it itself. masks: oldest first.
    """

    name: str = ""
    removed: bool = False
    wanted: str = ""
    masks: tuple[MaskCorrection, ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether anything differs from what the model alone would publish."""
        return bool(self.name or self.removed or self.wanted or self.masks)


@dataclass(frozen=True, slots=True)
class SessionRule:
    """A correction that later tracks take over.

    label: what the model calls them. embedding: float32, unit length, what they look like.
    after_id: only tracks with a higher id.
    """

    label: str
    embedding: NDArray[np.float32]
    after_id: int
    correction: Correction


@dataclass(frozen=True, slots=True)
class Entry:
    """What one correction replaced, to undo it.

    camera, stamp_ns: the frame that was corrected. before: each changed track's correction.
    edited: the segments changed in that frame; held: what was there instead, where it was a
    correction already. created: ids of segments that the correction added.
    """

    camera: str
    stamp_ns: int
    before: dict[int, Correction]
    edited: tuple[int, ...] = ()
    held: dict[int, Segment | None] = field(default_factory=dict)
    created: tuple[int, ...] = ()
    rules: tuple[SessionRule, ...] = ()


class Ledger:
    """All corrections of a session that are in force, newest last."""

    def __init__(self) -> None:
        """Start without corrections."""
        self.rules: tuple[SessionRule, ...] = ()
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._serial = 0

    def __len__(self) -> int:
        return len(self._entries)

    def next_serial(self) -> int:
        """Return a number higher than all before."""
        self._serial += 1
        return self._serial

    def note(self, entry: Entry) -> None:
        """Remember a correction and its rule."""
        self._entries.append(entry)
        self.rules = (*self.rules, *entry.rules)[-MAX_RULES:]

    def take_last(self, ids: Sequence[int], camera: str) -> Entry | None:
        """Remove and return the last correction, of ``ids`` and ``camera`` where given."""
        for entry in reversed(self._entries):
            if camera and entry.camera != camera:
                continue
            if ids and not {*entry.edited, *entry.created}.intersection(ids):
                continue
            self._entries = deque((e for e in self._entries if e is not entry), MAX_ENTRIES)
            ended = {id(rule) for rule in entry.rules}
            self.rules = tuple(rule for rule in self.rules if id(rule) not in ended)
            return entry
        return None

    def forget_camera(self, camera: str) -> None:
        """Drop what can no longer be undone because the tracks of a camera are gone."""
        kept = [entry for entry in self._entries if entry.camera != camera or entry.rules]
        self._entries = deque(kept, maxlen=MAX_ENTRIES)

    def clear(self) -> int:
        """Drop everything; return how many corrections were in force."""
        count = len(self._entries)
        self._entries.clear()
        self.rules = ()
        return count

    def rule_for(
        self, track_id: int, label: str, embedding: NDArray[np.float32], min_cosine: float
    ) -> Correction:
        """Return what the session's rules make of a track; the newest wins where they differ."""
        result = Correction()
        for rule in self.rules:
            if track_id <= rule.after_id or label != rule.label:
                continue
            if float(embedding @ rule.embedding) >= min_cosine:
                result = _combine(result, rule.correction)
        return result


def _combine(older: Correction, newer: Correction) -> Correction:
    """Return both corrections in one; the newer wins where they differ."""
    return replace(
        older,
        name=newer.name or older.name,
        removed=newer.removed or older.removed,
        masks=(*older.masks, *newer.masks),
    )
