"""A checkpoint with ONNX graphs: shipped or cached ones, else exported for the benchmarks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.images import SPLIT
from benchmarks.measures import BenchmarkError
from rose_ros.data.tabletop import render
from rose_ros.errors import ModelError, RoseError
from rose_ros.paths import find_model
from rose_ros.runtime import create_runtime
from rose_ros.runtime.manifest import FOLDER, GRAPHS, check_graphs

#: Where graphs are kept that were exported here.
CACHE = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
#: Scenes that exported graphs are compared with PyTorch on; the benchmarks compare them again.
_SCENES = 8

Report = Callable[[str, int, int], None]


def with_graphs(model: str, report: Report) -> Path:
    """Return a checkpoint folder whose network ONNX Runtime can run.

    That is the model itself where its graphs are shipped or cached, else a copy with graphs.
    """
    folder = find_model(model)
    try:
        create_runtime(folder, runtime="onnx").close()
    except ModelError:
        copy = CACHE / folder.name
        if not _is_current(folder, copy / FOLDER):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(FOLDER))
            _export(copy, copy / FOLDER, "float32", report)
        return copy
    return folder


def eight_bits(model: Path, report: Report) -> Path:
    """Return the folder of the model's graphs in eight bits; raises ``BenchmarkError``."""
    graphs = CACHE / f"{model.name}-int8"
    if not _is_current(model, graphs):
        _export(model, graphs, "int8", report)
    return graphs


def _is_current(model: Path, graphs: Path) -> bool:
    """Return whether graphs are whole and belong to the checkpoint as it is."""
    try:
        check_graphs(model, graphs)
    except ModelError:
        return False
    return True


def _export(model: Path, graphs: Path, precision: str, report: Report) -> None:
    from rose_ros.runtime.export import export

    total = len(GRAPHS) + _SCENES
    images = (render(seed, SPLIT, height=240, width=320).image for seed in range(_SCENES))

    def progress(step: str, done: int) -> None:
        before = len(GRAPHS) if step == "compare" else 0
        report(f"exporting graphs, {precision}", before + done, total)

    graphs.parent.mkdir(parents=True, exist_ok=True)
    try:
        export(model, graphs, images, progress, precision=precision)
    except RoseError as error:
        raise BenchmarkError(f"no graphs of {model.name} in {precision}: {error}") from error
