"""``rose_ros evaluate``: measure a model on a split."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_ros.commands.output import (
    add_model_arguments,
    count_from,
    describe_machine,
    load_perceiver,
    progress_bar,
    write_image,
    write_json,
)
from rose_ros.errors import DataError

if TYPE_CHECKING:
    from rose_ros.perception.perceiver import Perceiver

#: Repeated here so that --help does not import the evaluation; a test compares them.
TASKS = ("segment", "find", "refine", "own", "self", "calibration")
SPLITS = ("test", "novel", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_arguments(parser)
    parser.add_argument("--data", choices=("tabletop",), default="tabletop", help="data set")
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="test",
        help="novel holds colour-noun pairs that training never had",
    )
    parser.add_argument("--task", choices=TASKS, default="segment", help="what to measure")
    parser.add_argument(
        "--points",
        action="store_true",
        help="segment with a grid of points instead, as SAM's automatic mode does, to compare",
    )
    parser.add_argument(
        "--close-ups",
        type=count_from(0),
        help="things with unsure names that are looked at again, per image at most; default: 4",
    )
    parser.add_argument("--scenes", type=count_from(1), default=200, help="number of scenes")
    parser.add_argument("--seed", type=count_from(0), default=0, help="seed of the first scene")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="also draw the reliability diagrams of --task calibration as a PNG",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the numbers as JSON to a file, or to stdout",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the numbers; returns 0."""
    from rose_ros.evaluation.evaluate import evaluate

    if args.plot is not None and args.task != "calibration":
        raise DataError("--plot draws what --task calibration measures; give that task")
    perceiver = load_points(args) if args.points else load_perceiver(args)
    if args.close_ups is not None:
        perceiver.options = replace(perceiver.options, close_ups=args.close_ups)
    with progress_bar(f"{args.task} {args.split}", args.scenes) as progress:
        result = evaluate(perceiver, args.task, args.split, args.scenes, args.seed, progress)
    if args.plot is not None:
        from rose_ros.evaluation.calibration import draw_reliability

        write_image(draw_reliability(result), args.plot)
    numbers = {**result, "run": describe_run(args, perceiver)}
    if args.json == "-":
        write_json(numbers)
        return 0
    if args.json is not None:
        write_json(numbers, Path(args.json))
    _print_table(result, f"{args.task} on {args.data}/{args.split}")
    return 0


def describe_run(args: argparse.Namespace, perceiver: Perceiver) -> dict[str, Any]:
    """Return what was run, on what: whoever shows the numbers can say where they come from."""
    return {
        "task": args.task,
        "split": args.split,
        "scenes": args.scenes,
        "seed": args.seed,
        "points": args.points,
        "close_ups": perceiver.options.close_ups,
        "model": perceiver.runtime.model_name,
        "runtime": perceiver.runtime.kind,
        "device": perceiver.runtime.device,
        **describe_machine(),
    }


def load_points(args: argparse.Namespace) -> Perceiver:
    """Load the baseline of the options' model; raises ``DataError`` for what it cannot do."""
    if args.task != "segment" or args.runtime not in ("auto", "torch"):
        raise DataError(
            "--points segments everything with PyTorch: --task segment, --runtime torch"
        )
    from rose_ros.evaluation.points import PointPerceiver
    from rose_ros.runtime.torch import TorchRuntime

    return PointPerceiver(TorchRuntime(args.model, device=args.device))


def _print_table(result: dict[str, Any], title: str) -> None:
    """Print the numbers for people: one row, or one row per kind of correction."""
    from rich.console import Console
    from rich.table import Table

    nested = all(isinstance(value, dict) for value in result.values())
    rows = result if nested else {"": result}
    first = next(iter(rows.values()))
    columns = [name for name, value in first.items() if not isinstance(value, list)]
    table = Table("", *columns, title=title)
    for name, numbers in rows.items():
        table.add_row(name, *(_written(numbers[column]) for column in columns))
    Console().print(table)


def _written(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
