"""Naming in a tracked scene against naming everything in every frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.images import orbit, there_and_back
from benchmarks.measures import Bench, BenchmarkError, Findings, Row, Target, median
from benchmarks.watch import Stopwatch
from rose_ros.data.tabletop import Scene
from rose_ros.perception.masks import decode_runs
from rose_ros.perception.segments import Segment, SegmentedFrame
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.runtime import create_runtime

#: Frames at each pose: the simulated camera shows four a second, and a CPU processes about twelve.
_HOLD = 3
_FRAME_NS = 100_000_000
#: A segment shows the object that has at least this share of its pixels.
_OWN_SHARE = 0.5


@dataclass(slots=True)
class Course:
    """A session, what its frames took and what came out; ``naming`` is seconds per frame."""

    session: PerceptionSession
    naming: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    frames: list[SegmentedFrame] = field(default_factory=list)


def run(bench: Bench) -> Findings:
    """Follow one moving camera in two sessions, frame by frame in turn."""
    poses, count = bench.pick(24, 6), bench.pick(96, 48)
    views = orbit(poses, lambda done: bench.report("rendering", done, poses))
    runtime = create_runtime(bench.model, runtime="onnx", device="cpu")
    watch = Stopwatch()
    watch.watch(runtime)
    plain = SessionOptions()
    everything = replace(plain, tracker=replace(plain.tracker, naming_interval=1))
    courses = {
        "tracked": Course(PerceptionSession(runtime, plain)),
        "everything": Course(PerceptionSession(runtime, everything)),
    }
    courses["everything"].session.process(views[0].image, camera="warm-up", stamp_ns=1)
    shown = [views[pose] for pose in itertools.islice(there_and_back(poses, _HOLD), count)]
    with watch.installed():
        for number, scene in enumerate(shown):
            for course in courses.values():
                with watch.frame():
                    frame = course.session.process(
                        scene.image, camera="camera", stamp_ns=(number + 1) * _FRAME_NS
                    )
                taken = watch.frames[-1]
                course.naming.append(taken.steps.get("name", 0.0))
                course.whole.append(taken.seconds)
                course.frames.append(frame)
            bench.report("following a camera, twice", number + 1, count)
    runtime.close()
    return Findings(_rows(courses["tracked"], courses["everything"], shown))


def _rows(tracked: Course, everything: Course, scenes: Sequence[Scene]) -> list[Row]:
    total = sum(everything.naming)
    if not total:
        raise BenchmarkError("nothing was found in any frame, so nothing was named")
    asked = sum(seconds > 0 for seconds in tracked.naming)
    right = [100 * right_names(course.frames, scenes) for course in (tracked, everything)]
    return [
        Row(
            "naming",
            "naming in a tracked scene against naming everything",
            100 * sum(tracked.naming) / total,
            "%",
            "lower",
            Target(at_most=20.0),
            f"seconds of naming in {len(scenes)} frames, the first included; {asked} frames asked",
        ),
        Row(
            "naming",
            "a whole frame against one that names everything",
            100 * median(tracked.whole) / median(everything.whole),
            "%",
            "lower",
            detail=f"median {1e3 * median(tracked.whole):.1f} ms",
        ),
        Row(
            "naming",
            "right names less those of naming everything",
            right[0] - right[1],
            "points",
            "higher",
            detail=f"{right[0]:.1f} % against {right[1]:.1f} % of the segments of known objects",
        ),
    ]


def right_names(frames: Sequence[SegmentedFrame], scenes: Sequence[Scene]) -> float:
    """Return the share of segments of one object each that bear exactly its name."""
    right = total = 0
    for frame, scene in zip(frames, scenes, strict=True):
        names = {thing.id: thing.name for thing in scene.objects}
        for segment in frame.segments:
            shown = _object_of(segment, scene)
            if shown is not None:
                total += 1
                right += segment.label.text == names[shown]
    if not total:
        raise BenchmarkError("no segment shows a known object")
    return right / total


def _object_of(segment: Segment, scene: Scene) -> int | None:
    """Return the id of the object that has most of a segment's pixels, None when none has."""
    mask = decode_runs(segment.mask, *scene.ids.shape)
    counts = np.bincount(scene.ids[mask].ravel())
    best = int(counts.argmax())
    return best if counts[best] >= _OWN_SHARE * segment.area else None
