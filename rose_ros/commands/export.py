"""``rose_ros export``: ONNX graphs of a checkpoint, checked against PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_ros.commands.output import count_from, progress_bar, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Repeated here so that --help does not import the exporter; a test compares them.
PRECISIONS = ("float32", "int8")
#: The camera of the scenes that graphs are compared on.
_HEIGHT, _WIDTH = 240, 320


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", default="rose-tiny", help="checkpoint folder or name of a shipped model"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the graphs; the default, 'onnx' in the checkpoint, is found by itself",
    )
    parser.add_argument(
        "--scenes", type=count_from(1), default=50, help="scenes to compare with PyTorch on"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="int8 is faster on a CPU and not exactly the same; TensorRT needs float32",
    )
    parser.add_argument("--json", action="store_true", help="write the manifest to stdout as JSON")


def run(args: argparse.Namespace) -> int:
    """Export and compare; returns 0 when the graphs are written."""
    from rose_ros.runtime.export import export
    from rose_ros.runtime.manifest import GRAPHS

    with progress_bar("export", len(GRAPHS) + args.scenes) as progress:

        def report(step: str, done: int) -> None:
            before = len(GRAPHS) if step == "compare" else 0
            progress(before + done, len(GRAPHS) + args.scenes)

        folder, manifest = export(
            args.model, args.out, _scenes(args.scenes), report, precision=args.precision
        )
    if args.json:
        write_json(asdict(manifest))
    else:
        _print_summary(folder, manifest.parity)
    return 0


def _scenes(count: int) -> Iterator[NDArray[np.uint8]]:
    """Render the images that graphs are compared on."""
    from rose_ros.data.tabletop import render

    for seed in range(count):
        yield render(seed, "test", height=_HEIGHT, width=_WIDTH).image


def _print_summary(folder: Path, parity: dict[str, Any]) -> None:
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(
        f"{folder}: {megabytes:.1f} MB; against PyTorch on {parity['images']} scenes: "
        f"lowest mask IoU {parity['mask_iou']:.4f}, objectness within {parity['objectness']:.1e}, "
        f"{parity['wrong_names']} of {parity['names']} names differ"
    )
