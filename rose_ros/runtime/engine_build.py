"""Build TensorRT engines from a model's graphs: converted, built, tested, and only then kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import EngineError, ModelError
from rose_ros.model.processing import RoseProcessor
from rose_ros.paths import find_model
from rose_ros.runtime.cache import ensure_graphs
from rose_ros.runtime.engine_device import CudaDevice
from rose_ros.runtime.engine_execution import Engine, share_scratch
from rose_ros.runtime.engine_files import (
    FORMAT,
    BuildOptions,
    EngineRecord,
    cache_key,
    engine_folder,
    engine_root,
    read_engine,
    read_record,
    source_digest,
    write_bytes,
    write_engine,
)
from rose_ros.runtime.engine_library import Library
from rose_ros.runtime.engine_precision import FLOAT32_GRAPHS, convert
from rose_ros.runtime.engine_profiles import Profile, make_profiles
from rose_ros.runtime.engine_selftest import (
    Call,
    compare_calls,
    record_calls,
    require_agreement,
)
from rose_ros.runtime.manifest import FILE, FOLDER, GRAPHS, Manifest, check_graphs

if TYPE_CHECKING:
    import tensorrt as trt

#: (graph, phase, steps done, steps in all) -> whether to go on
Progress = Callable[[str, str, int, int], bool]

_LOCK = ".lock"
_MIB = 1 << 20
#: The share of free memory that one layer may ask for while it is tried.
_SCRATCH_SHARE = 0.5


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
    build = _Build(find_model(model), graphs, gpu, library, options or BuildOptions())
    folder = engine_folder(build.model, build.key, root)
    with _only_one(folder):
        calls: dict[str, list[Call]] | None = None
        records, kept = [], []
        for graph in GRAPHS:
            record = None if rebuild else build.find(folder, graph)
            if record is None:
                calls = build.record(images) if calls is None else calls
                record, data = build.make(graph, calls[graph], root, progress or _go_on)
                write_engine(folder, record, data)
            else:
                kept.append(graph)
            records.append(record)
    return Built(folder, tuple(records), tuple(kept))


class _Build:
    """What is the same for all engines of one build."""

    def __init__(
        self,
        checkpoint: Path,
        graphs: Path | None,
        gpu: CudaDevice,
        library: Library,
        options: BuildOptions,
    ) -> None:
        self.checkpoint, self.model = checkpoint, checkpoint.name
        self.graphs = _find_graphs(checkpoint) if graphs is None else graphs
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

    def find(self, folder: Path, graph: str) -> EngineRecord | None:
        """Return the record of an engine of this very build that is whole and passed its test."""
        try:
            record = read_record(folder, graph)
            read_engine(folder, record)
        except EngineError:
            return None
        return record if record.key == self.key and record.self_test else None

    def record(self, images: Iterable[NDArray[np.uint8]]) -> dict[str, list[Call]]:
        """Run ONNX Runtime for the test, in full batches and in ones that must be filled up."""
        batches = sorted({1, *self.options.regions})
        return record_calls(self.checkpoint, self.graphs, images, batches)

    def make(
        self, graph: str, calls: list[Call], root: Path | None, progress: Progress
    ) -> tuple[EngineRecord, bytes]:
        """Build and test one engine."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="rose_ros-") as folder:
            source = self._convert(graph, Path(folder))
            data = self._build(graph, source, _timing_file(root, self.library, self.gpu), progress)
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

    def _build(self, graph: str, source: Path, timings: Path, progress: Progress) -> bytes:
        """Parse a graph and build its engine; raises ``EngineError`` with TensorRT's reason."""
        library, api = self.library, self.library.trt
        library.lines.clear()
        stopped = False

        def report(phase: str, done: int, total: int) -> bool:
            nonlocal stopped
            stopped = stopped or not progress(graph, phase, done, total)
            return not stopped

        with self.gpu.use():
            builder: trt.Builder = library.make_builder()
            # From TensorRT 11 on there is nothing but this, and the flag's place is another's.
            strongly_typed = 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
            network: trt.INetworkDefinition = library.require(
                builder.create_network(strongly_typed if library.major < 11 else 0),
                f"no network can be made for the graph {graph}",
            )
            parser: trt.OnnxParser = api.OnnxParser(network, library.log)
            if not parser.parse_from_file(os.fspath(source)):
                raise EngineError(f"TensorRT cannot read the graph {graph}: {_errors(parser)}")
            config: trt.IBuilderConfig = self._configure(builder, network, graph)
            monitor = library.make_monitor(report)
            config.progress_monitor = monitor
            _load_timings(config, timings)
            plan = builder.build_serialized_network(network, config)
            if stopped:
                raise EngineError(f"building the engine {graph} was stopped")
            library.require(plan, _why(f"TensorRT cannot build the engine {graph}", library))
            cache: trt.ITimingCache | None = config.get_timing_cache()
            if cache is not None:
                write_bytes(timings, memoryview(cache.serialize()))
            return bytes(memoryview(plan))

    def _configure(
        self, builder: trt.Builder, network: trt.INetworkDefinition, graph: str
    ) -> trt.IBuilderConfig:
        api, options = self.library.trt, self.options
        config: trt.IBuilderConfig = builder.create_builder_config()
        scratch = min(options.workspace * _MIB, int(self.gpu.free_memory() * _SCRATCH_SHARE))
        config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, scratch)
        config.builder_optimization_level = options.level
        # One stream, which launches can be recorded from.
        config.max_aux_streams = 0
        # On by default, and a tenth as exact as float32.
        config.clear_flag(api.BuilderFlag.TF32)
        for profile in self.profiles[graph]:
            if profile:
                self._add_profile(builder, config, network, profile)
        return config

    def _add_profile(
        self,
        builder: trt.Builder,
        config: trt.IBuilderConfig,
        network: trt.INetworkDefinition,
        shapes: Profile,
    ) -> None:
        profile: trt.IOptimizationProfile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor: trt.ITensor = network.get_input(index)
            if tensor.name in shapes:
                profile.set_shape(tensor.name, *shapes[tensor.name])
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(self.library.reason(f"TensorRT refuses the profile {shapes}"))

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


