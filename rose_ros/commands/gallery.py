"""``rose_ros gallery``: pictures of what a model does, for the pages."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_ros.commands.output import (
    add_model_arguments,
    count_from,
    load_perceiver,
    make_folder,
    progress_bar,
    write_json,
)

if TYPE_CHECKING:
    from rose_ros.evaluation.gallery import Sheet

SHEETS = ("scenes", "failures", "corrections", "photos")
INDEX = "gallery.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("docs/images"), metavar="DIR", help="output folder"
    )
    parser.add_argument(
        "--sheets", nargs="+", choices=SHEETS, default=list(SHEETS), help="what to draw"
    )
    parser.add_argument(
        "--scenes", type=count_from(1), default=100, help="scenes to search for failures"
    )
    parser.add_argument("--seed", type=count_from(0), default=0, help="seed of the first scene")
    parser.add_argument("--json", action="store_true", help="write the index to stdout as JSON")


def run(args: argparse.Namespace) -> int:
    """Draw the sheets and write them with their captions; returns 0."""
    from rose_ros.evaluation import gallery
    from rose_ros.evaluation.pictures import encode_jpeg
    from rose_ros.paths import find_model
    from rose_ros.runtime.calibration import fingerprint

    makers: dict[str, tuple[int, Callable[[Callable[[], None]], Sheet]]] = {
        "scenes": (
            gallery.SHOWN,
            lambda done: gallery.scenes_sheet(perceiver, args.seed, done),
        ),
        "failures": (
            args.scenes,
            lambda done: gallery.failures_sheet(perceiver, args.seed, args.scenes, done),
        ),
        "corrections": (
            len(gallery.CORRECTIONS),
            lambda done: gallery.corrections_sheet(perceiver, args.seed, done),
        ),
        "photos": (len(gallery.PHOTOS), lambda done: gallery.photos_sheet(perceiver, done)),
    }
    make_folder(args.out)
    if "photos" in args.sheets:
        gallery.find_photos()  # whether they are there is said before anything takes long
    weights = fingerprint(find_model(args.model))
    perceiver = load_perceiver(args)
    index = _read_index(args.out, weights)
    index |= {"model": perceiver.runtime.model_name, "weights": weights}
    total, passed = sum(makers[name][0] for name in args.sheets), 0
    with progress_bar("gallery", total) as progress:

        def done() -> None:
            nonlocal passed
            passed += 1
            progress(passed, total)

        for name in args.sheets:
            sheet = makers[name][1](done)
            data = encode_jpeg(sheet.picture)
            file = f"gallery_{name}.jpg"
            (args.out / file).write_bytes(data)
            index[name] = {"file": file, "caption": sheet.caption}
    write_json(index, args.out / INDEX)
    if args.json:
        write_json(index)
        return 0
    for name in args.sheets:
        path = args.out / index[name]["file"]
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB. {index[name]['caption']}.")
    return 0


def _read_index(folder: Path, weights: str) -> dict[str, Any]:
    """Return what an index says of sheets that the same weights made; else nothing."""
    path = folder / INDEX
    if not path.is_file():
        return {}
    index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return index if index.get("weights") == weights else {}
