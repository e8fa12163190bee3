"""Where a frame's time goes: a stopwatch around the functions that a frame passes through."""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose_ros.model.processing import RoseProcessor
from rose_ros.perception import following, perceiver
from rose_ros.perception.session import PerceptionSession
from rose_ros.runtime.base import Runtime

#: All steps, in the order of a frame; "other" is what none of them covers.
STEPS = (
    "decode",
    "preprocess",
    "encode",
    "perceive",
    "decode masks",
    "sharpen masks",
    "name",
    "overlap",
    "tracking",
    "message",
    "publish",
    "other",
)
#: The steps that are the perceiver's own; the rest is the node's.
OWN_STEPS = STEPS[1:9]

#: (where it is looked up, its name there, the step that it is)
Place = tuple[Any, str, str]
PERCEPTION: tuple[Place, ...] = (
    (RoseProcessor, "pixel_values", "preprocess"),
    (perceiver, "pick_candidates", "overlap"),
    (perceiver, "keep_promising", "overlap"),
    (perceiver, "keep_distinct", "overlap"),
    (perceiver, "drop_fragments", "overlap"),
    (perceiver, "exclusive_shapes", "overlap"),
    (following, "exclusive_shapes", "overlap"),
    (PerceptionSession, "process", "tracking"),
)
_CALLS = {
    "encode": "encode",
    "perceive": "perceive",
    "decode": "decode masks",
    "sharpen": "sharpen masks",
    "name": "name",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its size in pixels, seconds from when it was received, and of each step."""

    height: int
    width: int
    seconds: float
    steps: dict[str, float]

    @property
    def own(self) -> float:
        """The perceiver's own seconds."""
        return sum(self.steps.get(step, 0.0) for step in OWN_STEPS)


class Stopwatch:
    """Takes the time of each step, less that of the steps called inside it.

    Only the thread that works on a frame is watched.
    """

    def __init__(self) -> None:
        """Start without frames."""
        self.frames: list[Frame] = []
        #: (height, width) of the frame in work, set by whoever knows
        self.size = (0, 0)
        self._steps: dict[str, float] = defaultdict(float)
        self._thread = 0
        self._inner = 0.0

    @contextmanager
    def frame(self, received: float | None = None) -> Iterator[None]:
        """Watch the work on one frame; ``received`` is seconds on the monotonic clock."""
        self.size = (0, 0)
        start = time.perf_counter()
        waited = time.monotonic() - received if received is not None else 0.0
        self._steps, self._thread, self._inner = defaultdict(float), threading.get_ident(), 0.0
        try:
            yield
        finally:
            self._thread = 0
        seconds = time.perf_counter() - start
        self._steps["other"] = seconds - sum(self._steps.values())
        self.frames.append(Frame(*self.size, seconds + waited, dict(self._steps)))

    def timed(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        """Return a function that does the same and is timed."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self._thread != threading.get_ident():
                return function(*args, **kwargs)
            start, outer = time.perf_counter(), self._inner
            self._inner = 0.0
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self._steps[step] += took - self._inner
                self._inner = outer + took

        return wrapped

    def watch(self, runtime: Runtime) -> Runtime:
        """Time the four calls of a runtime, for as long as it lives; returns it."""
        for name, step in _CALLS.items():
            setattr(runtime, name, self.timed(getattr(runtime, name), step))
        return runtime

    @contextmanager
    def installed(self, places: Sequence[Place] = PERCEPTION) -> Iterator[None]:
        """Time functions where they are looked up; everything is as before afterwards."""
        with ExitStack() as stack:
            for owner, name, step in places:
                original = getattr(owner, name)
                setattr(owner, name, self.timed(original, step))
                stack.callback(setattr, owner, name, original)
            yield


def medians(frames: Sequence[Frame]) -> dict[str, float]:
    """Return the median milliseconds of each step that any of the frames had."""
    present = [step for step in STEPS if any(step in frame.steps for frame in frames)]
    return {
        step: 1e3 * float(np.median([frame.steps.get(step, 0.0) for frame in frames]))
        for step in present
    }
