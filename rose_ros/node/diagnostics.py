"""Count what happens to frames and requests, and report it as diagnostics."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from rose_ros.node import health
from rose_ros.node.qos import Connection
from rose_ros.node.settings import CameraSettings, Limits
from rose_ros.perception.segments import Status

#: Rates and percentiles cover this many of the last events.
_WINDOW = 300
#: s: rates cover at most this long, so that they fall when events stop.
_RATE_SECONDS = 5.0
#: s: how long a request that was not served is reported.
_REQUEST_SECONDS = 10.0
_UNSERVED = (Status.BUSY, Status.TIMEOUT, Status.INTERNAL_ERROR)
_COUNTERS = (
    "frames_received",
    "frames_processed",
    "frames_skipped",
    "frames_invalid",
    "frames_stale",
    "frames_failed",
    "frames_unstamped",
    "clock_jumps",
)


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the node itself knows at the moment of a report.

    name: its full name. state: of the lifecycle. clock: as ``ClockWatch`` says. model: what is
    known of model and device, by key. alive, busy_seconds: of the worker. problem: why the node
    could not start by itself, or "".
    """

    name: str
    state: str
    clock: str
    limits: Limits
    model: Mapping[str, str]
    alive: bool
    busy_seconds: float
    problem: str = ""


def _window() -> deque[float]:
    return deque(maxlen=_WINDOW)


@dataclass(slots=True)
class _Camera:
    """Counters of one camera; moments are seconds on the monotonic clock."""

    max_rate: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    arrivals: deque[float] = field(default_factory=_window)
    outputs: deque[float] = field(default_factory=_window)
    taken: deque[float] = field(default_factory=_window)
    refused: deque[float] = field(default_factory=_window)
    stale: deque[float] = field(default_factory=_window)
    ages: deque[float] = field(default_factory=_window)
    inferences: deque[float] = field(default_factory=_window)
    connection: Connection = field(default_factory=Connection)
    encoding: str = ""
    resolution: str = ""
    failures_in_a_row: int = 0
    last_error: str = ""


