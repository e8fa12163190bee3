"""The rules by which diagnostics say OK, WARN or ERROR; docs/tuning.md lists them for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

from rose_ros.node.settings import Limits

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

#: Failures in a row that make a camera an error instead of a warning.
_FAILURES_FOR_ERROR = 3
#: Hz: below this a few frames more or less are a large share.
_LEAST_RATE = 1.0
#: s: stamps that are further away than this are of another clock. A camera may be a little ahead.
_OTHER_CLOCK_SECONDS = (-1.0, 60.0)

Verdict = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """What the rules look at; times in seconds, rates per second, NaN for what is not known.

    silent: since the last frame. taken: frames that left their slot, whatever became of them.
    wanted: frames that should. refused, stale: lately. problems: of the connection.
    """

    silent: float
    failures_in_a_row: int
    last_error: str
    refused: int
    stale: int
    taken: float
    wanted: float
    age_p50: float
    age_p95: float
    problems: tuple[str, ...]
    publishers: int


def judge_camera(camera: CameraHealth, limits: Limits, clock: str) -> Verdict:
    """Judge one camera of an active node; ``clock`` is what ``ClockWatch`` says."""
    if camera.failures_in_a_row >= _FAILURES_FOR_ERROR:
        return ERROR, f"perception fails on every frame: {camera.last_error}"
    warnings = list(camera.problems)
    if camera.failures_in_a_row:
        warnings.append(f"perception failed on the last frame: {camera.last_error}")
    # While a simulation is paused its cameras send nothing, and nothing is wrong.
    if clock in ("system", "simulated") and camera.silent > limits.silent_seconds:
        who = "nobody publishes" if not camera.publishers else "somebody publishes"
        warnings.append(f"no frame for more than {limits.silent_seconds:g} s; {who} the topic")
    if camera.refused:
        warnings.append(f"frames are refused: {camera.last_error}")
    if camera.stale:
        warnings.append("frames are older than max_age")
    if camera.wanted >= _LEAST_RATE:
        skipped = 1.0 - camera.taken / camera.wanted
        if skipped > limits.max_skipped:
            warnings.append(
                f"{skipped:.0%} of the frames are skipped, the model is slower than the camera"
            )
    warnings += _judge_age(camera, limits)
    if warnings:
        return WARN, "; ".join(warnings)
    return OK, "frames are processed" if clock != "paused" else "the clock is paused"


def _judge_age(camera: CameraHealth, limits: Limits) -> list[str]:
    earliest, latest = _OTHER_CLOCK_SECONDS
    if not math.isnan(camera.age_p50) and not earliest <= camera.age_p50 <= latest:
        return [
            f"stamps are {camera.age_p50:.3g} s behind the node's clock; set use_sim_time for a "
            "recording or a simulation, else set the clocks"
        ]
    if limits.age_budget and camera.age_p95 > limits.age_budget:
        return [f"5 % of the arrays are older than {limits.age_budget:g} s"]
    return []


def judge_model(*, alive: bool, busy_seconds: float, limits: Limits) -> Verdict:
    """Judge the thread that runs the model."""
    if not alive:
        return ERROR, "the worker has ended; restart the node"
    if busy_seconds > limits.stuck_seconds:
        return ERROR, f"the model has not answered for {busy_seconds:.0f} s"
    return OK, "the model answers"


def judge_requests(unserved: Sequence[str]) -> Verdict:
    """Judge the requests; ``unserved`` are the statuses of those that lately got no service."""
    if not unserved:
        return OK, "requests are answered"
    counts = ", ".join(f"{unserved.count(name)} {name}" for name in dict.fromkeys(unserved))
    return WARN, f"requests were not served lately: {counts}"
