"""How long each step of a frame takes, measured while whole frames run."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import build_world
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime

Result = TypeVar("Result")

#: The first frames pay for memory and caches; they do not count.
WARM_UP = 2

#: What the model is timed on: unseen scenes, one after the other.
SPLIT = "test"


@dataclass(frozen=True, slots=True)
class Duration:
    """How long one step took, over ``count`` frames; seconds."""

    step: str
    median: float
    p95: float
    count: int


class TimedRuntime(Runtime):
    """A runtime that notes how long each call takes, in ``seconds`` by name of the call."""

    def __init__(self, runtime: Runtime) -> None:
        """Pass every call on to ``runtime``."""
        self._runtime = runtime
        self.kind, self.model_name = runtime.kind, runtime.model_name
        self.device = runtime.device
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        """Time ``encode``."""
        return self._timed("encode", lambda: self._runtime.encode(image))

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """Time ``perceive``."""
        return self._timed(
            "perceive", lambda: self._runtime.perceive(encoding, text, previous_mask)
        )

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        """Time ``decode``."""
        return self._timed(
            "decode", lambda: self._runtime.decode(encoding, candidates, previous_mask)
        )

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        """Time ``name``."""
        return self._timed(
            "name", lambda: self._runtime.name(encoding, logits, category_embeddings)
        )

    def close(self) -> None:
        """Free what the runtime holds."""
        self._runtime.close()

    def _timed(self, step: str, call: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = call()
        self.seconds[step].append(time.perf_counter() - start)
        return result


def render_frames(
    count: int, height: int, width: int
) -> tuple[list[NDArray[np.uint8]], list[Duration]]:
    """Render ``count`` scenes and time it: building a world and one image of it."""
    images = []
    seconds: dict[str, list[float]] = {"build a scene": [], "render": []}
    for seed in range(count):
        start = time.perf_counter()
        world = build_world(seed, SPLIT)
        built = time.perf_counter()
        images.append(world.render(height=height, width=width).image)
        seconds["build a scene"].append(built - start)
        seconds["render"].append(time.perf_counter() - built)
    return images, [summarise(step, values) for step, values in seconds.items()]


def segment_frames(runtime: Runtime, images: list[NDArray[np.uint8]]) -> list[Duration]:
    """Segment the images, the first ones twice to warm up, and time each step.

    "masks and duplicates" is what perception itself takes; a step that a frame did not need (no
    names when nothing was found) does not count for it.
    """
    timed = TimedRuntime(runtime)
    perceiver = Perceiver(timed)
    for image in images[:WARM_UP]:
        perceiver.segment(image)
    timed.seconds.clear()
    own, whole = [], []
    for image in images:
        start = time.perf_counter()
        frame = perceiver.segment(image)
        whole.append(time.perf_counter() - start)
        own.append(whole[-1] - frame.timing.inference)
    steps = [summarise(step, timed.seconds[step]) for step in timed.seconds]
    return [*steps, summarise("masks and duplicates", own), summarise("whole frame", whole)]


def summarise(step: str, seconds: list[float]) -> Duration:
    """Reduce durations in seconds, at least one, to median and 95th percentile."""
    median, p95 = np.percentile(seconds, (50, 95)).tolist()
    return Duration(step, median, p95, len(seconds))
