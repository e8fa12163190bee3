"""What a correction changes that only the model can tell: masks, and what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from rose_ros.perception.changes import Change, reshaped
from rose_ros.perception.corrections import MaskCorrection
from rose_ros.perception.finding import other_meant, scene_of
from rose_ros.perception.following import SAME_IOU, SessionOptions, growth_of
from rose_ros.perception.history import Memory, Record, Refusal, mask_of, overlaps
from rose_ros.perception.locality import is_same_thing
from rose_ros.perception.masks import crop_content, iou_matrix
from rose_ros.perception.parts import part_meant, shows_part
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.redrawing import redraw
from rose_ros.perception.referring import Scene, asks_for_other, asks_to_move
from rose_ros.perception.refinement import Intent
from rose_ros.perception.segments import Segment, Status
from rose_ros.perception.selection import Detections

#: An answer that overlaps the previous mask at least this much says that it is right as it is.
UNCHANGED_IOU = 0.95
#: Mask corrections of one track; the oldest go first.
MAX_TRACK_CORRECTIONS = 3


class Proposer:
    """Asks the model what a text changes in one frame; changes nothing itself."""

    def __init__(self, memory: Memory, perceiver: Perceiver, options: SessionOptions) -> None:
        """Read ``memory`` and ask ``perceiver``."""
        self._memory = memory
        self._perceiver = perceiver
        self._options = options

    def mask_change(
        self, intent: Intent, record: Record, view: Sequence[Segment], targets: Sequence[Segment]
    ) -> Change:
        """Let the model correct one mask; raises ``Refusal`` when that changes nothing."""
        if len(targets) != 1:
            message = "a mask is corrected one at a time; give one id"
            raise Refusal(Status.AMBIGUOUS, message, tuple(targets))
        target = targets[0]
        scene = cache(lambda: scene_of(self._perceiver, record, view, view.index(target)))
        meant = scene().refer_within(intent.text) if asks_to_move(intent.text) else None
        if meant:
            raise self._pointing_to(tuple(view[i] for i in meant))
        before = mask_of(target, record)
        label = target.label.text
        found = redraw(self._perceiver, record.encoding, before, label, intent.text)
        if not len(found):
            raise Refusal(Status.NOT_UNDERSTOOD, "the model sees nothing that fits the text")
        if not intent.several:
            found = found.take(np.arange(1))
        masks = self._perceiver.masks(record.encoding, found)
        same = iou_matrix(before[None], masks)[0]
        best = int(same.argmax())
        if len(found) == 1 and same[best] >= UNCHANGED_IOU:
            raise Refusal(Status.NO_CHANGE, "the mask already is so")
        if not is_same_thing(before, masks[best]):
            return self._other_thing(target, record, view, scene(), found, intent.text)
        part = "" if len(found) > 1 else part_meant(intent.text)
        if part and not shows_part(self._perceiver, record.encoding, before, found, label, part):
            raise Refusal(Status.NO_TARGET, f"no {part!r} is seen in or beside this segment")
        if asks_for_other(intent.text):
            missing = scene().missing(intent.text, label)
            if missing:
                raise Refusal(Status.NO_TARGET, f"nothing in this frame is called {missing!r}")
        correction = MaskCorrection(
            text=intent.text,
            label=label,
            growth=growth_of(before, masks[best]),
            overlap=float(same[best]),
            several=len(found) > 1,
            serial=self._memory.ledger.next_serial(),
        )
        others = found.take(np.delete(np.arange(len(found)), best))
        return Change(
            message=f"split into {len(found)}" if len(others) else self._mask_message(),
            targets=(target,),
            edits={target.id: reshaped(target, masks[best], float(found.quality[best]))},
            give=lambda given: replace(
                given, masks=(*given.masks, correction)[-MAX_TRACK_CORRECTIONS:]
            ),
            added=self._perceiver.with_names(record.encoding, others),
            shown=crop_content(found.logits, record.encoding.content)[best] > 0,
        )

    def _mask_message(self) -> str:
        """Say that a mask was corrected, and when that pushes out an older correction."""
        tracks = self._memory.tracks
        waiting = sum(len(track.correction.masks) for track in tracks)
        limit = self._options.max_mask_corrections
        if waiting < limit:
            return "mask corrected"
        return f"mask corrected; only the newest {limit} mask corrections follow their segments"

    def _other_thing(
        self,
        target: Segment,
        record: Record,
        view: Sequence[Segment],
        scene: Scene,
        found: Detections,
        text: str,
    ) -> Change:
        """The text means something else than the target: point to it, or add it.

        What the text calls it counts more than where the model looked.
        """
        found = found.take(np.arange(1))
        meant = other_meant(self._perceiver, record.encoding, scene, found, text)
        if meant is not None:
            others = tuple(view[i] for i in meant)
            if not others:
                raise Refusal(Status.NO_TARGET, "nothing in this frame is what the text means")
            raise self._pointing_to(others)
        mask = self._perceiver.masks(record.encoding, found)
        overlap = overlaps(record, mask, view)[0]
        best = int(overlap.argmax())
        if overlap[best] > SAME_IOU:
            raise self._pointing_to((view[best],))
        added = self._perceiver.with_names(record.encoding, found)
        return Change(f"added; segment {target.id} is unchanged", added=added)

    def _pointing_to(self, others: tuple[Segment, ...]) -> Refusal:
        listed = ", ".join(f"{one.id} ({one.label.text})" for one in others)
        return Refusal(Status.NO_CHANGE, f"the text means segment {listed}", others)

    def addition(self, description: str, record: Record, view: Sequence[Segment]) -> Change:
        """Look for something that was missed; raises ``Refusal`` when nothing new fits."""
        found = self._perceiver.find(record.encoding, description)
        if not len(found):
            raise Refusal(Status.NO_TARGET, f"nothing in this frame fits {description!r}")
        overlap = overlaps(record, self._perceiver.masks(record.encoding, found), view)
        known = overlap.max(axis=1, initial=0.0) > SAME_IOU
        if known.all():
            present = tuple(view[i] for i in sorted({int(i) for i in overlap.argmax(axis=1)}))
            raise Refusal(Status.NO_CHANGE, "it is there already", present)
        added = found.take(np.flatnonzero(~known)[:1])
        return Change("added", added=added, wanted=description)
