"""``rose_ros calibrate``: make the published scores of a checkpoint probabilities."""

from __future__ import annotations

import argparse
from typing import Any

from rose_ros.commands.output import (
    add_model_arguments,
    count_from,
    load_perceiver,
    progress_bar,
    write_json,
)
from rose_ros.errors import DataError

#: Scenes of training count from 0; these are the same world, never trained on.
SEED = 200_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_arguments(parser)
    parser.add_argument("--scenes", type=count_from(1), default=400, help="number of scenes")
    parser.add_argument(
        "--seed",
        type=count_from(0),
        default=SEED,
        help="seed of the first scene of the split train; none that training used",
    )
    parser.add_argument("--json", action="store_true", help="write the file to stdout as well")


def run(args: argparse.Namespace) -> int:
    """Fit, write calibration.json into the checkpoint's folder and say what it does."""
    from rose_ros.evaluation.calibration import collect, fit, measure_all
    from rose_ros.evaluation.evaluate import rendered
    from rose_ros.paths import find_model
    from rose_ros.runtime.calibration import Calibration, write_calibration

    folder = find_model(args.model)
    perceiver = load_perceiver(args)
    with progress_bar("calibrate", args.scenes) as progress:
        collected = collect(perceiver, rendered("train", args.scenes, args.seed, progress))
    if not collected.objectness.scores:
        raise DataError(f"{folder.name} saw nothing in {args.scenes} scenes: nothing to calibrate")
    calibration = Calibration(fit(collected.objectness), fit(collected.name))
    result = measure_all(collected, calibration)
    summary: dict[str, Any] = {
        "command": f"rose_ros calibrate --scenes {args.scenes} --seed {args.seed}",
        "runtime": perceiver.runtime.kind,
    }
    for name, numbers in result.items():
        keys = ("n", "rate", "ece_uncalibrated", "ece")
        summary[name] = {key: _rounded(numbers[key]) for key in keys}
    path = write_calibration(folder, calibration, summary)
    if args.json:
        write_json(summary)
        return 0
    print(f"{path}: error on the scenes it was fitted on, before and after")
    for name in result:
        made = summary[name]
        print(f"  {name:11s} {made['ece_uncalibrated']} -> {made['ece']}  ({made['n']} samples)")
    return 0


def _rounded(value: float | None) -> float | None:
    return value if value is None else round(value, 4)
