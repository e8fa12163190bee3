"""The frames a planner may still ask about, and what all cameras' tracks are by now."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import RequestError
from rose_ros.perception.corrections import Correction, Entry, Ledger
from rose_ros.perception.masks import decode_runs, iou_matrix
from rose_ros.perception.segments import Label, LabelSource, Segment, SegmentedFrame, Status
from rose_ros.perception.tracking import Track, Tracker
from rose_ros.runtime.base import Encoding


class Refusal(RequestError):
    """A request ends here, with a status other than INVALID_REQUEST."""

    def __init__(self, status: Status, message: str, segments: tuple[Segment, ...] = ()) -> None:
        """Keep the status and the segments to answer with."""
        super().__init__(message)
        self.status = status
        self.segments = segments


@dataclass(slots=True)
class Record:
    """A published frame with its encoding and what was corrected in it since.

    edits: the segment as it is after a correction in this frame, None for a removed one.
    """

    encoding: Encoding
    frame: SegmentedFrame
    edits: dict[int, Segment | None] = field(default_factory=dict)


class Memory:
    """All that a session remembers: tracks, frames and corrections."""

    def __init__(self) -> None:
        """Start empty."""
        self.ids = itertools.count(1)
        self.trackers: dict[str, Tracker] = {}
        self.ledger = Ledger()
        self._records: dict[str, deque[Record]] = {}
        self._last_camera = ""

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that frames came from."""
        return tuple(self._records)

    def add(self, record: Record, max_frames: int, max_seconds: float) -> None:
        """Keep a frame; forget the same camera's oldest beyond either limit."""
        camera, stamp_ns = record.frame.camera, record.frame.stamp_ns
        # A stamp that comes again, such as 0, means the newer frame.
        kept = (old for old in self._records.get(camera, ()) if old.frame.stamp_ns != stamp_ns)
        records = self._records[camera] = deque([*kept, record])
        oldest = stamp_ns - round(max_seconds * 1e9)
        while len(records) > max_frames or records[0].frame.stamp_ns < oldest:
            records.popleft()
        self._last_camera = camera

    def record(self, camera: str, stamp_ns: int) -> Record | None:
        """Return a frame; ``stamp_ns`` 0 is the latest.

        ``camera`` "" is the one seen last or, with a stamp, any that has the frame.
        """
        if not stamp_ns:
            records = self._records.get(camera or self._last_camera)
            return records[-1] if records else None
        cameras = (camera,) if camera else (self._last_camera, *self._records)
        for records in (self._records.get(name, deque()) for name in cameras):
            for record in reversed(records):
                if record.frame.stamp_ns == stamp_ns:
                    return record
        return None

    def locate(self, camera: str, stamp_ns: int) -> Record:
        """Return the frame a request means; raises ``RequestError`` or ``Refusal``."""
        if stamp_ns < 0:
            raise RequestError(f"stamp is {stamp_ns} ns; give a frame's stamp, or 0 for the latest")
        if not self._records:
            raise Refusal(Status.STALE_FRAME, "no frame has been processed yet")
        if camera and camera not in self._records:
            known = ", ".join(repr(name) for name in self._records)
            raise RequestError(f"no frame has come from camera {camera!r}; there are {known}")
        record = self.record(camera, stamp_ns)
        if record is None:
            message = f"the frame with stamp {stamp_ns} ns is not held any more; take a newer one"
            raise Refusal(Status.STALE_FRAME, message)
        return record

    def camera_of(self, segment_id: int) -> str:
        """Return the camera that tracks a segment, "" when none does."""
        for camera, tracker in self.trackers.items():
            if segment_id in tracker.tracks:
                return camera
        return ""

    @property
    def tracks(self) -> list[Track]:
        """All living tracks of all cameras."""
        return [t for tracker in self.trackers.values() for t in tracker.tracks.values()]

    def track(self, segment_id: int) -> Track | None:
        """Return a living track."""
        camera = self.camera_of(segment_id)
        return self.trackers[camera].tracks[segment_id] if camera else None

    def restore(self, entry: Entry) -> None:
        """Put back what a correction replaced."""
        for segment_id, correction in entry.before.items():
            track = self.track(segment_id)
            if track is not None:
                track.given = correction
                track.revision += 1
        records = self._records.get(entry.camera, ())
        for segment_id in entry.created:
            tracker = self.trackers.get(entry.camera)
            if tracker is not None:
                tracker.tracks.pop(segment_id, None)
            for record in records:
                record.edits[segment_id] = None
        for record in records:
            if record.frame.stamp_ns == entry.stamp_ns:
                for segment_id in set(entry.edited) - set(entry.created):
                    record.edits.pop(segment_id, None)
                record.edits.update(entry.held)
        self.refresh_rules()

    def refresh_rules(self) -> None:
        """Let all tracks follow the session's rules as they are now."""
        for tracker in self.trackers.values():
            for track in tracker.tracks.values():
                self.inherit(track, tracker.options.min_cosine)

    def inherit(self, track: Track, min_cosine: float) -> None:
        """Let a track follow the session's rules."""
        label = track.votes.label.text
        track.inherit(self.ledger.rule_for(track.id, label, track.embedding, min_cosine))

    def forget(self, camera: str) -> None:
        """Drop the tracks and frames of a camera; ids are never used again."""
        self.trackers.pop(camera, None)
        self._records.pop(camera, None)
        self.ledger.forget_camera(camera)

    def clear_corrections(self) -> None:
        """Make all tracks and kept frames what the model alone made of them."""
        for records in self._records.values():
            for record in records:
                record.edits.clear()
        for track in self.tracks:
            track.revision += track.given.is_active
            track.given = Correction()
        self.refresh_rules()

    def view(self, record: Record) -> list[Segment]:
        """Return a frame's segments as planners made them by now, ascending id."""
        current: dict[int, Segment | None] = {s.id: s for s in record.frame.segments}
        current.update(record.edits)
        segments = [self._corrected(s) for s in current.values() if s is not None]
        return sorted((s for s in segments if s is not None), key=lambda s: s.id)

    def _corrected(self, segment: Segment) -> Segment | None:
        """Return a published segment with its track's present name; None when it was removed."""
        track = self.track(segment.id)
        if track is None:
            return segment
        correction = track.correction
        if correction.removed:
            return None
        segment = replace(segment, revision=track.revision)
        if correction.name:
            return rename(segment, correction.name)
        if segment.label_source is LabelSource.FROM_REFINEMENT:
            return replace(
                segment,
                label=track.label,
                label_source=track.label_source,
                alternatives=track.alternatives(len(segment.alternatives)),
            )
        return segment


