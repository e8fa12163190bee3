"""Count what happens to frames and requests, and report it as diagnostics."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from rose_ros.perception.segments import Status

#: Rates and percentiles cover this many of the last events.
_WINDOW = 300
#: s: rates cover at most this long, so that they fall when events stop.
_RATE_SECONDS = 5.0
#: s: without a frame for longer, a camera is reported as silent.
_SILENT_SECONDS = 2.0
#: Failures in a row that make a camera an error instead of a warning.
_FAILURES_FOR_ERROR = 3


class _Camera:
    """Counters of one camera."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.arrivals: deque[float] = deque(maxlen=_WINDOW)
        self.outputs: deque[float] = deque(maxlen=_WINDOW)
        self.ages: deque[float] = deque(maxlen=_WINDOW)
        self.inferences: deque[float] = deque(maxlen=_WINDOW)
        self.input = ""
        self.failures_in_a_row = 0
        self.last_error = ""


class Statistics:
    """What a node counts; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self._requests: dict[str, Counter[Status]] = {}
        self._request_times: dict[str, deque[float]] = {}

    def start(self, cameras: Sequence[str]) -> None:
        """Forget everything and count for ``cameras``."""
        with self._lock:
            self._cameras = {camera: _Camera() for camera in cameras}
            self._requests = {}
            self._request_times = {}

    def received(self, camera: str, description: str, *, overwrote: bool) -> None:
        """Count a usable frame; ``description`` is its encoding and size."""
        with self._lock:
            entry = self._camera(camera)
            entry.counts["frames_received"] += 1
            entry.counts["frames_skipped"] += overwrote
            entry.arrivals.append(time.monotonic())
            entry.input = description

    def invalid(self, camera: str, error: str) -> None:
        """Count a frame that cannot be used."""
        with self._lock:
            entry = self._camera(camera)
            entry.counts["frames_invalid"] += 1
            entry.last_error = error

    def processed(self, camera: str, *, age: float, inference: float) -> None:
        """Count a published frame; seconds, ``age`` may be NaN."""
        with self._lock:
            entry = self._camera(camera)
            entry.counts["frames_processed"] += 1
            entry.outputs.append(time.monotonic())
            entry.inferences.append(inference)
            if not math.isnan(age):
                entry.ages.append(age)
            entry.failures_in_a_row = 0

    def failed(self, camera: str, error: str) -> None:
        """Count a frame that perception failed on."""
        with self._lock:
            entry = self._camera(camera)
            entry.counts["frames_failed"] += 1
            entry.failures_in_a_row += 1
            entry.last_error = error

    def count(self, camera: str, key: str) -> None:
        """Count something else, such as ``frames_stale`` or ``clock_jumps``."""
        with self._lock:
            self._camera(camera).counts[key] += 1

    def request(self, kind: str, status: Status, elapsed: float) -> None:
        """Count an answered request of ``kind`` refine or find; ``elapsed`` is seconds."""
        with self._lock:
            self._requests.setdefault(kind, Counter())[status] += 1
            self._request_times.setdefault(kind, deque(maxlen=_WINDOW)).append(elapsed)

    def report(self, name: str, state: str, details: dict[str, str]) -> list[DiagnosticStatus]:
        """Make one status for the node, one per camera and one for the requests.

        ``name`` is the node's full name, ``state`` its lifecycle state and ``details`` what else
        is known of the node.
        """
        with self._lock:
            node = _status(name, "node", DiagnosticStatus.OK, state, {"state": state, **details})
            cameras = [
                self._report_camera(name, camera, entry, active=state == "active")
                for camera, entry in self._cameras.items()
            ]
            return [node, *cameras, self._report_requests(name)]

    def _camera(self, camera: str) -> _Camera:
        return self._cameras.setdefault(camera, _Camera())

    def _report_camera(
        self, name: str, camera: str, entry: _Camera, *, active: bool
    ) -> DiagnosticStatus:
        now = time.monotonic()
        last = now - entry.arrivals[-1] if entry.arrivals else math.inf
        level, message = DiagnosticStatus.OK, "frames are processed"
        if not active:
            message = "not active"
        elif entry.failures_in_a_row >= _FAILURES_FOR_ERROR:
            level, message = DiagnosticStatus.ERROR, "perception fails on every frame"
        elif last > _SILENT_SECONDS:
            level, message = DiagnosticStatus.WARN, f"no frame for more than {_SILENT_SECONDS} s"
        elif entry.failures_in_a_row:
            level, message = DiagnosticStatus.WARN, "perception failed on the last frame"
        counters = (
            "frames_received",
            "frames_processed",
            "frames_skipped",
            "frames_invalid",
            "frames_stale",
            "frames_failed",
            "clock_jumps",
        )
        values: dict[str, str] = {"camera": camera, "input": entry.input}
        values.update({key: str(entry.counts[key]) for key in counters})
        values["last_frame_age_s"] = f"{last:.2f}"
        values["input_hz"] = f"{_rate(entry.arrivals, now):.2f}"
        values["output_hz"] = f"{_rate(entry.outputs, now):.2f}"
        values.update(_percentiles("age_ms", entry.ages))
        values.update(_percentiles("inference_ms", entry.inferences))
        values["consecutive_failures"] = str(entry.failures_in_a_row)
        values["last_error"] = entry.last_error
        return _status(name, f"camera {camera}", level, message, values)

    def _report_requests(self, name: str) -> DiagnosticStatus:
        values: dict[str, str] = {}
        for kind in ("refine", "find"):
            counts = self._requests.get(kind, Counter())
            done = counts[Status.OK] + counts[Status.NO_CHANGE]
            values[f"{kind}_requests"] = str(counts.total())
            values[f"{kind}_ok"] = str(done)
            values[f"{kind}_rejected"] = str(counts.total() - done)
            values.update({f"{kind}_{key.name.lower()}_count": str(counts[key]) for key in counts})
            values.update(_percentiles(f"{kind}_ms", self._request_times.get(kind, ())))
        return _status(name, "requests", DiagnosticStatus.OK, "requests are answered", values)


def _status(
    name: str, part: str, level: bytes, message: str, values: dict[str, str]
) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=f"{name}: {part}",
        message=message,
        hardware_id=name,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _rate(times: Sequence[float], now: float) -> float:
    """Events per second over the last seconds."""
    recent = [moment for moment in times if now - moment <= _RATE_SECONDS]
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) / (now - recent[0])


def _percentiles(prefix: str, seconds: Iterable[float]) -> dict[str, str]:
    """Median and 95th percentile in milliseconds; empty values when nothing was measured."""
    values = list(seconds)
    if not values:
        return {f"{prefix}_p50": "", f"{prefix}_p95": ""}
    p50, p95 = np.percentile(values, (50, 95)) * 1000.0
    return {f"{prefix}_p50": f"{p50:.1f}", f"{prefix}_p95": f"{p95:.1f}"}
