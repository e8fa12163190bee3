"""``python -m benchmarks``: time each step of a frame on simulated scenes."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.frame import Duration, render_frames, segment_frames
from rose_ros.commands.output import add_model_arguments, count_from
from rose_ros.errors import RoseError
from rose_ros.runtime import create_runtime


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks; 0 when all ran, 1 with the reason when one could not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_model_arguments(parser)
    parser.add_argument("--frames", type=count_from(1), default=12, help="scenes to time")
    parser.add_argument("--height", type=count_from(16), default=480, help="pixels")
    parser.add_argument("--width", type=count_from(16), default=640, help="pixels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here, too")
    args = parser.parse_args(argv)

    size = f"{args.width}x{args.height}"
    images, durations = render_frames(args.frames, args.height, args.width)
    show(f"Tabletop at {size}", durations)
    result = {"machine": machine(), "size": size, "frames": args.frames}
    result["tabletop"] = [asdict(duration) for duration in durations]
    code = 0
    try:
        runtime = create_runtime(args.model, runtime=args.runtime, device=args.device)
        durations = segment_frames(runtime, images)
        show(f"{runtime.model_name} with {runtime.kind} on {runtime.device}", durations)
        result["model"] = {
            "name": runtime.model_name,
            "runtime": runtime.kind,
            "device": runtime.device,
            "steps": [asdict(duration) for duration in durations],
        }
    except RoseError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        code = 1
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return code


def machine() -> str:
    """Name the processor's kind and the Python."""
    return f"{platform.machine()}, Python {platform.python_version()}"


def show(title: str, durations: list[Duration]) -> None:
    """Print a table of durations in milliseconds."""
    table = Table(title=title, title_justify="left")
    table.add_column("step")
    for column in ("median ms", "p95 ms", "n"):
        table.add_column(column, justify="right")
    for duration in durations:
        table.add_row(
            duration.step,
            f"{duration.median * 1e3:.1f}",
            f"{duration.p95 * 1e3:.1f}",
            str(duration.count),
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
