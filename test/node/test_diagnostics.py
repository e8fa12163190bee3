"""The rules of OK, WARN and ERROR, each broken one at a time; no node runs here."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from rose_ros.node import health
from rose_ros.node.diagnostics import NodeState, Statistics
from rose_ros.node.health import CameraHealth, judge_camera, judge_model
from rose_ros.node.qos import Connection
from rose_ros.node.settings import CameraSettings, Limits
from rose_ros.perception.segments import Status

LIMITS = Limits(silent_seconds=2.0, age_budget=0.5, max_skipped=0.5, stuck_seconds=30.0)
HEALTHY = CameraHealth(
    silent=0.1,
    failures_in_a_row=0,
    last_error="",
    refused=0,
    stale=0,
    taken=9.0,
    wanted=10.0,
    age_p50=0.1,
    age_p95=0.2,
    problems=(),
    publishers=1,
)


def test_a_healthy_camera_is_ok() -> None:
    assert judge_camera(HEALTHY, LIMITS, "system") == (health.OK, "frames are processed")


@pytest.mark.parametrize(
    ("changes", "level", "message"),
    [
        ({"failures_in_a_row": 3, "last_error": "no"}, health.ERROR, "fails on every frame: no"),
        ({"failures_in_a_row": 2, "last_error": "no"}, health.WARN, "on the last frame: no"),
        ({"silent": 2.1}, health.WARN, "no frame for more than 2 s; somebody publishes"),
        ({"silent": math.inf, "publishers": 0}, health.WARN, "nobody publishes"),
        ({"refused": 1, "last_error": "step"}, health.WARN, "frames are refused: step"),
        ({"stale": 1}, health.WARN, "older than max_age"),
        ({"taken": 4.0}, health.WARN, "60% of the frames are skipped"),
        ({"age_p95": 0.6}, health.WARN, "5 % of the arrays are older than 0.5 s"),
        ({"age_p50": 3e8, "age_p95": 3e8}, health.WARN, "3e+08 s behind the node's clock"),
        ({"age_p50": -5.0}, health.WARN, "-5 s behind the node's clock"),
        ({"problems": ("/cam is not heard",)}, health.WARN, "/cam is not heard"),
    ],
)
def test_each_rule(changes: dict[str, object], level: bytes, message: str) -> None:
    verdict = judge_camera(replace(HEALTHY, **changes), LIMITS, "system")
    assert verdict[0] == level
    assert message in verdict[1]


@pytest.mark.parametrize(
    ("changes", "clock"),
    [
        ({"silent": 60.0}, "paused"),
        ({"silent": 60.0}, "waiting"),
        # So few frames that one more or less is a large share.
        ({"taken": 0.0, "wanted": 0.5}, "system"),
        # Frames without stamps have no age.
        ({"age_p50": math.nan, "age_p95": math.nan}, "system"),
    ],
)
def test_what_is_no_fault(changes: dict[str, object], clock: str) -> None:
    assert judge_camera(replace(HEALTHY, **changes), LIMITS, clock)[0] == health.OK


def test_several_faults_are_all_named() -> None:
    _, message = judge_camera(replace(HEALTHY, stale=1, taken=1.0), LIMITS, "system")
    assert "max_age" in message
    assert "skipped" in message


def test_the_model() -> None:
    assert judge_model(alive=True, busy_seconds=29.0, limits=LIMITS)[0] == health.OK
    level, message = judge_model(alive=True, busy_seconds=31.0, limits=LIMITS)
    assert (level, message) == (health.ERROR, "the model has not answered for 31 s")
    assert judge_model(alive=False, busy_seconds=0.0, limits=LIMITS)[0] == health.ERROR


def camera(name: str, max_rate: float = 0.0) -> CameraSettings:
    return CameraSettings(name, f"/{name}/image", "auto", "auto", max_rate)


def report(statistics: Statistics, **changes: object) -> dict[str, tuple[bytes, str, dict]]:
    """Return level, message and values of each part."""
    state = NodeState("/rose/perception", "active", "system", LIMITS, {"model": "m"}, True, 0.0)
    return {
        status.name.partition(": ")[2]: (
            status.level,
            status.message,
            {value.key: value.value for value in status.values},
        )
        for status in statistics.report(replace(state, **changes))
    }


def run_camera(statistics: Statistics, name: str, received: int, processed: int) -> None:
    for i in range(received):
        statistics.received(name, overwrote=i >= processed)
        if i < processed:
            statistics.processed(name, age=0.01, inference=0.005, encoding="rgb8", resolution="8x6")
        time.sleep(0.01)


def test_every_key_is_there() -> None:
    statistics = Statistics()
    statistics.start([camera("front")])
    statistics.connected("front", Connection(2, "reliable", ()))
    run_camera(statistics, "front", received=4, processed=3)
    statistics.request("refine", Status.OK, 0.2)
    parts = report(statistics, model={"model": "m", "gpu_name": ""})
    level, message, values = parts["camera front"]
    assert (level, message) == (health.OK, "frames are processed")
    assert (values["camera"], values["encoding"], values["resolution"]) == ("front", "rgb8", "8x6")
    assert (values["publishers"], values["reliability"]) == ("2", "reliable")
    counts = {key: values[key] for key in values if key.startswith("frames_")}
    assert counts == {
        "frames_received": "4",
        "frames_processed": "3",
        "frames_skipped": "1",
        "frames_invalid": "0",
        "frames_stale": "0",
        "frames_failed": "0",
        "frames_unstamped": "0",
    }
    assert float(values["input_hz"]) > float(values["output_hz"]) > 10
    for name in ("age_ms", "inference_ms"):
        p50, p95, p99 = (float(values[f"{name}_{p}"]) for p in ("p50", "p95", "p99"))
        assert 0 < p50 <= p95 <= p99
    assert values["age_ms_p50"] == "10.0"
    assert {"last_frame_age_s", "consecutive_failures", "last_error"} <= values.keys()
    requests = parts["requests"][2]
    assert (requests["refine_requests"], requests["refine_ok"]) == ("1", "1")
    assert (requests["refine_rejected"], requests["refine_ms_p95"]) == ("0", "200.0")
    assert parts["node"][2]["state"] == "active"
    assert parts["model"][2] == {"model": "m", "gpu_name": "", "busy_s": "0.0"}


def test_frames_above_a_limit_are_not_missed() -> None:
    statistics = Statistics()
    for limit, level in ((0.0, health.WARN), (10.0, health.OK)):
        statistics.start([camera("front")])
        statistics.limit([camera("front", limit)])
        run_camera(statistics, "front", received=30, processed=8)
        assert report(statistics)["camera front"][0] == level


def test_a_jump_forgets_rates_and_ages() -> None:
    statistics = Statistics()
    statistics.start([camera("front"), camera("left")])
    run_camera(statistics, "front", received=4, processed=4)
    run_camera(statistics, "left", received=4, processed=4)
    statistics.clock_jumped("front")
    parts = report(statistics)
    for name, jumps in (("front", "1"), ("left", "0")):
        values = parts[f"camera {name}"][2]
        assert (values["input_hz"], values["output_hz"]) == ("0.00", "0.00")
        assert (values["age_ms_p50"], values["clock_jumps"]) == ("", jumps)
        assert values["frames_processed"] == "4"
    assert parts["node"][2]["clock_jumps"] == "1"


def test_nothing_is_wrong_while_inactive() -> None:
    statistics = Statistics()
    statistics.start([camera("front")])
    assert report(statistics, state="inactive")["camera front"][:2] == (health.OK, "not active")
    level, message, _ = report(statistics, state="unconfigured", problem="it could not start")[
        "node"
    ]
    assert (level, message) == (health.WARN, "it could not start")
    assert report(statistics, problem="it could not start")["node"][0] == health.OK


def test_requests_that_were_not_served() -> None:
    statistics = Statistics()
    statistics.start([camera("front")])
    statistics.request("refine", Status.NOT_UNDERSTOOD, 0.1)
    assert report(statistics)["requests"][0] == health.OK
    for status in (Status.BUSY, Status.TIMEOUT, Status.BUSY):
        statistics.request("find", status, 0.1)
    level, message, _ = report(statistics)["requests"]
    assert level == health.WARN
    assert message == "requests were not served lately: 2 BUSY, 1 TIMEOUT"
