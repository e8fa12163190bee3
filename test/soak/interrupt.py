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

FAKE = str(Path(__file__).resolve().parents[1] / "node" / "fake_perception.py")
PROGRAMS = {
    "camera": ["-m", "rose_ros.node.camera_node", "--ros-args", "-p", "frames:=5"],
    "perception": ["-m", "rose_ros.node.perception_node", "--ros-args"],
    "scripted": [FAKE, "--ros-args", "-p", "model:=fake:load=1.5"],
    "planner": ["-m", "rose_ros.node.demo_planner", "--seconds", "30", "--ros-args"],
}
#: s: for Python to import everything, and for the process to end.
START_SECONDS = 120.0
END_SECONDS = 60.0


def ready(process: subprocess.Popen[bytes]) -> bool:
    """Wait until the process has handlers of its own for signals; before, Python still imports."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(next(s for s in status.splitlines() if s.startswith("SigCgt")).split()[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return True
        time.sleep(0.005)
    return False


def interrupt(name: str, longest: float, folder: Path) -> tuple[str, str]:
    """Run once; return what happened and the output."""
    log = folder / "output.txt"
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *PROGRAMS[name]],
            stdout=output,
            stderr=output,
            env=environment,
            cwd=folder,
        )
        if not ready(process):
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
