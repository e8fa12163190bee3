"""The soak's verdict: what passes, what does not, and that a short one really runs."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What ``report.py`` defines."""
    return runpy.run_path(str(HERE / "report.py"))


@pytest.fixture
def measured(report: dict[str, Any]) -> Any:
    """Ten quiet minutes of two cameras."""
    random = np.random.default_rng(0)
    moments = np.arange(0.0, 600.0, 1.0)
    return report["Measured"](
        seconds=600.0,
        memory=[(m, 300.0 + random.normal(scale=0.3)) for m in moments],
        ages=[(m, camera, 0.2 + 0.02 * random.random()) for m in moments for camera in ("a", "b")],
        requests={"OK": 100, "NOT_UNDERSTOOD": 20},
        exit_code=0,
    )


def leak(measured: Any) -> None:
    measured.memory = [(m, mb + 2.0 * m / 60.0) for m, mb in measured.memory]


def late_leak(measured: Any) -> None:
    measured.memory = [(m, mb + max(0.0, m - 450.0) / 30.0) for m, mb in measured.memory]


def slow_down(measured: Any) -> None:
    measured.ages = [(m, camera, age + m / 1000.0) for m, camera, age in measured.ages]


def starve(measured: Any) -> None:
    measured.ages = [entry for entry in measured.ages if entry[1] == "a" or entry[0] % 2]


def complain(measured: Any) -> None:
    measured.complaints.append("perception: [ERROR] something")


def keep_waiting(measured: Any) -> None:
    measured.requests["no answer"] = 1


def crash(measured: Any) -> None:
    measured.exit_code = -11


def forget(measured: Any) -> None:
    measured.memory = []


def test_quiet_minutes_pass(report: dict[str, Any], measured: Any) -> None:
    result = report["judge"](measured, ["a", "b"])
    assert result["passed"], result["checks"]
    assert len(result["age_p99_s_per_minute"]) == 10
    assert result["frames_per_second"] == 2.0


def test_warm_up_does_not_count(report: dict[str, Any], measured: Any) -> None:
    measured.memory = [(m, mb + min(m, 100.0)) for m, mb in measured.memory]
    assert report["judge"](measured, ["a", "b"])["passed"]


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (leak, "memory grows by less than 1 MB a minute"),
        (late_leak, "and in the last third by less than 1"),
        (slow_down, "the 99th percentile of age is steady"),
        (starve, "every camera gets its share"),
        (complain, "no complaint in the log"),
        (keep_waiting, "every request is answered"),
        (crash, "the node ends with code 0"),
        (forget, "memory grows by less than 1 MB a minute"),
    ],
)
def test_what_is_wrong_is_seen(
    report: dict[str, Any], measured: Any, spoil: Callable[[Any], None], check: str
) -> None:
    spoil(measured)
    result = report["judge"](measured, ["a", "b"])
    assert not result["passed"]
    assert not result["checks"][check]


def test_a_silent_camera_is_no_division_by_zero(report: dict[str, Any]) -> None:
    result = report["judge"](report["Measured"](), ["a", "b"])
    assert not result["passed"]


def test_a_short_soak_runs(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    command = [sys.executable, str(HERE / "soak.py"), "--minutes", "0.25", "--cameras", "2"]
    done = subprocess.run(
        [*command, "--rate", "5", "--model", "fake", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    result = json.loads((tmp_path / "report.json").read_text())
    checks = result["checks"]
    # A quarter of a minute says nothing about trends.
    for check in (
        "no complaint in the log",
        "every request is answered",
        "the node ends with code 0",
    ):
        assert checks[check], (result, done.stdout, done.stderr)
    assert all(result["frames"].values()), result
    assert (tmp_path / "report.svg").read_text().startswith("<svg")


def test_memory_that_does_not_come_back_is_seen() -> None:
    judge = runpy.run_path(str(HERE / "lifecycle.py"))["judge"]
    assert judge([100.0, 150.0, 160.0, *([161.0] * 50)])["passed"]
    assert not judge([100.0 + number for number in range(100)])["passed"]