class Statistics:
    """What a node counts; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self._requests: dict[str, Counter[Status]] = {}
        self._request_times: dict[str, deque[float]] = {}
        self._unserved: deque[tuple[float, str]] = deque(maxlen=_WINDOW)
        self._clock_jumps = 0

    def start(self, cameras: Sequence[CameraSettings]) -> None:
        """Forget everything and count for ``cameras``."""
        with self._lock:
            self._cameras = {camera.name: _Camera(camera.max_rate) for camera in cameras}
            self._requests = {}
            self._request_times = {}
            self._unserved.clear()
            self._clock_jumps = 0

    def limit(self, cameras: Sequence[CameraSettings]) -> None:
        """Take note of new limits of the rates."""
        with self._lock:
            for camera in cameras:
                self._camera(camera.name).max_rate = camera.max_rate

    def connected(self, camera: str, connection: Connection) -> None:
        """Take note of who publishes a camera's images."""
        with self._lock:
            self._camera(camera).connection = connection

    def received(self, camera: str, *, overwrote: bool) -> None:
        """Count a frame that came; ``overwrote``: one that nobody had looked at is lost for it."""
        with self._lock:
            entry = self._camera(camera)
            entry.counts["frames_received"] += 1
            entry.counts["frames_skipped"] += overwrote
            entry.arrivals.append(time.monotonic())

    def invalid(self, camera: str, error: str) -> None:
        """Count a frame that cannot be used."""
        with self._lock:
            entry = self._take(camera, "frames_invalid")
            entry.refused.append(entry.taken[-1])
            entry.last_error = error

    def stale(self, camera: str) -> None:
        """Count a frame that is too old."""
        with self._lock:
            entry = self._take(camera, "frames_stale")
            entry.stale.append(entry.taken[-1])

    def processed(
        self, camera: str, *, age: float, inference: float, encoding: str, resolution: str
    ) -> None:
        """Count a published frame; seconds, ``age`` is NaN for a frame without a stamp."""
        with self._lock:
            entry = self._take(camera, "frames_processed")
            entry.outputs.append(entry.taken[-1])
            entry.inferences.append(inference)
            entry.encoding, entry.resolution = encoding, resolution
            if math.isnan(age):
                entry.counts["frames_unstamped"] += 1
            else:
                entry.ages.append(age)
            entry.failures_in_a_row = 0

    def failed(self, camera: str, error: str) -> None:
        """Count a frame that perception failed on."""
        with self._lock:
            entry = self._take(camera, "frames_failed")
            entry.failures_in_a_row += 1
            entry.last_error = error

    def clock_jumped(self, camera: str = "") -> None:
        """Count that time went back, as the node's clock or a camera's stamps say.

        Rates and ages of before mean nothing any more and are forgotten.
        """
        with self._lock:
            self._clock_jumps += 1
            if camera:
                self._camera(camera).counts["clock_jumps"] += 1
            for entry in self._cameras.values():
                for times in (entry.arrivals, entry.outputs, entry.taken, entry.ages):
                    times.clear()

    def request(self, kind: str, status: Status, elapsed: float) -> None:
        """Count an answered request of ``kind`` refine or find; ``elapsed`` is seconds."""
        with self._lock:
            self._requests.setdefault(kind, Counter())[status] += 1
            self._request_times.setdefault(kind, _window()).append(elapsed)
            if status in _UNSERVED:
                self._unserved.append((time.monotonic(), status.name))

    def report(self, node: NodeState) -> list[DiagnosticStatus]:
        """Make one status each for the node, the model, each camera and the requests."""
        with self._lock:
            cameras = [
                self._report_camera(node, camera, entry) for camera, entry in self._cameras.items()
            ]
            model = health.judge_model(
                alive=node.alive, busy_seconds=node.busy_seconds, limits=node.limits
            )
            busy = {"busy_s": f"{node.busy_seconds:.1f}"}
            return [
                self._report_node(node),
                _status(node, "model", model, {**node.model, **busy}),
                *cameras,
                self._report_requests(node),
            ]

    def _camera(self, camera: str) -> _Camera:
        return self._cameras.setdefault(camera, _Camera())

    def _take(self, camera: str, counter: str) -> _Camera:
        """Count a frame that left its slot."""
        entry = self._camera(camera)
        entry.counts[counter] += 1
        entry.taken.append(time.monotonic())
        return entry

    def _report_node(self, node: NodeState) -> DiagnosticStatus:
        values = {
            "state": node.state,
            "clock": node.clock,
            "clock_jumps": str(self._clock_jumps),
            "cameras": str(len(self._cameras)),
        }
        failed = node.problem and node.state != "active"
        verdict = (health.WARN, node.problem) if failed else (health.OK, node.state)
        return _status(node, "node", verdict, values)

    def _report_camera(self, node: NodeState, camera: str, entry: _Camera) -> DiagnosticStatus:
        now = time.monotonic()
        silent = now - entry.arrivals[-1] if entry.arrivals else math.inf
        input_hz = _rate(entry.arrivals, now)
        ages = _percentiles(entry.ages)
        values = {
            "camera": camera,
            "encoding": entry.encoding,
            "resolution": entry.resolution,
            "publishers": str(entry.connection.publishers),
            "reliability": entry.connection.reliability,
            "input_hz": f"{input_hz:.2f}",
            "output_hz": f"{_rate(entry.outputs, now):.2f}",
        }
        values.update({key: str(entry.counts[key]) for key in _COUNTERS})
        values["last_frame_age_s"] = f"{silent:.2f}"
        values.update(_milliseconds("age_ms", ages))
        values.update(_milliseconds("inference_ms", _percentiles(entry.inferences)))
        values["consecutive_failures"] = str(entry.failures_in_a_row)
        values["last_error"] = entry.last_error
        if node.state != "active":
            return _status(node, f"camera {camera}", (health.OK, "not active"), values)
        state = health.CameraHealth(
            silent=silent,
            failures_in_a_row=entry.failures_in_a_row,
            last_error=entry.last_error,
            refused=_recent(entry.refused, now),
            stale=_recent(entry.stale, now),
            taken=_rate(entry.taken, now),
            wanted=min(input_hz, entry.max_rate or math.inf),
            age_p50=ages[0],
            age_p95=ages[1],
            problems=entry.connection.problems,
            publishers=entry.connection.publishers,
        )
        verdict = health.judge_camera(state, node.limits, node.clock)
        return _status(node, f"camera {camera}", verdict, values)

    def _report_requests(self, node: NodeState) -> DiagnosticStatus:
        values: dict[str, str] = {}
        for kind in ("refine", "find"):
            counts = self._requests.get(kind, Counter())
            done = counts[Status.OK] + counts[Status.NO_CHANGE]
            values[f"{kind}_requests"] = str(counts.total())
            values[f"{kind}_ok"] = str(done)
            values[f"{kind}_rejected"] = str(counts.total() - done)
            values.update({f"{kind}_{key.name.lower()}_count": str(counts[key]) for key in counts})
            times = _percentiles(self._request_times.get(kind, ()))
            values.update(_milliseconds(f"{kind}_ms", times))
        since = time.monotonic() - _REQUEST_SECONDS
        unserved = [name for moment, name in self._unserved if moment >= since]
        return _status(node, "requests", health.judge_requests(unserved), values)


def _status(
    node: NodeState, part: str, verdict: health.Verdict, values: Mapping[str, str]
) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=verdict[0],
        name=f"{node.name}: {part}",
        message=verdict[1],
        hardware_id=node.name,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _recent(times: Sequence[float], now: float) -> int:
    """Count the events of the last seconds."""
    return sum(now - moment <= _RATE_SECONDS for moment in times)


def _rate(times: Sequence[float], now: float) -> float:
    """Events per second over the last seconds."""
    recent = [moment for moment in times if now - moment <= _RATE_SECONDS]
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) / (now - recent[0])


def _percentiles(seconds: Iterable[float]) -> tuple[float, float, float]:
    """Median, 95th and 99th percentile; NaN when nothing was measured."""
    values = list(seconds)
    if not values:
        return math.nan, math.nan, math.nan
    p50, p95, p99 = (float(value) for value in np.percentile(values, (50, 95, 99)))
    return p50, p95, p99


def _milliseconds(prefix: str, percentiles: tuple[float, float, float]) -> dict[str, str]:
    """Write percentiles in milliseconds; empty values when nothing was measured."""
    return {
        f"{prefix}_{name}": "" if math.isnan(value) else f"{value * 1000.0:.1f}"
        for name, value in zip(("p50", "p95", "p99"), percentiles, strict=True)
    }
