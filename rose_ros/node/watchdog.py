"""When a node cannot mend itself any more: the rules, and who looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rose_ros.node.worker import Worker

#: s: how often the watchdog looks.
_PERIOD_SECONDS = 0.25


class Watchdog:
    """Gives the node up when its model hangs, fails on everything, or its worker has died.

    It has a thread of its own: the executor's may all be waiting for the worker. Whoever starts
    the process is expected to start it anew; a broken device seldom mends within a process.
    """

    def __init__(self, worker: Worker, give_up: Callable[[str], None]) -> None:
        """Watch ``worker``; ``give_up(reason)`` is called once."""
        #: s: on one frame or request at most; 0 means for ever
        self.max_seconds = 0.0
        #: frames in a row that may fail, of all cameras together; 0 means any number
        self.max_failures = 0
        self._is_timed = True
        self._worker = worker
        self._give_up = give_up
        self._failures = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rose_watchdog", daemon=True)
        self._thread.start()

    def succeeded(self) -> None:
        """Take note of a frame that was processed."""
        self._failures = 0

    def failed(self) -> None:
        """Take note of a frame that the model failed on."""
        self._failures += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the time not count, as loading a model takes as long as it takes."""
        self._is_timed = False
        try:
            yield
        finally:
            self._is_timed = True

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        self._thread.join()

    def problem(self) -> str:
        """Say why the node cannot go on; "" while it can."""
        busy = self._worker.busy_seconds
        if not self._worker.is_alive:
            return "the worker's thread has died"
        if self.max_failures and self._failures >= self.max_failures:
            return f"the model failed on {self._failures} frames in a row"
        if self._is_timed and self.max_seconds and busy > self.max_seconds:
            return f"the model has not answered for {busy:.1f} s"
        return ""

    def _run(self) -> None:
        # Seen twice: the worker takes a moment to say that it is done.
        before = ""
        while not self._stopping.wait(_PERIOD_SECONDS):
            problem = self.problem()
            if problem and before:
                self._give_up(problem)
                return
            before = problem
