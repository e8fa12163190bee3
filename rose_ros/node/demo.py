"""The demo: a simulated camera, the perception node and a planner, each in its own process."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rose_ros.errors import ModelError
from rose_ros.paths import find_model

#: s: beyond the planner's own time, for loading the model and for its last step.
_GRACE_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOG_LINES = 15
#: Domains up to 101 need no other port range on any system.
_FIRST_DOMAIN, _DOMAINS = 60, 40


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return the planner's exit code."""
    options = _parse(arguments)
    try:
        find_model(options.model)
    except ModelError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    environment = dict(os.environ)
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if options.seconds:
        # So that nothing else on this machine takes part. Without an end, tools shall take part.
        own = str(_FIRST_DOMAIN + os.getpid() % _DOMAINS)
        environment.setdefault("ROS_DOMAIN_ID", own)
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        with _stopped_at_the_end(processes):
            for name, command in _commands(options).items():
                processes[name] = _start(name, command, environment, options.out)
            return _wait(processes, options)
    except KeyboardInterrupt:
        # Without an end, Ctrl-C is the end; before its time, nothing has been shown.
        return 130 if options.seconds else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rose_ros.node.demo", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=40.0, help="how long to run; 0 = until Ctrl-C"
    )
    parser.add_argument("--model", default="rose-tiny", help="shipped model or checkpoint folder")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:0")
    parser.add_argument("--seed", type=int, default=7, help="which table the camera sees")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for pictures, logs")
    return parser.parse_args(arguments)


def _commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return module, arguments and remappings of each process; the planner comes last."""
    ros = "--ros-args"
    return {
        "camera": ["camera_node", ros, "-r", "__ns:=/camera", "-p", f"seed:={options.seed}"],
        "perception": [
            "perception_node",
            ros,
            *("-r", "__ns:=/rose", "-r", "image:=/camera/image"),
            *("-p", f"model:={options.model}", "-p", f"device:={options.device}"),
        ],
        "planner": [
            "demo_planner",
            *("--seconds", str(options.seconds), "--out", str(options.out)),
            ros,
            *("-r", "__ns:=/rose", "-r", "image:=/camera/image"),
        ],
    }


def _start(
    name: str, command: list[str], environment: dict[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    """Start a process; all but the planner write to a log, so that its table stays whole."""
    module, *arguments = command
    line = [sys.executable, "-m", f"rose_ros.node.{module}", *arguments]
    # In a session of its own: Ctrl-C reaches only this process, which hands it on once.
    if name == "planner":
        return subprocess.Popen(line, env=environment, start_new_session=True)
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            line,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(processes: dict[str, subprocess.Popen[bytes]], options: argparse.Namespace) -> int:
    """Wait for the planner; 1 when another process ends first or time is over."""
    end = time.monotonic() + options.seconds + _GRACE_SECONDS
    planner = processes["planner"]
    while planner.poll() is None:
        for name, process in processes.items():
            if process is not planner and process.poll() is not None:
                _print_log(name, options.out, f"ended with {process.returncode}")
                return 1
        if options.seconds and time.monotonic() > end:
            _print_log("perception", options.out, "kept the planner waiting")
            return 1
        time.sleep(0.1)
    if planner.returncode:
        _print_log("perception", options.out, "may say why")
    return planner.returncode


def _print_log(name: str, folder: Path, what: str) -> None:
    log = folder / f"{name}.log"
    print(f"{name} {what}; the end of {log}:", file=sys.stderr)
    print("\n".join(log.read_text().splitlines()[-_LOG_LINES:]), file=sys.stderr)


@contextlib.contextmanager
def _stopped_at_the_end(processes: dict[str, subprocess.Popen[bytes]]) -> Iterator[None]:
    """End all processes whatever happens: kindly first, then for good."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for process in processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        end = time.monotonic() + _STOP_SECONDS
        for process in processes.values():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    raise SystemExit(main())
