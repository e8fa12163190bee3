"""Serve one refine request: find what it means, have it changed, or take a change back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rose_ros.errors import RequestError
from rose_ros.perception.changes import Change, removal, renaming
from rose_ros.perception.committing import Committer
from rose_ros.perception.following import SessionOptions
from rose_ros.perception.history import Memory, Record, Refusal
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.proposing import Proposer
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
    Segment,
    SegmentedFrame,
    Status,
)

#: Segments that one request may name.
MAX_TARGETS = 64


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
        self._proposer = Proposer(memory, perceiver, options)
        self._committer = Committer(memory, perceiver)
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
            return self._commit(request, record, self._proposer.addition(intent.name, record, view))
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
            change = self._proposer.mask_change(intent, record, view, targets)
        return self._commit(request, record, change)

    def _commit(self, request: RefineRequest, record: Record, change: Change) -> RefineReply:
        self._require_wanted()
        return self._committer.commit(request, record, change)

    def _require_wanted(self) -> None:
        if not self._is_wanted():
            raise Refusal(Status.TIMEOUT, "nobody waits for the answer any more")

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
