"""examples/planner.py corrects a name on a running node and sees that it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "planner.py"
PATIENCE = 60.0


def play(robot: Any, launch: Callable[..., Any], **parameters: str) -> tuple[int, str]:
    """Run the example while images come; return its exit code and what it printed."""
    arguments = ["-r", "__ns:=/rose"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={value}"]
    process = launch([str(EXAMPLE)], arguments)
    picture = robot.picture("red", "blue")
    end = time.monotonic() + PATIENCE
    try:
        while process.running and time.monotonic() < end:
            robot.send(robot.message(picture))
            time.sleep(0.1)
        assert process.running is False, f"it did not end:\n{process.output}"
        return process.wait(), process.output
    finally:
        process.kill()


def test_a_name_is_corrected_and_holds(
    robot: Any, start: Callable[..., Any], launch: Callable[..., Any]
) -> None:
    with start() as node:
        robot.wait_for_state("active", node)
        code, output = play(robot, launch, wrong="red box", right="tool chest")
        assert code == 0, output
        assert "tool chest: " in output
        names = {segment.label.text for segment in robot.arrays[-1].segments}
        assert names == {"tool chest", "blue box"}

        # What the node refuses ends the example with an error, not with a traceback.
        code, output = play(robot, launch, wrong="blue box", right="x" * 200)
        assert code == 1, output
        assert "refused: " in output
        assert "Traceback" not in output
