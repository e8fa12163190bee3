"""``rose_ros train``: the trainer's options and ``--json``."""

from __future__ import annotations

import argparse
import contextlib
import sys

from rose_ros.commands.output import write_json
from rose_ros.training import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the trainer's options and ``--json``."""
    options.add_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="write where things lie to stdout as JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Train; returns the trainer's exit code."""
    from rose_ros.training import trainer

    if not args.json:
        return trainer.run(args)
    with contextlib.redirect_stdout(sys.stderr):
        code = trainer.run(args)
    export = str(args.export) if args.export else None
    write_json({"out": str(args.out), "export": export, "exit_code": code})
    return code
