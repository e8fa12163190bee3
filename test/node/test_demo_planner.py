"""The demo's planner against the scripted model: it says yes only when everything was right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2


@contextmanager
def camera(robot: Any) -> Iterator[None]:
    """Publish a picture of three things ten times a second."""
    stop = threading.Event()

    def run() -> None:
        picture = robot.picture("red", "blue", "yellow", height=240, width=320)
        while not stop.wait(0.1):
            robot.send(robot.message(picture))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def play(robot: Any, launch: Callable[..., Any], folder: Path) -> tuple[int, str]:
    arguments = ["-r", "__ns:=/rose", "-r", "image:=/camera/image"]
    command = ["-m", "rose_ros.node.demo_planner", "--seconds", "6", "--out", str(folder)]
    with camera(robot):
        planner = launch(command, arguments)
        try:
            return planner.wait(), planner.output
        finally:
            planner.kill()


def test_all_steps_succeed(robot: Any, start: Any, launch: Any, tmp_path: Path) -> None:
    with start() as process:
        robot.wait_for_state("active", process)
        code, output = play(robot, launch, tmp_path)
    assert code == 0, output
    assert "FAIL" not in output
    assert output.count("ok  ") >= 5, output
    for step in ("1_rename", "2_fix", "3_find"):
        before = cv2.imread(str(tmp_path / f"{step}_before.png"))
        after = cv2.imread(str(tmp_path / f"{step}_after.png"))
        assert before.shape == after.shape == (240, 320, 3)
        assert (before != after).any(), step


def test_a_wrong_answer_fails_the_demo(robot: Any, start: Any, launch: Any, tmp_path: Path) -> None:
    with start(model="fake:stubborn") as process:
        robot.wait_for_state("active", process)
        code, output = play(robot, launch, tmp_path)
    assert code == 1, output
    failed = next(line for line in output.splitlines() if "FAIL" in line)
    assert "one of the corrections" in failed
