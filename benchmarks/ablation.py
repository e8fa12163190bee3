"""What each part of the mechanism is worth: the same training without it, then measured.

    python -m benchmarks.ablation --steps 300 --batch 32 --jobs 4

All rows begin at one checkpoint that has learned what they have in common: the recipe's stages
``points``, ``shapes`` and ``names``, which is made when ``--start`` is not given. From there each
row is trained with the same scenes and the same number of steps, once per seed, and measured on
scenes that training never saw. That takes a GPU; on a CPU, ``--sight CHECKPOINT`` takes what sees
from a checkpoint, so that only what speaks and perceives has to be learned. What was measured is
kept in ``--results`` with the settings it belongs to, and not done again; so rows and seeds can be
added at another time or on another machine. The table is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.ablation_start import forget_revision, keep_sight
from rose_ros.cli import main as rose_ros
from rose_ros.data.corrections import LEARNED
from rose_ros.errors import TrainingError
from rose_ros.training.options import STEPS

RESULTS = Path(__file__).resolve().parent / "measured" / "ablation.json"
#: (column, task and split, number)
COLUMNS = (
    ("PQ", "segment test", "pq"),
    ("recall", "segment test", "recall_50"),
    ("names", "segment test", "name_accuracy"),
    ("novel names", "segment novel", "name_accuracy"),
    ("find gIoU", "find test", "giou"),
    ("gain of corrections", "refine test", "gain"),
)
MEASURES = tuple(dict.fromkeys(what for _, what, _ in COLUMNS))

#: What was measured of one row, by task and split, then by number; and that by row and seed.
Numbers = dict[str, dict[str, float]]
Results = dict[str, dict[str, Numbers]]

#: Stages that all rows share.
SHARED = ("points", "shapes", "names")


@dataclass(frozen=True, slots=True)
class Row:
    """One model: fields of its configuration, its stage, and whether points replace perception."""

    changes: tuple[str, ...] = ()
    stage: str = "converse"
    points: bool = False


ROWS = {
    "everything": Row(),
    "without super-patches": Row(("super_patch_size=1",)),
    "causal patch block": Row(("bidirectional_patches=false",)),
    "without the code of the centre": Row(("centre_encoding=false",)),
    "names from the category embedding": Row(("region_evidence=category",)),
    "names from the image under the mask": Row(("region_evidence=pooled",)),
    "without the closer look": Row(("focal=false",)),
    "without refinement": Row(stage="perceive"),
    "SAM's points instead": Row(stage="names", points=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and measure all rows, and write the table; returns the exit code."""
    args = _arguments(arguments)
    settings = {name: getattr(args, name) for name in _SETTINGS}
    settings |= {
        name: one and one.name for name, one in (("start", args.start), ("sight", args.sight))
    }
    results = _kept(args.results, settings)
    wanted = [
        (name, seed)
        for seed in args.seeds
        for name in args.rows
        if str(seed) not in results.get(name, {})
    ]
    if wanted:
        args.start = _start(args)
    for (name, seed), measured in _measured(args, wanted):
        results.setdefault(name, {})[str(seed)] = measured
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps({**settings, "rows": results}, indent=2) + "\n")
    sys.stdout.write(_table(results))
    return 0


def _start(args: argparse.Namespace) -> Path:
    """Return the checkpoint that all rows begin at, made if need be."""
    shared: Path = args.out / "shared"
    if args.start is None:
        more = ["--export", str(shared / "model")]
        for stage, steps in zip(SHARED, args.shared_steps or (), strict=False):
            more += [f"--{stage}-steps", str(steps)]
        stages: Sequence[str] = SHARED
        if args.sight is not None:
            keep_sight(args.sight, shared / "sight")
            more += ["--start", str(shared / "sight")]
            stages = SHARED[1:]
        _train(shared, args, args.seeds[0], stages, more)
        return shared / "model"
    if args.forget:
        forget_revision(args.start, shared / "forgetful")
        return shared / "forgetful"
    return Path(args.start)


def _measured(
    args: argparse.Namespace, wanted: Sequence[tuple[str, int]]
) -> Iterator[tuple[tuple[str, int], Numbers]]:
    """Train and measure rows, several at once if asked for; yields them as they are done."""
    if args.jobs == 1:
        for one in wanted:
            yield one, _row(args, *one)
        return
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        running = {pool.submit(_row, args, *one): one for one in wanted}
        for done in as_completed(running):
            yield running[done], done.result()


