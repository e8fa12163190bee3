"""Where a frame's time goes in the node, by image size, and what the node adds to perception."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.images import Image, orbit, there_and_back
from benchmarks.measures import Bench, BenchmarkError, Findings, Row, Target, median
from benchmarks.watch import Frame, medians

#: Pixels (height, width).
SIZES = ((480, 640), (720, 1280), (1080, 1920))
#: The first frames of a size pay for memory; they do not count.
_WARM_UP = 3


def run(bench: Bench) -> Findings:
    """Send images to a timed node one by one, each when the one before is done."""
    from benchmarks.robot import robot_and_node, to_message
    from benchmarks.timed_node import read_frames

    poses, count = bench.pick(8, 2), bench.pick(48, 6)
    views = orbit(poses, lambda done: bench.report("rendering", done, poses))
    images = [view.image for view in views]
    round_trips: dict[tuple[int, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.json"
        command = ["-m", "benchmarks.timed_node", str(file)]
        with robot_and_node(command, bench.model) as (robot, process):
            first = to_message(images[0])
            robot.begin(first, process)
            for size in SIZES:
                messages = [to_message(resized(image, size)) for image in images]
                walk: Iterator[int] = there_and_back(poses, 2)
                round_trips[size] = [
                    robot.see(messages[pose], process)
                    for pose in itertools.islice(walk, count + _WARM_UP)
                ][_WARM_UP:]
                bench.report("frames through the node", len(round_trips), len(SIZES))
        frames = read_frames(file)
    return summarise(frames, round_trips)


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Return an image at (height, width)."""
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def summarise(frames: Sequence[Frame], round_trips: dict[tuple[int, int], list[float]]) -> Findings:
    """Return the steps by size, the node's share, and the way over DDS and back."""
    found = Findings()
    for (height, width), trips in round_trips.items():
        of_size = [f for f in frames if (f.height, f.width) == (height, width)][-len(trips) :]
        if len(of_size) < len(trips):
            raise BenchmarkError(
                f"{len(trips)} frames of {width}x{height} came back, {len(of_size)} were timed"
            )
        size = f"{width}x{height}"
        found.steps[size] = medians(of_size)
        overhead = [(frame.seconds - frame.own) / frame.own for frame in of_size]
        whole = [(trip - f.own) / f.own for trip, f in zip(trips, of_size, strict=True)]
        is_vga = (height, width) == SIZES[0]
        found.rows += [
            Row(
                "steps",
                f"node overhead, {size}",
                100 * median(overhead),
                "%",
                "lower",
                Target(at_most=8.0) if is_vga else None,
                f"receive to publish less the perceiver's time; {len(trips)} frames",
            ),
            Row(
                "steps",
                f"the same from sending to receiving the array, {size}",
                100 * median(whole),
                "%",
                "lower",
                detail="with DDS both ways and the subscriber's own work",
            ),
            Row(
                "steps",
                f"receive to publish, {size}",
                1e3 * median([frame.seconds for frame in of_size]),
                "ms",
                "lower",
                detail=f"perceiver {1e3 * median([f.own for f in of_size]):.1f} ms",
            ),
        ]
    return found
