"""Carry out one refine request: find what it means, change it, remember how to take it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rose_ros.errors import RequestError
from rose_ros.perception.changes import (
    Change,
    is_same_thing,
    removal,
    renaming,
    reshaped,
)
from rose_ros.perception.corrections import Correction, Entry, MaskCorrection, SessionRule
from rose_ros.perception.following import SAME_IOU, SessionOptions, growth_of, observe
from rose_ros.perception.history import Memory, Record, Refusal, mask_of, overlaps
from rose_ros.perception.masks import crop_content, iou_matrix, measure
from rose_ros.perception.perceiver import Perceiver, make_segment
from rose_ros.perception.refinement import (
    Intent,
    Kind,
    choose_targets,
    clean_text,
    means_part,
    parse,
)
from rose_ros.perception.segments import (
    RefineReply,
    RefineRequest,
    Scope,
    Segment,
    SegmentedFrame,
    Status,
)
from rose_ros.perception.selection import Detections
from rose_ros.perception.tracking import Track

#: Segments that one request may name.
MAX_TARGETS = 64
#: Masks that overlap at least this much are the same mask.
UNCHANGED_IOU = 0.98
#: Mask corrections of one track; the oldest go first.
MAX_TRACK_CORRECTIONS = 3


class Corrector:
    """Serves one request on a session's memory."""

    def __init__(
        self,
        memory: Memory,
        perceiver: Perceiver,
        options: SessionOptions,
        session_id: int,
        is_wanted: Callable[[], bool],
    ) -> None:
        """Work on ``memory``; ``is_wanted`` is asked before anything in it is changed."""
        self._memory = memory
        self._perceiver = perceiver
        self._options = options
        self._session_id = session_id
        self._is_wanted = is_wanted

    def refine(self, request: RefineRequest) -> RefineReply:
        """Return the reply to a request; anything but OK has changed nothing."""
        record = None
        try:
            text = clean_text(request.text)
            self._check(request)
            intent = parse(text, targeted=bool(request.segment_ids))
            if intent.kind is Kind.UNDO:
                return self._undo(request, intent)
            record = self._locate(request)
            return self._carry_out(request, intent, record)
        except Refusal as refusal:
            frame = self._frame(record) if record else None
            return RefineReply(refusal.status, str(refusal), frame, refusal.segments)
        except RequestError as error:
            return RefineReply(Status.INVALID_REQUEST, str(error))

    def _check(self, request: RefineRequest) -> None:
        """Refuse what no session could serve."""
        if request.session_id not in (0, self._session_id):
            raise Refusal(
                Status.STALE_FRAME,
                f"session {request.session_id} is over; this is session {self._session_id}",
            )
        if len(request.segment_ids) > MAX_TARGETS:
            raise RequestError(f"{len(request.segment_ids)} ids; allowed are up to {MAX_TARGETS}")
        if any(segment_id <= 0 for segment_id in request.segment_ids):
            raise RequestError("segment id 0 means untracked; give the id of a tracked segment")

    def _locate(self, request: RefineRequest) -> Record:
        """Return the frame meant: ids alone already say which camera."""
        camera = request.camera
        if not camera and not request.stamp_ns and request.segment_ids:
            camera = self._memory.camera_of(request.segment_ids[0])
        return self._memory.locate(camera, request.stamp_ns)

    def _frame(self, record: Record) -> SegmentedFrame:
        return replace(record.frame, segments=tuple(self._memory.view(record)))

    def _carry_out(self, request: RefineRequest, intent: Intent, record: Record) -> RefineReply:
        view = self._memory.view(record)
        if intent.kind is Kind.ADD:
            return self._commit(request, record, self._add(intent.name, record, view))
        targets: tuple[Segment, ...] = ()
        has_ids = bool(request.segment_ids or intent.ids)
        if has_ids or intent.kind not in (Kind.CONFIRM, Kind.UNCLEAR):
            chosen = choose_targets(intent, request.segment_ids, view)
            if chosen.status is not Status.OK:
                raise Refusal(chosen.status, chosen.message, chosen.segments)
            targets = chosen.segments
        if intent.kind is Kind.CONFIRM:
            raise Refusal(Status.NO_CHANGE, "confirmed; nothing to change")
        if intent.kind is Kind.UNCLEAR:
            raise Refusal(Status.NOT_UNDERSTOOD, "say what it is, or what is to change")
        if intent.kind is Kind.RENAME:
            change = renaming(targets, intent.name)
        elif intent.kind is Kind.REMOVE and not means_part(intent, targets):
            change = removal(targets)
        else:
            change = self._mask_change(intent, record, view, targets)
        return self._commit(request, record, change)

    def _mask_change(
        self, intent: Intent, record: Record, view: Sequence[Segment], targets: Sequence[Segment]
    ) -> Change:
        """Let the model correct one mask."""
        if len(targets) != 1:
            message = "a mask is corrected one at a time; give one id"
            raise Refusal(Status.AMBIGUOUS, message, tuple(targets))
        target = targets[0]
        before = mask_of(target, record)
        label = target.label.text
        found = self._perceiver.refine(record.encoding, before, label, intent.text)
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
            return self._other_thing(target, record, view, found)
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
        self, target: Segment, record: Record, view: Sequence[Segment], found: Detections
    ) -> Change:
        """The text means something else than the target: point to it, or add it."""
        mask = self._perceiver.masks(record.encoding, found.take(np.arange(1)))
        overlap = overlaps(record, mask, view)[0]
        best = int(overlap.argmax())
        if overlap[best] > SAME_IOU:
            meant = view[best]
            message = f"the text means segment {meant.id} ({meant.label.text})"
            raise Refusal(Status.NO_CHANGE, message, (meant,))
        added = self._perceiver.with_names(record.encoding, found.take(np.arange(1)))
        return Change(f"added; segment {target.id} is unchanged", added=added)

    def _add(self, description: str, record: Record, view: Sequence[Segment]) -> Change:
        """Look for something that was missed."""
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

    def _commit(self, request: RefineRequest, record: Record, change: Change) -> RefineReply:
        """Answer, and change the session as far as the request's scope says."""
        self._require_wanted()
        if request.scope is Scope.FRAME:
            return self._answer_only(record, change)
        tracks = self._begin_tracks(record, change)
        fresh = self._new_segments(record, change, [track.id for track in tracks])
        edits = {**change.edits, **{segment.id: segment for segment in fresh}}
        entry = Entry(
            camera=record.frame.camera,
            stamp_ns=record.frame.stamp_ns,
            before={},
            edited=tuple(edits),
            held={i: record.edits[i] for i in edits if i in record.edits},
            created=tuple(track.id for track in tracks),
        )
        entry, lost = self._correct_tracks(request, change, entry)
        self._memory.ledger.note(entry)
        record.edits.update(edits)
        message = change.message
        if lost:
            message += f"; only in this frame, as segment {lost} is not tracked any more"
        view = self._memory.view(record)
        return RefineReply(
            Status.OK,
            message,
            replace(record.frame, segments=tuple(view)),
            tuple(segment for segment in view if segment.id in edits),
            tuple(i for i, segment in edits.items() if segment is None),
        )

    def _require_wanted(self) -> None:
        if not self._is_wanted():
            raise Refusal(Status.TIMEOUT, "nobody waits for the answer any more")

    def _answer_only(self, record: Record, change: Change) -> RefineReply:
        """Answer as if the change were made."""
        fresh = self._new_segments(record, change, [0] * len(change.added or ()))
        changed = [segment for segment in change.edits.values() if segment is not None]
        kept = [s for s in self._memory.view(record) if s.id not in change.edits]
        segments = sorted([*fresh, *kept, *changed], key=lambda segment: segment.id)
        return RefineReply(
            Status.OK,
            change.message,
            replace(record.frame, segments=tuple(segments)),
            (*changed, *fresh),
            tuple(i for i, segment in change.edits.items() if segment is None),
        )

    def _new_segments(self, record: Record, change: Change, ids: Sequence[int]) -> list[Segment]:
        """Return the added segments under ``ids``."""
        added = change.added
        if added is None or not len(added):
            return []
        segments = []
        for i, mask in enumerate(self._perceiver.masks(record.encoding, added)):
            shape = measure(mask, (0, 0), *mask.shape)
            if shape is not None:
                segments.append(make_segment(added, i, shape, segment_id=ids[i]))
        return segments

    def _begin_tracks(self, record: Record, change: Change) -> list[Track]:
        added = change.added
        if added is None or not len(added):
            return []
        tracker = self._memory.trackers[record.frame.camera]
        tracks = [tracker.create(seen) for seen in observe(added, record.encoding.content)]
        for track in tracks:
            track.given = Correction(wanted=change.wanted)
        return tracks

    def _correct_tracks(
        self, request: RefineRequest, change: Change, entry: Entry
    ) -> tuple[Entry, str]:
        """Change the targets' tracks; return the completed entry and the ids without a track."""
        before, rules, lost = {}, [], []
        newest = max((track.id for track in self._memory.tracks), default=0)
        for segment in change.targets:
            track = self._memory.track(segment.id)
            if track is None:
                lost.append(str(segment.id))
                continue
            before[segment.id] = track.given
            if request.scope is Scope.SESSION:
                label = track.votes.label.text
                rule = change.give(Correction())
                rules.append(SessionRule(label, track.embedding, newest, rule))
            track.given = change.give(track.correction)
            track.revision += 1
            if change.shown is not None:
                track.shown = change.shown
        return replace(entry, before=before, rules=tuple(rules)), ", ".join(lost)

    def _undo(self, request: RefineRequest, intent: Intent) -> RefineReply:
        """Take the last correction back, of the segments and the camera where given."""
        latest = self._memory.locate(request.camera, request.stamp_ns)
        self._require_wanted()
        ids = request.segment_ids or intent.ids
        entry = self._memory.ledger.take_last(ids, request.camera)
        if entry is None:
            meant = f" of segment {', '.join(str(i) for i in ids)}" if ids else ""
            raise Refusal(Status.NO_CHANGE, f"there is no correction{meant} to undo")
        self._memory.restore(entry)
        corrected = self._memory.record(entry.camera, entry.stamp_ns)
        record = corrected if corrected is not None and not request.stamp_ns else latest
        view = self._memory.view(record)
        return RefineReply(
            Status.OK,
            "undone",
            replace(record.frame, segments=tuple(view)),
            tuple(s for s in view if s.id in entry.before or s.id in entry.edited),
            entry.created,
        )