def _find_graphs(checkpoint: Path) -> Path:
    """Return the graphs beside a checkpoint, else those in the cache, exported if need be."""
    beside = checkpoint / FOLDER
    return beside if (beside / FILE).is_file() else ensure_graphs(checkpoint)


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


def _errors(parser: trt.OnnxParser) -> str:
    """Write what the parser could not read."""
    found = []
    for index in range(parser.num_errors):
        error: trt.ParserError = parser.get_error(index)
        found.append(f"{error.node_operator()} {error.node_name()}: {error.desc()}")
    return "; ".join(found) or "it gave no reason"


def _why(what: str, library: Library) -> str:
    """Name what TensorRT calls by another name."""
    if any("Could not find any implementation" in line for line in library.lines):
        return f"{what}, often for want of memory (close what uses the GPU, try --workspace)"
    return what


def _timing_file(root: Path | None, library: Library, gpu: CudaDevice) -> Path:
    """Name the file of measured kernels: of one TensorRT on one kind of GPU."""
    machine = gpu.describe(library.version)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{machine.tensorrt} {machine.gpu}").strip("-")
    return (root or engine_root()) / f"timings-{name}.bin"


def _load_timings(config: trt.IBuilderConfig, path: Path) -> None:
    """Use kernels measured before; a file that TensorRT refuses is begun anew."""
    data = path.read_bytes() if path.is_file() else b""
    cache: trt.ITimingCache | None = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        if cache is None or not config.set_timing_cache(cache, False):
            raise EngineError("TensorRT refuses an empty timing cache")


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
