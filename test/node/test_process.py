"""How the process starts and ends: signals, wrong arguments, parameters."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def children_of(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process(robot: Any, start: Any, number: int) -> None:
    with start(model="fake:delay=0.2") as process:
        robot.wait_for_state("active", process)
        # In the middle of a frame and of a request.
        robot.send(robot.message(robot.picture("red")))
        children = children_of(process.pid)
        assert process.stop(number) == 0, process.output
        assert "Traceback" not in process.output
        for pid in (process.pid, *(int(child) for child in children)):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_a_signal_while_inactive(robot: Any, start: Any) -> None:
    with start(autostart=False) as process:
        robot.wait_for_state("unconfigured", process)
        assert process.stop() == 0, process.output


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"objectness_threshold": 7.0}, "objectness_threshold"),
        ({"transport": "pigeon"}, "choose one of auto, raw, compressed"),
        ({"cameras": "[]"}, "cameras"),
        ({"max_rate": "fast"}, "max_rate"),
    ],
)
def test_wrong_parameters_end_it_with_one_line(
    start: Any, parameters: dict[str, Any], reason: str
) -> None:
    with start(**parameters) as process:
        assert process.wait() == 2, process.output
        assert "cannot start" in process.output
        assert reason in process.output
        assert "Traceback" not in process.output


def test_the_shipped_parameter_file_is_read(robot: Any, launch: Any, tmp_path: Path) -> None:
    text = (ROOT / "config" / "perception.yaml").read_text()
    changed = text.replace("autostart: true", "autostart: false").replace(
        "min_iou: 0.2", "min_iou: 2.0"
    )
    assert changed != text
    file = tmp_path / "perception.yaml"
    file.write_text(changed)
    command = [str(ROOT / "test" / "node" / "fake_perception.py")]
    process = launch(command, ["-r", "__ns:=/rose", "--params-file", str(file)])
    assert process.wait() == 2
    assert "tracking.min_iou" in process.output
    file.write_text(changed.replace("min_iou: 2.0", "min_iou: 0.4"))
    process = launch(command, ["-r", "__ns:=/rose", "--params-file", str(file)])
    try:
        robot.wait_for_state("unconfigured", process)
        assert process.stop() == 0
    finally:
        process.kill()


def test_parameters_while_running(robot: Any, start: Any) -> None:
    with start() as process:
        robot.wait_for_state("active", process)
        assert [s.label.text for s in robot.show("red").segments] == ["red box"]
        assert "objectness_threshold" in robot.set(objectness_threshold=1.5)
        assert "number" in robot.set(max_rate=float("nan")) or "max_rate" in robot.set(
            max_rate=float("nan")
        )
        assert robot.set(model="other") == (
            "model can change while the node is unconfigured; clean up the node first"
        )
        assert robot.set(autostart=False) != ""
        assert robot.set(max_waiting_requests=1) != ""
        # The scripted model is 0.9 sure of everything.
        assert robot.set(objectness_threshold=0.95, tracking__min_iou=0.3) == ""
        robot.wait_until(lambda: not robot.show("green").segments, "nothing above the threshold")
        assert robot.set(objectness_threshold=0.3) == ""
        robot.wait_until(lambda: robot.show("green").segments, "the green box again")
