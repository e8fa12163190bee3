"""The ONNX graphs of a checkpoint, as the node takes them, and in eight bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.images import SPLIT
from benchmarks.measures import BenchmarkError
from rose_ros.data.tabletop import render
from rose_ros.errors import ModelError, RoseError
from rose_ros.paths import find_model
from rose_ros.runtime import create_runtime
from rose_ros.runtime.manifest import GRAPHS, check_graphs

#: Where graphs in eight bits are kept.
CACHE = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
#: Scenes that exported graphs are compared with PyTorch on; the benchmarks compare them again.
_SCENES = 8

Report = Callable[[str, int, int], None]


def with_graphs(model: str, report: Report) -> Path:
    """Return a checkpoint folder whose graphs are shipped or cached, exported if need be."""
    folder = find_model(model)
    report("graphs of the model, exported on first use", 0, 1)
    create_runtime(folder, runtime="onnx").close()
    return folder


def eight_bits(model: Path, report: Report) -> Path:
    """Return the folder of the model's graphs in eight bits; raises ``BenchmarkError``."""
    graphs = CACHE / f"{model.name}-int8"
    if not _is_current(model, graphs):
        _export(model, graphs, report)
    return graphs


def _is_current(model: Path, graphs: Path) -> bool:
    """Return whether graphs are whole and belong to the checkpoint as it is."""
    try:
        check_graphs(model, graphs)
    except ModelError:
        return False
    return True


def _export(model: Path, graphs: Path, report: Report) -> None:
    from rose_ros.runtime.export import export

    total = len(GRAPHS) + _SCENES
    images = (render(seed, SPLIT, height=240, width=320).image for seed in range(_SCENES))

    def progress(step: str, done: int) -> None:
        before = len(GRAPHS) if step == "compare" else 0
        report("exporting graphs in eight bits", before + done, total)

    graphs.parent.mkdir(parents=True, exist_ok=True)
    try:
        export(model, graphs, images, progress, precision="int8")
    except RoseError as error:
        raise BenchmarkError(f"no graphs of {model.name} in eight bits: {error}") from error
