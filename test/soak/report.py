"""What a soak measured, judged by the thresholds, as JSON and as a small plot."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: MB per minute: growth of the node's memory after warm-up, and in the last third.
MAX_SLOPE = 1.0
#: How much larger the 99th percentile of age may be in the last third than in the first.
MAX_AGE_GROWTH = 1.25
#: s: differences of the percentiles below this are noise.
AGE_NOISE = 0.05
#: Share of an even share of the frames that each camera gets at least.
LEAST_SHARE = 0.8
#: The first quarter is warm-up, but at most this many seconds.
MAX_WARM_UP = 300.0


@dataclass(slots=True)
class Measured:
    """What was seen; moments are seconds since the node was active.

    memory: (moment, MB resident). ages: (moment, camera, seconds). requests: how many were answered
    with which status; "no answer" among them. complaints: lines of the log that nobody wants to
    see.
    """

    seconds: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list)
    ages: list[tuple[float, str, float]] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    exit_code: int | None = None


def slope(points: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Return the growth per minute of the points between two moments, by least squares."""
    chosen = np.array([p for p in points if begin <= p[0] <= end], float)
    if len(chosen) < 3 or np.ptp(chosen[:, 0]) == 0:
        return float("nan")
    return float(np.polyfit(chosen[:, 0] / 60.0, chosen[:, 1], 1)[0])


def percentile(measured: Measured, begin: float, end: float) -> float:
    """Return the 99th percentile of age in seconds between two moments."""
    ages = [age for moment, _, age in measured.ages if begin <= moment <= end]
    return float(np.percentile(ages, 99)) if ages else float("nan")


def judge(measured: Measured, cameras: Sequence[str]) -> dict[str, Any]:
    """Return numbers and, for each threshold, whether it holds; ``passed`` says all in one."""
    end = measured.seconds
    warm = min(MAX_WARM_UP, end / 4.0)
    third = (end - warm) / 3.0
    first, last = percentile(measured, warm, warm + third), percentile(measured, end - third, end)
    growth = slope(measured.memory, warm, end)
    late_growth = slope(measured.memory, end - third, end)
    counts = {name: sum(c == name for _, c, _ in measured.ages) for name in cameras}
    even = sum(counts.values()) / len(cameras)
    answered = sum(n for status, n in measured.requests.items() if status != "no answer")
    checks = {
        "no complaint in the log": not measured.complaints,
        f"memory grows by less than {MAX_SLOPE:g} MB a minute": growth < MAX_SLOPE,
        f"and in the last third by less than {MAX_SLOPE:g}": late_growth < MAX_SLOPE,
        "the 99th percentile of age is steady": last <= max(MAX_AGE_GROWTH * first, AGE_NOISE)
        or last - first < AGE_NOISE,
        "every camera gets its share": min(counts.values()) >= LEAST_SHARE * even > 0,
        "every request is answered": answered > 0 and not measured.requests.get("no answer"),
        "the node ends with code 0": measured.exit_code == 0,
    }
    return {
        "passed": all(checks.values()),
        "checks": checks,
        "seconds": round(end, 1),
        "warm_up_seconds": round(warm, 1),
        "frames": counts,
        "frames_per_second": round(sum(counts.values()) / end, 2) if end else 0.0,
        "memory_mb": {
            "after_warm_up": _at(measured.memory, warm),
            "at_the_end": _at(measured.memory, end),
            "growth_per_minute": round(growth, 3),
            "growth_per_minute_last_third": round(late_growth, 3),
            "per_minute": [_at(measured.memory, 60.0 * m) for m in range(int(end // 60) + 1)],
        },
        "age_p99_s": {"first_third": round(first, 3), "last_third": round(last, 3)},
        "age_p99_s_per_minute": per_minute(measured),
        "requests": measured.requests,
        "complaints": measured.complaints[:50],
        "exit_code": measured.exit_code,
    }


def per_minute(measured: Measured) -> list[float]:
    """Return the 99th percentile of age of each whole minute, seconds."""
    minutes = int(measured.seconds // 60)
    return [round(percentile(measured, 60.0 * m, 60.0 * (m + 1)), 3) for m in range(minutes)]


def write(folder: Path, result: dict[str, Any], measured: Measured) -> None:
    """Write ``report.json`` and ``report.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(without_nan(result), indent=2) + "\n")
    memory = np.array(measured.memory, float).reshape(-1, 2)
    # One dot for about every five seconds.
    steps = np.linspace(0.0, measured.seconds, max(2, int(measured.seconds / 5)) + 1)
    ages = np.array(
        [(b, percentile(measured, a, b) * 1000.0) for a, b in itertools.pairwise(steps)]
    )
    panels = _panel(memory, "resident memory of the node, MB", 0) + _panel(
        ages, "99th percentile of age, ms", 170
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="340">{panels}</svg>\n'
    (folder / "report.svg").write_text(svg)


def without_nan(value: Any) -> Any:
    """Return what JSON can say: null where nothing was measured."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _at(points: Sequence[tuple[float, float]], moment: float) -> float:
    """Return the value nearest to a moment."""
    if not points:
        return float("nan")
    return round(min(points, key=lambda point: abs(point[0] - moment))[1], 1)


def _panel(points: NDArray[np.float64], title: str, top: int) -> str:
    """Draw a line over minutes; the axis begins at 0."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return ""
    right, high = float(points[:, 0].max()), 1.1 * float(points[:, 1].max())
    x = 50 + 570 * points[:, 0] / max(right, 1e-9)
    y = top + 150 - 120 * points[:, 1] / max(high, 1e-9)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    text = '<text font-family="sans-serif" font-size="11"'
    return (
        f'<path d="M50 {top + 30}V{top + 150}H620" fill="none" stroke="#888"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>'
        f'{text} x="50" y="{top + 20}">{title}</text>'
        f'{text} x="4" y="{top + 42}">{high:.0f}</text>{text} x="36" y="{top + 154}">0</text>'
        f'{text} x="560" y="{top + 164}">{right / 60:.1f} min</text>'
    )