def rename(segment: Segment, name: str) -> Segment:
    """Return a segment under a planner's name; what it was called becomes an alternative."""
    if segment.label_source is LabelSource.FROM_REFINEMENT:
        alternatives = segment.alternatives
    else:
        alternatives = (segment.label, *segment.alternatives)
    return replace(
        segment,
        label=Label(name, 1.0),
        label_source=LabelSource.FROM_REFINEMENT,
        alternatives=tuple(a for a in alternatives if a.text not in ("", name))[:3],
    )


def mask_of(segment: Segment, record: Record) -> NDArray[np.bool_]:
    """Return a segment's mask, bool (height, width) of the record's frame."""
    return decode_runs(segment.mask, record.frame.height, record.frame.width)


def overlaps(
    record: Record, masks: NDArray[np.bool_], segments: Sequence[Segment]
) -> NDArray[np.float32]:
    """Return the IoU (masks, segments) of masks (n, height, width) with a frame's segments."""
    size = record.frame.height, record.frame.width
    known = [mask_of(segment, record) for segment in segments]
    return iou_matrix(masks, np.stack(known) if known else np.zeros((0, *size), bool))


def with_identity(
    found: Sequence[Segment], known: Sequence[Segment], record: Record, least_iou: float
) -> list[Segment]:
    """Return found segments; those that cover a known one take its id, name and revision."""
    if not found:
        return []
    masks = np.stack([mask_of(segment, record) for segment in found])
    overlap = overlaps(record, masks, known)
    result = list(found)
    while overlap.size and float(overlap.max()) > least_iou:
        i, j = (int(index) for index in np.unravel_index(overlap.argmax(), overlap.shape))
        result[i] = replace(
            found[i],
            id=known[j].id,
            label=known[j].label,
            alternatives=known[j].alternatives,
            label_source=known[j].label_source,
            revision=known[j].revision,
        )
        overlap[i, :] = overlap[:, j] = 0.0
    return sorted(result, key=lambda segment: (segment.id == 0, segment.id))
