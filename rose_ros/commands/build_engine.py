"""``rose_ros build-engine``: TensorRT engines of a model's graphs, tested against ONNX Runtime."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_ros.commands.output import count_from, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rose_ros.runtime.engine_build import Built

#: Repeated here so that --help does not import the builder; a test compares them.
PRECISIONS = ("float32", "float16", "bfloat16")
REGIONS = "4,16,64"
#: The camera of the scenes that engines are tested on.
_HEIGHT, _WIDTH = 240, 320


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", default="rose-tiny", help="checkpoint folder or name of a shipped model"
    )
    parser.add_argument(
        "--graphs", type=Path, metavar="DIR", help="folder of its graphs, if not 'onnx' in it"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float16",
        help="of matrix products and convolutions; the rest is float32",
    )
    parser.add_argument(
        "--regions",
        type=_sizes,
        default=REGIONS,
        metavar="N,N,...",
        help="sizes of batches of regions: smaller ones are filled up, larger ones are split",
    )
    parser.add_argument("--device", default="auto", help="auto, cuda or cuda:N")
    parser.add_argument(
        "--level", type=int, choices=range(6), default=3, help="effort of the builder"
    )
    parser.add_argument(
        "--workspace",
        type=count_from(1),
        default=2048,
        metavar="MIB",
        help="scratch memory that a layer may take at most",
    )
    parser.add_argument(
        "--scenes", type=count_from(1), default=8, help="scenes to compare with ONNX Runtime on"
    )
    parser.add_argument("--rebuild", action="store_true", help="also build what is there and fits")
    parser.add_argument("--json", action="store_true", help="write what was built to stdout")


def run(args: argparse.Namespace) -> int:
    """Build and test; returns 0 when all engines are there."""
    from rose_ros.progress import phases
    from rose_ros.runtime.engine_build import build_engines
    from rose_ros.runtime.engine_files import BuildOptions

    options = BuildOptions(args.precision, args.regions, args.level, args.workspace)
    with phases() as show:

        def report(graph: str, phase: str, done: int, total: int) -> bool:
            show(f"{graph}: {phase}", done, total)
            return True

        built = build_engines(
            args.model,
            _scenes(args.scenes),
            graphs=args.graphs,
            device=args.device,
            options=options,
            rebuild=args.rebuild,
            progress=report,
        )
    if args.json:
        write_json(_describe(built))
    else:
        _print_summary(built)
    return 0


def _scenes(count: int) -> Iterator[NDArray[np.uint8]]:
    """Render the images that engines are tested on; nothing is rendered when nothing is built."""
    from rose_ros.data.tabletop import render

    for seed in range(count):
        yield render(seed, "test", height=_HEIGHT, width=_WIDTH).image


def _sizes(text: str) -> tuple[int, ...]:
    """Read "4,16,64"."""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rising list such as 4,16,64")
    return sizes


def _describe(built: Built) -> dict[str, Any]:
    engines = [asdict(record) for record in built.records]
    return {"folder": str(built.folder), "kept": list(built.kept), "engines": engines}


def _print_summary(built: Built) -> None:
    print(built.folder)
    for record in built.records:
        found = record.self_test
        words = [f"{record.graph}: largest error {found['error']:.1e}"]
        if found["masks"]:
            words.append(f"lowest mask IoU {found['mask_iou']:.3f}")
        if found["tokens"]:
            words.append(f"{found['wrong_tokens']:.0f} of {found['tokens']:.0f} tokens differ")
        words.append("kept" if record.graph in built.kept else f"built in {record.seconds:.0f} s")
        print("  " + ", ".join(words))
