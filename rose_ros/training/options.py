"""What a training run is made of. Needs no PyTorch, so that ``--help`` is instant."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The stages in order, with their steps at 8 images a step.
STEPS = {"points": 1400, "shapes": 1500, "names": 2200, "perceive": 1000, "converse": 6000}
PRECISIONS = ("auto", "fp32", "bf16")
#: What an ablation may change of the model.
CONFIG_FIELDS = (
    "super_patch_size",
    "bidirectional_patches",
    "centre_encoding",
    "region_evidence",
    "focal",
)


@dataclass(frozen=True, slots=True)
class Options:
    """One training run.

    out: folder of the rendered scenes, the state and the curves. start: checkpoint to begin from,
    None for fresh weights. scenes: how many are rendered.
    batch: images per step, shared by the processes. processes: 0 takes one per CPU core, or one
    on a GPU. workers: processes per training process that make samples. save_every: seconds.
    rate: share of each stage's learning rate; less than 1 to go on from good weights.
    config: fields of ``RoseConfig`` that differ from rose-tiny's, for ablations.
    export: where the finished checkpoint is written, if anywhere.
    """

    out: Path
    start: Path | None
    scenes: int
    stages: tuple[str, ...]
    steps: dict[str, int]
    batch: int
    seed: int
    workers: int | None
    processes: int
    device: str
    precision: str
    save_every: float
    rate: float
    export: Path | None
    config: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rose_ros train``."""
    parser.add_argument("--out", type=Path, default=Path("runs/rose-tiny"), help="state and curves")
    parser.add_argument("--start", type=Path, help="begin from this checkpoint, not from nothing")
    parser.add_argument("--scenes", type=int, default=16000, help="scenes rendered ahead")
    parser.add_argument("--stages", nargs="+", choices=list(STEPS), default=list(STEPS))
    for stage, steps in STEPS.items():
        parser.add_argument(f"--{stage}-steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=8, help="images per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--workers",
        type=int,
        help="processes that make samples, per training process; default: 1, on a GPU all cores",
    )
    parser.add_argument("--processes", type=int, default=0, help="0: one per core, one on a GPU")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--save-every", type=float, default=240.0, help="seconds")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the learning rates")
    parser.add_argument("--export", type=Path, help="write the finished checkpoint here")
    parser.add_argument(
        "--set",
        nargs="+",
        type=_setting,
        default=[],
        metavar="FIELD=VALUE",
        help=f"train another model than rose-tiny, to compare: {', '.join(CONFIG_FIELDS)}",
    )


def _setting(text: str) -> tuple[str, Any]:
    """Read FIELD=VALUE; the value is JSON, or a word."""
    field, _, value = text.partition("=")
    if field not in CONFIG_FIELDS or not value:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not FIELD=VALUE with one of {', '.join(CONFIG_FIELDS)}"
        )
    try:
        return field, json.loads(value)
    except ValueError:
        return field, value


def from_arguments(args: argparse.Namespace) -> Options:
    """Read the options off the command line."""
    return Options(
        out=args.out,
        start=args.start,
        scenes=args.scenes,
        stages=tuple(name for name in STEPS if name in args.stages),
        steps={name: getattr(args, f"{name}_steps") for name in STEPS},
        batch=args.batch,
        seed=args.seed,
        workers=args.workers,
        processes=args.processes,
        device=args.device,
        precision=args.precision,
        save_every=args.save_every,
        rate=args.rate,
        export=args.export,
        config=dict(args.set),
    )
