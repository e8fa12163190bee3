"""What the commands share: progress on stderr, results on stdout, options of a model."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_ros.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from rose_ros.perception.perceiver import Perceiver


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which model runs, and where."""
    parser.add_argument(
        "--model", default="rose-tiny", help="checkpoint folder or name of a shipped model"
    )
    parser.add_argument("--runtime", default="auto", help="what runs the network")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def load_perceiver(args: argparse.Namespace) -> Perceiver:
    """Load the model that the options name; raises ``RoseError`` with the reason."""
    import rose_ros

    return rose_ros.load(args.model, runtime=args.runtime, device=args.device)


def count_from(least: int) -> Callable[[str], int]:
    """Return an argparse type: a whole number of at least ``least``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return value

    return parse


def write_json(value: Any, path: Path | None = None) -> None:
    """Write a result as JSON to a file, or to stdout when ``path`` is None."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if path is None:
        sys.stdout.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_image(image: NDArray[np.uint8], path: Path) -> None:
    """Write an RGB image (height, width, 3) in the format of the file's ending.

    Raises ``DataError`` when there is no such format.
    """
    import cv2
    import numpy as np

    try:
        done, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))
    except cv2.error:
        done = False
    if not done:
        raise DataError(f"cannot write {path}; end its name in .png or .jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def describe_machine() -> dict[str, Any]:
    """Return the processor's kind and how many of its cores this process may use."""
    kind = platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            kind = line.partition(":")[2].strip()
            break
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    return {"cpu": kind, "cores": cores or 1}


def make_folder(folder: Path) -> None:
    """Create the output folder; raises ``DataError`` when a file is in the way."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out {folder} is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr; yields a function to call with (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)
