"""The one thread that owns the model: requests first, then the newest frame of each camera."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from rose_ros.errors import RoseError

T = TypeVar("T")
M = TypeVar("M")

_LOGGER = logging.getLogger(__name__)


class BusyError(RoseError):
    """Too many requests are waiting already."""


@dataclass(frozen=True, slots=True)
class CameraFrame(Generic[M]):
    """One received message; ``received`` is seconds on the monotonic clock.

    skipped: frames of this camera so far that were overwritten before the model was free.
    """

    camera: str
    message: M
    received: float
    skipped: int = 0


@dataclass(slots=True)
class _Slot(Generic[M]):
    """The newest unprocessed frame of one camera; times are seconds on the monotonic clock.

    served: when a frame of it was taken last. period: least time between two frames.
    """

    frame: CameraFrame[M] | None = None
    skipped: int = 0
    served: float = float("-inf")
    period: float = 0.0

    @property
    def due(self) -> float:
        """From when on the next frame may be taken."""
        return self.served + self.period


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for the thread; ``is_request`` counts against the limit of waiting requests."""

    run: Callable[[], None]
    future: Future
    is_request: bool


class Worker(Generic[M]):
    """Run jobs and frames on one thread, jobs first, then the camera that has waited longest.

    A camera waits from when it was served last, so that with all of them waiting they take turns
    and one that sends little does not stand behind one that sends much.
    Frames are held in one slot per camera: a newer one overwrites an older one, which is counted.
    All methods may be called from any thread.
    """

    def __init__(self, process: Callable[[CameraFrame[M]], None], *, max_waiting: int) -> None:
        """Keep ``process``, which handles a frame, and the limit of waiting requests."""
        self._process = process
        self._max_waiting = max_waiting
        self._slots: dict[str, _Slot[M]] = {}
        self._jobs: deque[_Job] = deque()
        self._stopping = False
        self._busy_since: float | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="rose_worker", daemon=True)
        self._thread.start()

    def open(self, cameras: Sequence[str]) -> None:
        """Accept frames of ``cameras`` from now on, counting skipped frames from 0."""
        with self._wake:
            self._slots = {camera: _Slot() for camera in cameras}

    def close(self) -> None:
        """Accept no more frames and forget the waiting ones."""
        with self._wake:
            self._slots = {}

    def offer(self, camera: str, message: M) -> bool:
        """Put a frame into its camera's slot; say whether an unprocessed one was overwritten."""
        with self._wake:
            slot = self._slots.get(camera)
            if slot is None:
                return False
            overwritten = slot.frame is not None
            slot.skipped += overwritten
            slot.frame = CameraFrame(camera, message, time.monotonic())
            self._wake.notify_all()
            return overwritten

    def set_max_rates(self, rates: Mapping[str, float]) -> None:
        """Process at most so many frames a second of each camera; 0 means no limit."""
        with self._wake:
            for camera, rate in rates.items():
                if camera in self._slots:
                    self._slots[camera].period = 1.0 / rate if rate > 0 else 0.0
            self._wake.notify_all()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; it ends only when it is stopped."""
        return self._thread.is_alive()

    @property
    def busy_seconds(self) -> float:
        """How long the thread has been working on the present frame or job; 0 when it waits."""
        since = self._busy_since
        return time.monotonic() - since if since is not None else 0.0

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run ``function`` on the thread before any further frame."""
        return self._enqueue(function, is_request=False)

    def request(self, function: Callable[[], T]) -> Future[T]:
        """Like ``submit``, but raise ``BusyError`` when too many requests wait already."""
        return self._enqueue(function, is_request=True)

    def serve_requests(self) -> None:
        """Run the requests that wait, in the midst of a frame; for the worker's thread alone.

        A planner then waits for a step of the frame and not for all of it. Jobs that are no
        requests, such as the end of a session, and what comes after them wait for the frame.
        """
        while (job := self._next_request()) is not None:
            self._busy_since = time.monotonic()
            if job.future.set_running_or_notify_cancel():
                job.run()
            self._busy_since = time.monotonic()

    def stop(self, timeout: float) -> bool:
        """Cancel what waits, end the thread; say whether it ended within ``timeout`` seconds."""
        with self._wake:
            self._stopping = True
            self._slots = {}
            for job in self._jobs:
                job.future.cancel()
            self._jobs.clear()
            self._wake.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _enqueue(self, function: Callable[[], T], *, is_request: bool) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # handed to whoever waits for the future
                future.set_exception(error)

        with self._wake:
            if self._stopping:
                future.cancel()
                return future
            waiting = sum(job.is_request and not job.future.cancelled() for job in self._jobs)
            if is_request and waiting >= self._max_waiting:
                raise BusyError(f"{waiting} requests are waiting already; ask again later")
            self._jobs.append(_Job(run, future, is_request))
            self._wake.notify_all()
        return future

    def _run(self) -> None:
        while True:
            work = self._next()
            if work is None:
                return
            self._busy_since = time.monotonic()
            try:
                if isinstance(work, CameraFrame):
                    self._process(work)
                elif work.future.set_running_or_notify_cancel():
                    work.run()
            except Exception:
                _LOGGER.exception("the worker goes on after an unexpected error")
            finally:
                self._busy_since = None

    def _next_request(self) -> _Job | None:
        with self._wake:
            return self._jobs.popleft() if self._jobs and self._jobs[0].is_request else None

    def _next(self) -> _Job | CameraFrame[M] | None:
        """Wait for the next job or due frame; None when the thread shall end."""
        with self._wake:
            while not self._stopping:
                if self._jobs:
                    return self._jobs.popleft()
                frame, wait = self._take_due_frame(time.monotonic())
                if frame is not None:
                    return frame
                self._wake.wait(wait)
            return None

    def _take_due_frame(self, now: float) -> tuple[CameraFrame[M] | None, float | None]:
        """Take the frame of the camera that waited longest, or say how many seconds to wait."""
        filled = [slot for slot in self._slots.values() if slot.frame is not None]
        if not filled:
            return None, None
        allowed = [slot for slot in filled if slot.due <= now]
        if not allowed:
            return None, min(slot.due for slot in filled) - now
        slot = min(allowed, key=lambda candidate: candidate.served)
        frame = slot.frame
        assert frame is not None
        slot.frame = None
        slot.served = now
        return CameraFrame(frame.camera, frame.message, frame.received, slot.skipped), None
