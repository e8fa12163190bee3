"""Carry out a change: in the answer alone, or in the frame, its tracks and the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rose_ros.perception.changes import Change
from rose_ros.perception.corrections import Correction, Entry, SessionRule
from rose_ros.perception.following import observe
from rose_ros.perception.history import Memory, Record
from rose_ros.perception.masks import measure
from rose_ros.perception.perceiver import Perceiver, make_segment
from rose_ros.perception.segments import RefineReply, RefineRequest, Scope, Segment, Status
from rose_ros.perception.tracking import Track


class Committer:
    """Writes changes into a session's memory, so that they can be taken back."""

    def __init__(self, memory: Memory, perceiver: Perceiver) -> None:
        """Write into ``memory``; the ``perceiver`` makes segments of what was found."""
        self._memory = memory
        self._perceiver = perceiver

    def commit(self, request: RefineRequest, record: Record, change: Change) -> RefineReply:
        """Answer, and change the session as far as the request's scope says."""
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
                score = self._perceiver.score(added.objectness[i])
                segments.append(make_segment(added, i, shape, score, segment_id=ids[i]))
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
