"""A session: frames in, tracked and corrected segments out, and answers to planners."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import RequestError
from rose_ros.perception.correcting import Corrector
from rose_ros.perception.finding import find
from rose_ros.perception.following import FrameFollower, SessionOptions
from rose_ros.perception.history import Memory, Record, Refusal
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.refinement import clean_text
from rose_ros.perception.segments import (
    FindReply,
    FindRequest,
    RefineReply,
    RefineRequest,
    SegmentedFrame,
    Status,
    Timing,
)
from rose_ros.perception.tracking import Tracker
from rose_ros.runtime.base import Runtime

__all__ = ["PerceptionSession", "SessionOptions"]


class PerceptionSession:
    """Everything perception remembers between the frames of any number of cameras.

    One thread owns a session; only ``options`` may be replaced from another one, which takes
    effect with the next call.
    """

    def __init__(
        self, runtime: Runtime, options: SessionOptions | None = None, session_id: int = 1
    ) -> None:
        """Begin with ids from 1. ``session_id`` is what requests may be checked against."""
        self.options = options or SessionOptions()
        self.session_id = session_id
        self._runtime = runtime
        self._memory = Memory()
        self._sequences: dict[str, int] = {}

    @property
    def model_name(self) -> str:
        """The name of the model, e.g. "rose-tiny"."""
        return self._runtime.model_name

    def process(
        self,
        image: NDArray[np.uint8],
        *,
        camera: str = "",
        stamp_ns: int = 0,
        time_ns: int | None = None,
        let_in: Callable[[], None] = lambda: None,
    ) -> SegmentedFrame:
        """Segment an RGB image uint8 (height, width, 3) and carry identities and corrections on.

        ``time_ns`` is the time by which identities end, where the stamp does not tell it.
        ``let_in`` is called while nothing of this frame is remembered yet; it may serve requests.
        Raises ``ImageError``; the session is then as it was.
        """
        start = time.perf_counter()
        options = self.options
        perceiver = Perceiver(self._runtime, options.perceiver)
        encoding = perceiver.encode(image)
        waiting = _seconds(let_in)
        tracker = self._tracker(camera, options)
        follower = FrameFollower(perceiver, encoding, self._memory, tracker, options)
        found = follower.detect()
        waiting += _seconds(let_in)
        segments = follower.follow(found, stamp_ns if time_ns is None else time_ns)
        sequence = self._sequences.get(camera, 0) + 1
        self._sequences[camera] = sequence
        inference = perceiver.inference_seconds
        rest = time.perf_counter() - start - inference - waiting
        frame = SegmentedFrame(
            camera,
            stamp_ns,
            sequence,
            encoding.height,
            encoding.width,
            segments,
            Timing(0.0, inference, rest, waiting),
        )
        record = Record(encoding, frame)
        self._memory.add(record, options.history_frames, options.history_seconds)
        return frame

    def _tracker(self, camera: str, options: SessionOptions) -> Tracker:
        trackers = self._memory.trackers
        if camera not in trackers:
            trackers[camera] = Tracker(self._memory.ids, options.tracker)
        trackers[camera].options = options.tracker
        return trackers[camera]

    def refine(
        self, request: RefineRequest, is_wanted: Callable[[], bool] = lambda: True
    ) -> RefineReply:
        """Correct what was published as a planner says; segments not meant stay as they are.

        ``is_wanted`` is asked once, before anything is changed: a caller that gave up returns
        False and nothing is changed (status TIMEOUT).
        """
        options = self.options
        perceiver = Perceiver(self._runtime, options.perceiver)
        corrector = Corrector(self._memory, perceiver, options, self.session_id, is_wanted)
        return corrector.refine(request)

    def find(self, request: FindRequest) -> FindReply:
        """Look for what a description fits (``finding``); changes nothing."""
        perceiver = Perceiver(self._runtime, self.options.perceiver)
        try:
            text = clean_text(request.text)
            record = self._memory.locate(request.camera, request.stamp_ns)
            known = self._memory.view(record)
            segments = find(perceiver, record, known, text)
        except Refusal as refusal:
            return FindReply(refusal.status, str(refusal))
        except RequestError as error:
            return FindReply(Status.INVALID_REQUEST, str(error))
        frame = replace(record.frame, segments=tuple(known))
        if not segments:
            return FindReply(Status.NO_TARGET, f"nothing in this frame fits {text!r}", frame)
        return FindReply(Status.OK, f"found {len(segments)}", frame, tuple(segments))

    def clear_refinements(self) -> int:
        """Drop all corrections; return how many were in force."""
        count = self._memory.ledger.clear()
        self._memory.clear_corrections()
        return count

    def reset(self, camera: str | None = None) -> None:
        """Forget the tracks and frames of a camera, or of all; session-wide corrections stay."""
        for name in self._memory.cameras if camera is None else (camera,):
            self._memory.forget(name)


def _seconds(call: Callable[[], None]) -> float:
    """Call and return how long it took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
