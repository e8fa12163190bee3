"""Start a node and interrupt it at a random moment, many times: it must end cleanly each time.

python test/soak/interrupt.py camera --rounds 100
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

#: What to run, and what it says when it can be interrupted; before that Python still imports.
PROGRAMS = {
    "camera": (
        ["-m", "rose_ros.node.camera_node", "--ros-args", "-p", "frames:=5", "-p", "speed:=10.0"],
        "world ",
    ),
    "perception": (["-m", "rose_ros.node.perception_node", "--ros-args"], ""),
    "planner": (["-m", "rose_ros.node.demo_planner", "--seconds", "30", "--ros-args"], ""),
}
#: s: until a node without a word of its own has imported what it needs; then how long to wait.
IMPORT_SECONDS = 60.0
END_SECONDS = 40.0


def ready(process: subprocess.Popen[bytes], log: Path, word: str) -> bool:
    """Wait until the process says ``word``, or handles SIGINT itself when that is ""."""
    end = time.monotonic() + IMPORT_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if word and word in log.read_text(errors="replace"):
            return True
        if not word and "rclpy" in Path(f"/proc/{process.pid}/maps").read_text():
            return True
        time.sleep(0.02)
    return False


def interrupt(name: str, longest: float, folder: Path) -> tuple[str, str]:
    """Run once; return what happened and the output."""
    command, word = PROGRAMS[name]
    log = folder / "output.txt"
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=output, env=environment, cwd=folder
        )
        if not ready(process, log, word):
            process.kill()
            process.wait()
            return "did not start", log.read_text(errors="replace")
        time.sleep(random.uniform(0.0, longest))
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            return "did not end", log.read_text(errors="replace")
    text = log.read_text(errors="replace")
    # The planner's exit code says whether all steps were right, which they cannot be here.
    allowed = (0, 1) if name == "planner" else (0,)
    clean = code in allowed and "Traceback" not in text and "Fatal" not in text
    return ("clean" if clean else f"code {code}"), text


def main() -> int:
    """Run the rounds; exit code 0 only if every one was clean."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds before the signal")
    options = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            what, text = interrupt(options.program, options.longest, Path(folder))
            counted[what] += 1
            if what != "clean":
                print(f"round {number + 1}: {what}\n{text}", flush=True)
    print(dict(counted))
    return 0 if set(counted) == {"clean"} else 1


if __name__ == "__main__":
    raise SystemExit(main())
