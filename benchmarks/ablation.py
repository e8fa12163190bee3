"""What each part of the mechanism is worth: the same training without it, then measured.

    python -m benchmarks.ablation --share 1 --seeds 0 1
    python -m benchmarks.ablation --start models/rose-tiny --share 0.025 --seeds 0 1

What all rows have in common, the SAM part and the focal crops, is trained once per seed with the
recipe's steps. From there on every row has the same scenes and the same number of steps, a share
of the recipe's. That takes a GPU; with ``--start`` all rows go on from a trained checkpoint
instead, in the last stage alone, so that a short training shows what the model can do without a
part that it had. A run that was stopped goes on. What was measured is kept in ``--results`` with
the settings it belongs to, and not trained again; so rows and seeds can be added at another time
or on another machine. The table is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rose_ros.training.options import STEPS

RESULTS = Path(__file__).resolve().parent / "results" / "ablation.json"
#: (column, task and split, number)
COLUMNS = (
    ("PQ", "segment test", "pq"),
    ("recall", "segment test", "recall_50"),
    ("names", "segment test", "name_accuracy"),
    ("novel names", "segment novel", "name_accuracy"),
    ("find gIoU", "find test", "giou"),
    ("s/frame", "segment test", "seconds_per_frame"),
)


#: By row and seed: what was measured, by task and split, then by number.
Results = dict[str, dict[str, dict[str, dict[str, float]]]]

#: Stages that all rows share, and those that each has of its own.
SHARED, OWN = ("points", "shapes"), ("names", "perceive", "converse")


@dataclass(frozen=True, slots=True)
class Row:
    """One model: fields of its configuration, stages, and whether points replace perception."""

    changes: tuple[str, ...] = ()
    stages: tuple[str, ...] = OWN
    points: bool = False


ROWS = {
    "everything": Row(),
    "without super-patches": Row(("super_patch_size=1",)),
    "causal patch block": Row(("bidirectional_patches=false",)),
    "without the code of the centre": Row(("centre_encoding=false",)),
    "names from the category embedding": Row(("region_evidence=category",)),
    "names from the image under the mask": Row(("region_evidence=pooled",)),
    "without the closer look": Row(("focal=false",)),
    "without refinement": Row(stages=("names", "perceive")),
    "SAM's points instead": Row(stages=("names",), points=True),
}


#: What a trained model can be without; what it has learned cannot be taken away.
CHANGED = [name for name, row in ROWS.items() if row.stages == OWN]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and measure all rows, and write the table; returns the exit code."""
    args = _arguments(arguments)
    settings = {name: getattr(args, name) for name in ("share", "rate", "scenes", "test_scenes")}
    settings["start"] = args.start and args.start.name
    results = _kept(args.results, settings)
    for seed in args.seeds:
        wanted = args.rows or (ROWS if args.start is None else CHANGED)
        missing = [name for name in wanted if str(seed) not in results.get(name, {})]
        start = args.start or args.out / f"shared-{seed}" / "model"
        if missing and not args.start:
            _train(start.parent, args, seed, {stage: STEPS[stage] for stage in SHARED})
        for name in missing:
            row, out = ROWS[name], args.out / f"{name.replace(' ', '-')}-{seed}"
            more = ["--start", str(start), "--rate", str(args.rate)]
            more += ["--set", *row.changes] if row.changes else []
            stages = OWN[-1:] if args.start else OWN
            _train(out, args, seed, _steps(row, args.share, stages), more)
            measured = _measure(row, out, args.test_scenes)
            results.setdefault(name, {})[str(seed)] = measured
            args.results.write_text(json.dumps({**settings, "rows": results}, indent=2) + "\n")
    sys.stdout.write(_table(results))
    return 0


def _kept(file: Path, settings: dict[str, Any]) -> Results:
    """Return what was measured before with the same settings, by row and seed."""
    if not file.exists():
        return {}
    kept = json.loads(file.read_text())
    rows: Results = kept.pop("rows")
    return rows if kept == settings else {}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where numbers are kept")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--start", type=Path, help="go on from this checkpoint")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the learning rates")
    parser.add_argument(
        "--share", type=float, default=0.05, help="of the recipe's steps, from where rows differ"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), help="only these")
    parser.add_argument("--scenes", type=int, default=16000, help="training scenes")
    parser.add_argument("--test-scenes", type=int, default=200)
    return parser.parse_args(arguments)


def _steps(row: Row, share: float, stages: Sequence[str]) -> dict[str, int]:
    """Return the steps by stage; those of a stage left out go to the last one."""
    total = {stage: max(1, round(share * STEPS[stage])) for stage in stages}
    steps = {stage: count for stage, count in total.items() if stage in row.stages}
    last = row.stages[-1]
    steps[last] = steps.get(last, 0) + sum(total.values()) - sum(steps.values())
    return steps


def _train(
    out: Path, args: argparse.Namespace, seed: int, steps: dict[str, int], more: Sequence[str] = ()
) -> None:
    """Train one model to ``out``/model, in the stages that ``steps`` holds."""
    shared = args.out / "scenes"
    shared.mkdir(parents=True, exist_ok=True)
    out.mkdir(exist_ok=True)
    if not (out / "scenes").exists():
        (out / "scenes").symlink_to(shared.absolute())
    command = ["train", "--out", str(out), "--seed", str(seed), "--scenes", str(args.scenes)]
    command += ["--export", str(out / "model"), "--stages", *steps]
    command += [word for stage in steps for word in (f"--{stage}-steps", str(steps[stage]))]
    _run([*command, *more])


def _measure(row: Row, out: Path, scenes: int) -> dict[str, dict[str, float]]:
    found = {}
    for what in dict.fromkeys(column[1] for column in COLUMNS):
        task, split = what.split()
        if row.points and task != "segment":
            continue
        file = out / f"{task}-{split}.json"
        if not file.exists():
            command = ["evaluate", "--model", str(out / "model"), "--runtime", "torch"]
            command += ["--task", task, "--split", split, "--scenes", str(scenes)]
            _run([*command, "--json", str(file), *(["--points"] if row.points else [])])
        result = json.loads(file.read_text())
        found[what] = {column[2]: result[column[2]] for column in COLUMNS if column[1] == what}
    return found


def _run(command: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "rose_ros", *command], check=True)


def _table(results: Results) -> str:
    """Write the means over the seeds, with the lowest and highest, as Markdown."""
    lines = ["| | " + " | ".join(column[0] for column in COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for name, runs in results.items():
        cells = []
        for _, what, number in COLUMNS:
            values = [run[what][number] for run in runs.values() if what in run]
            cells.append(_cell([value for value in values if value is not None]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
