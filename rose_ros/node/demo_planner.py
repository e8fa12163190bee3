"""A planner that watches the perception node, corrects it and checks what comes of it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import ok, remove_ros_args, try_shutdown
from rich.console import Console
from rich.live import Live

from rose_ros.node.demo_steps import check_name_held, find, fix_mask, rename, steady_view
from rose_ros.node.demo_view import Report, live_table
from rose_ros.node.planner import Planner
from rose_ros.node.running import Interruption, Spinner

#: s: for the first frame, which needs the model to be loaded.
_FIRST_FRAME_SECONDS = 40.0
#: s: between the steps, so that one can read along.
_PAUSE = 1.0
#: s: after the steps at least, so that later frames come.
_AFTERWARDS = 4.0
#: s: for the callbacks that run when the process ends.
_STOP_SECONDS = 5.0


def main(args: list[str] | None = None) -> int:
    """Run the demo's planner; exit code 0 only if everything was right."""
    given = sys.argv if args is None else args
    options = _parse(remove_ros_args(given)[1:])
    interruption = Interruption()
    rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
    planner = Planner()
    spinner = Spinner(planner, SingleThreadedExecutor())
    console = Console()
    report = Report(console, options.out)
    try:
        with (
            interruption,
            Live(
                get_renderable=lambda: live_table(planner),
                console=console,
                refresh_per_second=4,
                transient=not console.is_terminal,
            ),
        ):
            _play(planner, report, options.seconds)
        if not console.is_terminal:
            # A log holds no live table; show at least where it ended.
            console.print(live_table(planner))
    except KeyboardInterrupt:
        report.say("stopped")
    finally:
        if spinner.stop(_STOP_SECONDS):
            planner.destroy_node()
        try_shutdown()
    if report.failures:
        report.say(f"{len(report.failures)} failed: {'; '.join(report.failures)}", "bold red")
    return 1 if report.failures else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo_planner", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=40.0, help="how long to watch; 0 = until Ctrl-C"
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures")
    return parser.parse_args(arguments)


def _play(planner: Planner, report: Report, seconds: float) -> None:
    """Play all steps, then keep watching until ``seconds`` are over, or for ever."""
    started = time.monotonic()
    view = steady_view(planner, _FIRST_FRAME_SECONDS)
    if not report.check(view is not None, "segments with their image come"):
        return
    assert view is not None
    report.picture("0_seen", view, view.frame.segments)
    renamed = rename(planner, view, report)
    time.sleep(_PAUSE)
    for step in (fix_mask, find):
        fresh = steady_view(planner, _FIRST_FRAME_SECONDS)
        if not report.check(fresh is not None, "segments keep coming"):
            return
        assert fresh is not None
        step(planner, fresh, report)
        time.sleep(_PAUSE)
    _watch(max(_AFTERWARDS, started + seconds - time.monotonic()))
    if renamed is not None:
        check_name_held(planner, renamed, report)
    if not seconds:
        report.say("watching until Ctrl-C; try: ros2 topic echo /rose/segments", "dim")
        while ok():
            time.sleep(0.2)


def _watch(seconds: float) -> None:
    end = time.monotonic() + seconds
    while ok() and time.monotonic() < end:
        time.sleep(0.1)


if __name__ == "__main__":
    raise SystemExit(main())
