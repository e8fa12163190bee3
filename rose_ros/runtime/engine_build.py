"""Build TensorRT engines from a model's graphs: converted, built, tested, and only then kept."""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import EngineError, ModelError
from rose_ros.model.processing import RoseProcessor
from rose_ros.paths import find_model
from rose_ros.runtime.cache import ensure_graphs
from rose_ros.runtime.engine_compile import Compiler, Progress
from rose_ros.runtime.engine_device import CudaDevice
from rose_ros.runtime.engine_execution import Engine, share_scratch
from rose_ros.runtime.engine_files import (
    FORMAT,
    BuildOptions,
    EngineRecord,
    cache_key,
    engine_folder,
    read_engine,
    read_record,
    source_digest,
    timing_file,
    write_engine,
)
from rose_ros.runtime.engine_library import Library
from rose_ros.runtime.engine_precision import FLOAT32_GRAPHS, convert
from rose_ros.runtime.engine_profiles import make_profiles
from rose_ros.runtime.engine_selftest import (
    Call,
    compare_calls,
    record_calls,
    require_agreement,
)
from rose_ros.runtime.manifest import Manifest, check_graphs, graphs_beside

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Built:
    """Engines that lie in a folder; ``kept`` names those that were there already."""

    folder: Path
    records: tuple[EngineRecord, ...]
    kept: tuple[str, ...]


def build_engines(
    model: str | Path,
    images: Iterable[NDArray[np.uint8]],
    *,
    graphs: Path | None = None,
    device: str = "auto",
    options: BuildOptions | None = None,
    root: Path | None = None,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Build what is missing of a model's engines for this machine and test it on ``images``.

    An engine that is there, whole and built from the same with the same options is kept, unless
    ``rebuild``. One that does not agree with ONNX Runtime is not kept. Raises ``EngineError``,
    ``ModelError`` or ``RuntimeUnavailableError`` with the reason.
    """
    gpu, library = CudaDevice(device), Library()
    build = _Build(find_model(model), graphs, gpu, library, options or BuildOptions(), root)
    with _only_one(build.folder):
        calls: dict[str, list[Call]] | None = None
        records, kept = [], []
        for graph in build.manifest.graphs:
            record = None if rebuild else build.find(graph)
            if record is None:
                calls = build.record(images) if calls is None else calls
                record, data = build.make(graph, calls[graph], progress or _go_on)
                write_engine(build.folder, record, data)
            else:
                kept.append(graph)
            records.append(record)
    return Built(build.folder, tuple(records), tuple(kept))


class _Build:
    """What is the same for all engines of one build."""

    def __init__(
        self,
        checkpoint: Path,
        graphs: Path | None,
        gpu: CudaDevice,
        library: Library,
        options: BuildOptions,
        root: Path | None,
    ) -> None:
        self.checkpoint, self.model = checkpoint, checkpoint.name
        self.graphs = graphs or graphs_beside(checkpoint) or ensure_graphs(checkpoint)
        self.gpu, self.library, self.options = gpu, library, options
        self.manifest = _check(checkpoint, self.graphs)
        processor = RoseProcessor.from_pretrained(checkpoint)
        self.profiles = make_profiles(
            self.manifest.graphs,
            regions=options.regions,
            most_text=processor.config.max_text_tokens,
            prompts=_prompt_lengths(processor, self.manifest),
        )
        self.machine = gpu.describe(library.version)
        self.source = source_digest(self.manifest)
        self.key = cache_key(self.source, self.machine, options, self.profiles)
        self.folder = engine_folder(self.model, self.key, root)
        self.compiler = Compiler(library, gpu, options, timing_file(self.machine, root))

    def find(self, graph: str) -> EngineRecord | None:
        """Return the record of an engine of this very build that is whole and passed its test."""
        try:
            record = read_record(self.folder, graph)
            read_engine(self.folder, record)
        except EngineError:
            return None
        return record if record.key == self.key and record.self_test else None

    def record(self, images: Iterable[NDArray[np.uint8]]) -> dict[str, list[Call]]:
        """Run ONNX Runtime for the test, in full batches and in ones that must be filled up."""
        batches = sorted({1, *self.options.regions})
        return record_calls(self.checkpoint, self.graphs, images, batches)

    def make(self, graph: str, calls: list[Call], progress: Progress) -> tuple[EngineRecord, bytes]:
        """Build and test one engine."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="rose_ros-") as folder:
            source = self._convert(graph, Path(folder))
            data = self.compiler.compile(graph, source, self.profiles[graph], progress)
        record = EngineRecord(
            format=FORMAT,
            model=self.model,
            graph=graph,
            key=self.key,
            sha256=hashlib.sha256(data).hexdigest(),
            source=self.source,
            machine=self.machine,
            options=self.options,
            profiles=self.profiles[graph],
            seconds=round(time.monotonic() - began, 1),
            self_test={},
        )
        return replace(record, self_test=self._test(record, data, calls)), data

    def _precision(self, graph: str) -> str:
        return "float32" if graph in FLOAT32_GRAPHS else self.options.precision

    def _convert(self, graph: str, folder: Path) -> Path:
        """Return the graph in the precision it is built in."""
        source: Path = self.graphs / self.manifest.graphs[graph]["file"]
        if self._precision(graph) == "float32":
            return source
        target = folder / source.name
        convert(source, target, self._precision(graph))
        return target

    def _test(self, record: EngineRecord, data: bytes, calls: list[Call]) -> dict[str, float]:
        """Load an engine as the node would and compare; raises ``EngineError`` if it is wrong."""
        gpu, described = self.gpu, self.manifest.graphs[record.graph]
        with gpu.use():
            engine = Engine(self.library, gpu, self.library.make_runtime(), record, described, data)
            scratch = share_scratch(gpu, [engine])

            def run(inputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
                return {name: gpu.download(value) for name, value in engine.run(inputs).items()}

            found = compare_calls(calls, run)
            engine.close()
            del scratch
        require_agreement(record.graph, self._precision(record.graph), found)
        return found.numbers()


def _prompt_lengths(processor: RoseProcessor, manifest: Manifest) -> set[int]:
    """Return how many tokens the questions about a region have that are asked of this model."""
    lengths = {len(processor.name_prompt_ids())}
    if "shapes" in manifest.graphs["region"]["outputs"]:
        lengths.add(len(processor.kind_prompt_ids()))
    return lengths


def _check(checkpoint: Path, graphs: Path) -> Manifest:
    """Return the manifest of graphs that engines can be built from."""
    again = f"run: python -m rose_ros export --model {checkpoint} --out {graphs}"
    try:
        manifest = check_graphs(checkpoint, graphs)
    except ModelError as error:
        raise ModelError(f"{error}; {again}") from error
    if manifest.precision != "float32":
        raise EngineError(
            f"the graphs in {graphs} are {manifest.precision}, which only a CPU runs; {again}"
        )
    return manifest


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let one process build at a time; raises ``EngineError`` when another does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EngineError(f"another process builds engines in {folder}") from error
        yield


def _go_on(graph: str, phase: str, done: int, total: int) -> bool:
    """Report to nobody."""
    return True
