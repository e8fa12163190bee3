"""What a benchmark finds out: rows with targets, summaries, and the kind of machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

#: Packages whose version may change how fast things are.
_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "torch", "rclpy")


class BenchmarkError(Exception):
    """Something could not be measured; says what, and why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A limit that a value must keep: at least, or at most."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether a value keeps the limit."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def describe(self, unit: str) -> str:
        """Write the limit for people, e.g. ">= 1.8 x"."""
        if self.at_least is not None:
            return f">= {self.at_least:g} {unit}"
        return f"<= {self.at_most:g} {unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One number that was measured.

    unit: "x" and "%" are ratios within one run, which hold on other machines, too; "ms", "s" and
    "MB" are of this machine. better: "higher" or "lower". detail: what it was computed from.
    """

    question: str
    what: str
    value: float
    unit: str
    better: str
    target: Target | None = None
    detail: str = ""

    @property
    def is_ratio(self) -> bool:
        """Whether the number can be compared with that of another run."""
        return self.unit in ("x", "%")

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.target is None else self.target.holds(self.value)

    def to_json(self) -> dict[str, Any]:
        """Return what is written to a file."""
        return {
            "question": self.question,
            "what": self.what,
            "value": round(self.value, 4),
            "unit": self.unit,
            "better": self.better,
            "target": self.target.describe(self.unit) if self.target else "",
            "ok": self.ok,
            "detail": self.detail,
        }


@dataclass(slots=True)
class Findings:
    """What one question found out.

    steps: milliseconds of each step of a frame, by image size, for the plot. notes: what a reader
    should know besides.
    """

    rows: list[Row] = field(default_factory=list)
    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every question is given.

    model: a checkpoint folder that has ONNX graphs. quick: fewer frames, for trying things out.
    report: takes (what is done now, done, total).
    """

    model: Path
    quick: bool
    report: Callable[[str, int, int], None]

    def pick(self, usual: int, quick: int) -> int:
        """Return a number of repetitions."""
        return quick if self.quick else usual


def median(values: Sequence[float]) -> float:
    """Return the median of at least one value."""
    return float(np.median(values))


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile of at least one value."""
    return float(np.percentile(values, 95))


def trend(times: Sequence[float], values: Sequence[float]) -> float:
    """Return how much values rise from the first to the last time, as a share of their median.

    A line is fitted to the medians of ten equal parts, so that single slow frames do not count.
    """
    parts = [part for part in np.array_split(np.asarray(values), 10) if len(part)]
    moments = [part for part in np.array_split(np.asarray(times), 10) if len(part)]
    if len(parts) < 2:
        raise BenchmarkError(f"{len(values)} frames are too few for a trend")
    middles = [float(np.median(part)) for part in moments]
    slope = float(np.polyfit(middles, [float(np.median(part)) for part in parts], 1)[0])
    return slope * (times[-1] - times[0]) / median(values)


def machine() -> dict[str, Any]:
    """Describe the kind of this machine; nothing that tells which one it is."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": versions,
    }


def load() -> float:
    """Return how many processes wanted to run during the last minute."""
    return os.getloadavg()[0]


def _cpu() -> str:
    """Return the processor's kind, e.g. "AMD EPYC"."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
