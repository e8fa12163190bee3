"""ONNX Runtime against PyTorch, and eight bits against both, on the same frames."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.graphs import eight_bits
from benchmarks.images import Image, scenes
from benchmarks.measures import Bench, BenchmarkError, Findings, Row, Target, median
from rose_ros.perception.masks import decode_runs, iou_matrix
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.segments import SegmentedFrame
from rose_ros.runtime import create_runtime
from rose_ros.runtime.onnx import OnnxRuntime

#: Masks that overlap less are two things.
_SAME_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two results of the same frame agree.

    ious: of each segment of the first with its counterpart in the second, 0 where it has none.
    names: how many of the counterparts have the same name. paired: how many counterparts.
    """

    ious: tuple[float, ...]
    names: int
    paired: int


def compare(first: SegmentedFrame, second: SegmentedFrame) -> Agreement:
    """Pair the segments of two results by overlap and compare masks and names."""
    size = first.height, first.width
    masks = [
        np.array([decode_runs(segment.mask, *size) for segment in frame.segments], bool).reshape(
            -1, *size
        )
        for frame in (first, second)
    ]
    overlap = iou_matrix(masks[0], masks[1])
    ious, names, paired = [], 0, 0
    for row, segment in zip(overlap, first.segments, strict=True):
        best = int(row.argmax()) if row.size else -1
        ious.append(float(row[best]) if row.size else 0.0)
        if ious[-1] >= _SAME_IOU:
            paired += 1
            names += second.segments[best].label.text == segment.label.text
    return Agreement(tuple(ious), names, paired)


def run(bench: Bench) -> Findings:
    """Run the same frames through all runtimes in turn, so that they see the same machine."""
    count, rounds = bench.pick(12, 3), bench.pick(5, 1)
    images = scenes(count, lambda done: bench.report("rendering", done, count))
    perceivers = {
        "torch": Perceiver(create_runtime(bench.model, runtime="torch", device="cpu")),
        "onnx": Perceiver(create_runtime(bench.model, runtime="onnx", device="cpu")),
    }
    found = Findings()
    try:
        graphs = eight_bits(bench.model, bench.report)
        perceivers["int8"] = Perceiver(OnnxRuntime(bench.model, graphs=graphs))
    except BenchmarkError as error:
        found.notes.append(f"int8 was not measured: {error}")
    for perceiver in perceivers.values():
        perceiver.segment(images[0])
    seconds, results = _measure(bench, perceivers, images, rounds)
    for name in perceivers:
        if name != "torch":
            found.rows += _rows(name, seconds, results)
    for name in perceivers:
        value = 1e3 * median([median(times) for times in seconds[name]])
        found.rows.append(
            Row("runtimes", f"one frame, {name}", value, "ms", "lower", detail="whole perceiver")
        )
    return found


Times = dict[str, list[list[float]]]
Results = dict[str, list[SegmentedFrame]]


def _measure(
    bench: Bench, perceivers: dict[str, Perceiver], images: list[Image], rounds: int
) -> tuple[Times, Results]:
    """Return seconds by runtime, frame and round, and the results by runtime and frame."""
    seconds: Times = {name: [[] for _ in images] for name in perceivers}
    results: Results = {name: [] for name in perceivers}
    for turn in range(rounds):
        for number, image in enumerate(images):
            for name, perceiver in perceivers.items():
                start = time.perf_counter()
                frame = perceiver.segment(image)
                seconds[name][number].append(time.perf_counter() - start)
                if not turn:
                    results[name].append(frame)
            done = turn * len(images) + number + 1
            bench.report("torch, onnx and int8", done, rounds * len(images))
    return seconds, results


def _rows(name: str, seconds: Times, results: Results) -> list[Row]:
    """Return how much faster a runtime is than PyTorch, and how well it agrees."""
    faster = [
        median(reference) / median(times)
        for reference, times in zip(seconds["torch"], seconds[name], strict=True)
    ]
    agreements = [
        compare(reference, other)
        for reference, other in zip(results["torch"], results[name], strict=True)
    ]
    ious = [iou for agreement in agreements for iou in agreement.ious]
    paired = sum(agreement.paired for agreement in agreements)
    if not paired:
        raise BenchmarkError(f"{name} and torch have no segment in common in {len(faster)} frames")
    same = 100 * sum(agreement.names for agreement in agreements) / paired
    rounds = len(seconds[name][0])
    detail = (
        f"{len(faster)} frames, median of {rounds} each; {min(faster):.2f} to {max(faster):.2f}"
    )
    iou_detail = f"{len(ious)} segments of PyTorch, lowest {min(ious):.3f}"
    goal = Target(at_least=1.8) if name == "onnx" else None
    return [
        Row("runtimes", f"{name} against torch eager", median(faster), "x", "higher", goal, detail),
        Row(
            "runtimes",
            f"{name}: mean mask IoU with torch",
            100 * float(np.mean(ious)),
            "%",
            "higher",
            Target(at_least=99.0 if name == "onnx" else 98.0),
            iou_detail,
        ),
        Row(
            "runtimes",
            f"{name}: same names as torch",
            same,
            "%",
            "higher",
            Target(at_least=99.0),
            f"of {paired} segments with a counterpart",
        ),
    ]
