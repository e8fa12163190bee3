"""Let cameras, the perception node and a planner that talks run for long, and judge what happens.

    make soak MINUTES=20

Writes ``report.json`` and ``report.svg`` and ends with 0 only if every threshold of ``report.py``
holds.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from report import Measured, judge, write
from talker import Talker

from rose_ros.node.running import Spinner

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "test" / "node" / "fake_perception.py"
#: s: for loading the model and the first arrays of all cameras.
START_SECONDS = 300.0
STOP_SECONDS = 30.0
SAMPLE_SECONDS = 1.0
COMPLAINTS = ("Traceback", "[ERROR]", "[FATAL]", "Exception", "error:")


class Process:
    """A program whose output is kept."""

    def __init__(self, command: list[str], log: Path) -> None:
        """Start it."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._log = log.open("wb")
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, "ROS_PYTHON_CHECK_FIELDS": "1"},
            start_new_session=True,
        )

    def memory(self) -> float:
        """Return the resident memory in MB; NaN when the process is gone."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return math.nan
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._log.close()
        return code

    def complaints(self) -> list[str]:
        """Return the lines that nobody wants to see."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [
            f"{self.log.stem}: {line[:300]}" for line in lines if any(c in line for c in COMPLAINTS)
        ]


def main() -> int:
    """Run the soak; exit code 0 only if it passed."""
    options = _parse()
    # Nothing else takes part. Domains up to 101 are safe on Linux.
    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    options.out.mkdir(parents=True, exist_ok=True)
    names = [f"cam{number + 1}" for number in range(options.cameras)]
    processes = {name: _camera(name, options) for name in names}
    processes["perception"] = _perception(names, options)
    measured = Measured()
    try:
        _listen(processes, names, measured, options)
    finally:
        codes = {name: process.stop() for name, process in processes.items()}
    measured.exit_code = codes["perception"]
    for process in processes.values():
        measured.complaints += process.complaints()
    result = judge(measured, names)
    result["started_with"] = vars(options) | {"out": str(options.out), "machine": _machine()}
    result["load_average"] = os.getloadavg()
    write(options.out, result, measured)
    print((options.out / "report.json").read_text())
    return 0 if result["passed"] else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--rate", type=float, default=10.0, help="images per second and camera")
    parser.add_argument("--model", default="rose-tiny", help='"fake": a scripted model')
    parser.add_argument("--out", type=Path, default=ROOT / "soak")
    return parser.parse_args()


def _camera(name: str, options: argparse.Namespace) -> Process:
    values: dict[str, Any] = {"seed": 100 + int(name[3:]), "frames": 10, "rate": options.rate}
    values |= {"width": 320, "height": 240}
    command = ["-m", "rose_ros.node.camera_node", "--ros-args", "-r", f"__ns:=/{name}"]
    return Process([*command, *_parameters(values)], options.out / f"{name}.log")


def _perception(names: list[str], options: argparse.Namespace) -> Process:
    program = [str(FAKE)] if options.model == "fake" else ["-m", "rose_ros.node.perception_node"]
    values = {
        "model": options.model,
        "cameras": f"[{', '.join(names)}]",
        "image_topics": f"[{', '.join(f'/{name}/image' for name in names)}]",
    }
    command = [*program, "--ros-args", "-r", "__ns:=/rose", *_parameters(values)]
    return Process(command, options.out / "perception.log")


def _parameters(values: dict[str, Any]) -> list[str]:
    return [part for key, value in values.items() for part in ("-p", f"{key}:={value}")]


def _listen(
    processes: dict[str, Process],
    names: list[str],
    measured: Measured,
    options: argparse.Namespace,
) -> None:
    """Talk and listen until time is over or a process has died."""
    started = math.inf
    lock = threading.Lock()
    seen: set[str] = set()

    def heard(camera: str, age: float) -> None:
        with lock:
            seen.add(camera)
            if math.isfinite(started) and math.isfinite(age):
                measured.ages.append((time.monotonic() - started, camera, age))

    topics = {
        name: f"/rose/{name}/segments" if len(names) > 1 else "/rose/segments" for name in names
    }
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    talker = Talker(topics, heard)
    spinner = Spinner(talker, SingleThreadedExecutor())
    try:
        _wait_for_all(seen, names, processes)
        started = time.monotonic()
        talker.start()
        while time.monotonic() - started < 60.0 * options.minutes:
            time.sleep(SAMPLE_SECONDS)
            moment = time.monotonic() - started
            measured.memory.append((moment, processes["perception"].memory()))
            _check_alive(processes)
        talker.stop()
    except (KeyboardInterrupt, RuntimeError) as error:
        measured.complaints.append(f"soak: {error or 'interrupted'}")
    finally:
        with lock:
            measured.seconds = max(0.0, time.monotonic() - started)
            measured.ages = [age for age in measured.ages if age[0] <= measured.seconds]
        measured.requests = dict(talker.answers)
        if spinner.stop(STOP_SECONDS):
            talker.destroy_node()
        try_shutdown()


def _wait_for_all(seen: set[str], names: list[str], processes: dict[str, Process]) -> None:
    end = time.monotonic() + START_SECONDS
    while not set(names) <= seen:
        _check_alive(processes)
        if time.monotonic() > end:
            raise RuntimeError(f"no arrays of {set(names) - seen} within {START_SECONDS:g} s")
        time.sleep(0.2)


def _check_alive(processes: dict[str, Process]) -> None:
    for name, process in processes.items():
        code = process.process.poll()
        if code is not None:
            raise RuntimeError(f"{name} ended with {code}; see {process.log}")


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {"cpu": model, "cores": os.cpu_count()}


if __name__ == "__main__":
    raise SystemExit(main())
