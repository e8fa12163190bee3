"""TensorRT's builder: one graph in, one engine out, with the times of kernels kept for the next."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rose_ros.errors import EngineError
from rose_ros.runtime.engine_device import CudaDevice
from rose_ros.runtime.engine_files import BuildOptions, write_bytes
from rose_ros.runtime.engine_library import Library
from rose_ros.runtime.engine_profiles import Profile

if TYPE_CHECKING:
    import tensorrt as trt

#: (graph, phase, steps done, steps in all) -> whether to go on
Progress = Callable[[str, str, int, int], bool]

_MIB = 1 << 20
#: The share of free memory that one layer may ask for while it is tried.
_SCRATCH_SHARE = 0.5


class Compiler:
    """Builds engines for one GPU with one set of options."""

    def __init__(
        self, library: Library, gpu: CudaDevice, options: BuildOptions, timings: Path
    ) -> None:
        """Keep the times of kernels in the file ``timings``; it need not exist."""
        self._library, self._gpu = library, gpu
        self._options, self._timings = options, timings

    def compile(
        self, graph: str, source: Path, profiles: Iterable[Profile], progress: Progress
    ) -> bytes:
        """Turn a graph's file into an engine; raises ``EngineError`` with TensorRT's reason."""
        library, api = self._library, self._library.trt
        library.lines.clear()
        stopped = False

        def report(phase: str, done: int, total: int) -> bool:
            nonlocal stopped
            stopped = stopped or not progress(graph, phase, done, total)
            return not stopped

        with self._gpu.use():
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
            config: trt.IBuilderConfig = self._configure(builder, network, profiles)
            monitor = library.make_monitor(report)
            config.progress_monitor = monitor
            _load_timings(config, self._timings)
            plan = builder.build_serialized_network(network, config)
            if stopped:
                raise EngineError(f"building the engine {graph} was stopped")
            library.require(plan, _why(f"TensorRT cannot build the engine {graph}", library))
            cache: trt.ITimingCache | None = config.get_timing_cache()
            if cache is not None:
                write_bytes(self._timings, memoryview(cache.serialize()))
            return bytes(memoryview(plan))

    def _configure(
        self, builder: trt.Builder, network: trt.INetworkDefinition, profiles: Iterable[Profile]
    ) -> trt.IBuilderConfig:
        api, options = self._library.trt, self._options
        config: trt.IBuilderConfig = builder.create_builder_config()
        scratch = min(options.workspace * _MIB, int(self._gpu.free_memory() * _SCRATCH_SHARE))
        config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, scratch)
        config.builder_optimization_level = options.level
        # One stream, which launches can be recorded from.
        config.max_aux_streams = 0
        # On by default, and a tenth as exact as float32.
        config.clear_flag(api.BuilderFlag.TF32)
        for profile in profiles:
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
            raise EngineError(self._library.reason(f"TensorRT refuses the profile {shapes}"))


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


def _load_timings(config: trt.IBuilderConfig, path: Path) -> None:
    """Use kernels measured before; a file that TensorRT refuses is begun anew."""
    data = path.read_bytes() if path.is_file() else b""
    cache: trt.ITimingCache | None = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        if cache is None or not config.set_timing_cache(cache, False):
            raise EngineError("TensorRT refuses an empty timing cache")
