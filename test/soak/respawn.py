"""Kill the node of the real launch file again and again: it must come back and see each time.

    python test/soak/respawn.py --kills 5

Needs ``ros2 launch``, as on a ROS installation. The simulated camera is started beside the node.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from rose_ros.msg import SegmentArray
from rose_ros.node.running import Spinner

COMMAND = (
    "ros2",
    "launch",
    "rose_ros",
    "perception.launch.py",
    "camera:=tabletop",
    "respawn:=true",
)
#: s: until the first array, and until the launch system has ended everything.
START_SECONDS = 180.0
END_SECONDS = 60.0
#: s: from ``kill -9`` to the next array, without the two seconds that the launch file waits.
MAX_RECOVERY = 60.0
#: Arrays of one session before it is killed.
ARRAYS = 5


class Listener(Node):
    """Notes when which session of the node was heard."""

    def __init__(self, **kwargs: Any) -> None:
        """Subscribe."""
        super().__init__("listener", **kwargs)
        self.heard: list[tuple[float, int, int]] = []
        self.create_subscription(SegmentArray, "/rose/segments", self._on_segments, 20)

    def _on_segments(self, message: SegmentArray) -> None:
        now = time.monotonic()
        self.heard.append((now, int(message.session_id), len(message.segments)))

    def sessions(self) -> dict[int, list[tuple[float, int]]]:
        """Return moment and number of segments of each array, by session, in order of arrival."""
        found: dict[int, list[tuple[float, int]]] = {}
        for moment, session, segments in list(self.heard):
            found.setdefault(session, []).append((moment, segments))
        return found


@dataclass(slots=True)
class Measured:
    """Seconds: start to the first array, each kill to the next array, interruption to the end."""

    start: float = 0.0
    recoveries: list[float] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    end: float = 0.0
    exit_code: int | None = None
    left: list[int] = field(default_factory=list)


def children_of(pid: int) -> dict[int, str]:
    """Return the running children of a process with their command lines."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        found[int(child)] = " ".join(word.decode() for word in words)
    return found


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], Any], what: str, timeout: float) -> float:
    """Return the seconds until ``condition`` held; raises TimeoutError."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout:
            raise TimeoutError(f"{what} did not come within {timeout:g} s")
        time.sleep(0.02)
    return time.monotonic() - start


def kill_often(launched: subprocess.Popen[bytes], listener: Listener, kills: int) -> Measured:
    """Kill the perception node ``kills`` times, each time after it was heard; end the launch."""
    measured = Measured()
    for number in range(kills + 1):
        before = set(measured.sessions)
        killed = time.monotonic()
        if number:
            (pid,) = (p for p, c in children_of(launched.pid).items() if "perception_node" in c)
            os.kill(pid, signal.SIGKILL)

        def new(old: set[int] = before) -> list[int]:
            return [session for session in listener.sessions() if session not in old]

        wait_until(new, "an array of a new session", START_SECONDS)
        (session,) = new()
        first = listener.sessions()[session][0][0] - killed
        if number:
            measured.recoveries.append(round(first, 2))
        else:
            measured.start = round(first, 2)
        wait_until(
            lambda session=session: len(listener.sessions()[session]) >= ARRAYS,
            f"{ARRAYS} arrays of session {session}",
            START_SECONDS,
        )
        measured.sessions.append(session)
        measured.segments.append(max(n for _, n in listener.sessions()[session]))
        print(f"session {session} after {first:.1f} s", flush=True)
    programs = list(children_of(launched.pid))
    launched.send_signal(signal.SIGINT)
    measured.end = round(wait_until(lambda: launched.poll() is not None, "the end", END_SECONDS), 2)
    measured.exit_code = launched.returncode
    measured.left = [pid for pid in programs if alive(pid)]
    return measured


def judge(measured: Measured, output: str) -> dict[str, Any]:
    """Return what was measured and, for each rule, whether it holds; ``passed`` is all in one."""
    checks = {
        f"arrays come again within {MAX_RECOVERY:g} s": (
            max(measured.recoveries, default=0.0) <= MAX_RECOVERY
        ),
        "every session has a number of its own": (
            len(set(measured.sessions)) == len(measured.recoveries) + 1
        ),
        "something is seen in every session": min(measured.segments, default=0) > 0,
        "no exception in the log": "Traceback" not in output,
        "an interrupted launch ends with code 0": measured.exit_code == 0,
        "nothing is left running": not measured.left,
    }
    return {
        "passed": all(checks.values()),
        "checks": checks,
        "start_seconds": measured.start,
        "recovery_seconds": measured.recoveries,
        "end_seconds": measured.end,
        "most_segments": measured.segments,
    }


def run(kills: int) -> dict[str, Any]:
    """Launch, kill and judge."""
    context = rclpy.Context()
    context.init()
    listener = Listener(context=context)
    spinner = Spinner(listener, SingleThreadedExecutor(context=context))
    with tempfile.TemporaryFile() as output:
        launched = subprocess.Popen(COMMAND, stdout=output, stderr=output)
        try:
            measured = kill_often(launched, listener, kills)
        finally:
            if launched.poll() is None:
                launched.terminate()
                launched.wait(END_SECONDS)
            output.seek(0)
            text = output.read().decode(errors="replace")
            spinner.stop(END_SECONDS)
            listener.destroy_node()
            context.try_shutdown()
    result = judge(measured, text)
    if not result["passed"]:
        print(text)
    return result


def main() -> int:
    """Run; exit code 0 only if every rule held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    result = run(options.kills)
    print(json.dumps(result, indent=2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