def _kept(file: Path, settings: dict[str, Any]) -> Results:
    """Return what was measured before with the same settings, by row and seed."""
    if not file.exists():
        return {}
    kept = json.loads(file.read_text())
    rows: Results = kept.pop("rows")
    return rows if kept == settings else {}


_SETTINGS = (
    "steps",
    "batch",
    "rate",
    "scenes",
    "test_scenes",
    "stage",
    "shared_steps",
    "forget",
    "measure",
)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where numbers are kept")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--start", type=Path, help="checkpoint that has learned the shared stages")
    parser.add_argument("--sight", type=Path, help="or take what sees from this one, and make it")
    parser.add_argument("--shared-steps", type=int, nargs=3, metavar=SHARED, help="when it is made")
    parser.add_argument(
        "--forget", action="store_true", help="let --start know nothing of previous masks"
    )
    parser.add_argument("--stage", choices=tuple(STEPS), help="of all rows; default: their own")
    parser.add_argument("--measure", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--steps", type=int, default=1000, help="of each row")
    parser.add_argument("--batch", type=int, default=32, help="images per step")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the learning rates")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=tuple(ROWS))
    parser.add_argument("--jobs", type=int, default=1, help="rows at once")
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples, a row")
    parser.add_argument(
        "--processes", type=int, default=0, help="that share a step; as in training"
    )
    parser.add_argument("--scenes", type=int, default=16000, help="training scenes")
    parser.add_argument("--test-scenes", type=int, default=200)
    return parser.parse_args(arguments)


def _row(args: argparse.Namespace, name: str, seed: int) -> Numbers:
    """Train one row and measure it."""
    row, out = ROWS[name], args.out / f"{name.replace(' ', '-')}-{seed}"
    stage = row.stage if row.points or args.stage is None else args.stage
    more = ["--start", str(args.start), f"--{stage}-steps", str(args.steps)]
    more += ["--set", *row.changes] if row.changes else []
    _train(out, args, seed, [stage], [*more, "--export", str(out / "model")])
    return _measure(row, out, args)


def _train(
    out: Path, args: argparse.Namespace, seed: int, stages: Sequence[str], more: Sequence[str]
) -> None:
    """Train one model in some stages; scenes are rendered once for all."""
    shared = args.out / "scenes"
    shared.mkdir(parents=True, exist_ok=True)
    out.mkdir(exist_ok=True)
    if not (out / "scenes").exists():
        (out / "scenes").symlink_to(shared.absolute())
    command = ["train", "--out", str(out), "--seed", str(seed), "--scenes", str(args.scenes)]
    command += ["--batch", str(args.batch), "--rate", str(args.rate)]
    command += ["--workers", str(args.workers), "--processes", str(args.processes)]
    command += ["--stages", *stages]
    _run([*command, *more])


def _measure(row: Row, out: Path, args: argparse.Namespace) -> Numbers:
    found = {}
    for what in args.measure:
        task, split = what.split()
        if row.points and task != "segment":
            continue
        file = out / f"{task}-{split}.json"
        if not file.exists():
            command = ["evaluate", "--model", str(out / "model"), "--runtime", "torch"]
            command += ["--task", task, "--split", split, "--scenes", str(args.test_scenes)]
            _run([*command, "--json", str(file), *(["--points"] if row.points else [])])
        result = json.loads(file.read_text())
        if task == "refine":
            result = {"gain": _mean_gain(result)}
        found[what] = {column[2]: result[column[2]] for column in COLUMNS if column[1] == what}
    return found


def _mean_gain(result: dict[str, Any]) -> float:
    """Return what corrections that the model answers add to the IoU, over their types."""
    return statistics.mean(result[one]["iou_after"] - result[one]["iou_before"] for one in LEARNED)


def _run(command: list[str]) -> None:
    if rose_ros(command):
        raise TrainingError(f"rose_ros {' '.join(command)} failed")


def _table(results: Results) -> str:
    """Write the means over the seeds, with the lowest and highest, as Markdown."""
    lines = ["| | " + " | ".join(column[0] for column in COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for name in [name for name in ROWS if name in results]:
        runs = results[name]
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
