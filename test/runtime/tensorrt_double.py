"""A stand-in for the module tensorrt, with the bindings' names and signatures.

It does what the documentation says of the real one, on the host: engines hold a graph that ONNX
Runtime computes, inputs and outputs are read and written at the addresses that were bound, results
that fail are returned and not raised. Whatever the real one would answer with undefined behaviour
is an assertion here. Names and signatures are compared with the real bindings by a test.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum, IntEnum
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from rose_ros.runtime.engine_device import ALIGNMENT, CudaDevice
from rose_ros.runtime.engine_files import Machine

STREAM = 0x5EED
MACHINE = Machine("", "12.6", "560.35", "Test GPU", "8.7", 8, "Linux x86_64", "Test Board")

NUMPY = {"FLOAT": np.float32, "INT64": np.int64, "BOOL": np.bool_}


class DataType(Enum):
    FLOAT, HALF, BF16, INT32, INT64, BOOL = range(6)


class TensorIOMode(Enum):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(Enum):
    DEVICE, HOST = range(2)


class MemoryPoolType(Enum):
    WORKSPACE = 0


class BuilderFlag(Enum):
    TF32 = 0


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class ExecutionContextAllocationStrategy(Enum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self) -> None:
        self.ready = True


class IProgressMonitor:
    def __init__(self) -> None:
        self.ready = True


class World:
    """What happened, and what shall fail: names of methods, with what the log says then."""

    def __init__(self, version: str = "10.13.3.9") -> None:
        self.version = version
        self.failures: dict[str, str] = {}
        self.events: list[str] = []
        self.recording: list[Callable[[], None]] | None = None
        #: Applied to every output of the engine of a graph, to make it wrong.
        self.spoil: Callable[[str, Any], Any] = lambda name, value: value
        self.inputs_in_host_memory = False
        #: Half-precision operators of every engine that was built.
        self.half: list[set[str]] = []

    def fails(self, method: str, logger: ILogger) -> bool:
        """Say whether a method fails now, after its reason went to the log."""
        self.events.append(method)
        if method not in self.failures:
            return False
        logger.log(ILogger.ERROR, self.failures[method])  # type: ignore[attr-defined]
        return True

    def module(self) -> ModuleType:
        """Make the module that ``import tensorrt`` finds."""
        made = ModuleType("tensorrt")
        world = self

        class Builder(_Builder):
            def __init__(self, logger: ILogger) -> None:
                if world.fails("Builder", logger):
                    raise TypeError("pybind11::init(): factory function returned nullptr")
                self._world, self._logger = world, logger

        class Runtime(_Runtime):
            def __init__(self, logger: ILogger) -> None:
                if world.fails("Runtime", logger):
                    raise TypeError("pybind11::init(): factory function returned nullptr")
                self._world, self._logger = world, logger

        class OnnxParser(_OnnxParser):
            def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
                self._network, self._world, self._logger = network, world, logger

        def init_libnvinfer_plugins(logger: ILogger, namespace: str) -> bool:
            return not world.fails("init_libnvinfer_plugins", logger)

        made.__dict__.update(
            __version__=self.version,
            Builder=Builder,
            Runtime=Runtime,
            OnnxParser=OnnxParser,
            init_libnvinfer_plugins=init_libnvinfer_plugins,
            **{one.__name__: one for one in PLAIN},
        )
        return made


class ITensor:
    name = ""

    def __init__(self, name: str) -> None:
        self.name = name


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._model: onnx.ModelProto | None = None

    @property
    def num_inputs(self) -> int:
        assert self._model is not None
        return len(self._model.graph.input)

    def get_input(self, index: int) -> ITensor:
        assert self._model is not None
        return ITensor(self._model.graph.input[index].name)


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(
        self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]
    ) -> None:
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
        self._shapes[input] = (min, opt, max)


class IHostMemory(bytes):
    """The real one has the buffer protocol, too."""


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._data + b"t")


class IBuilderConfig:
    builder_optimization_level = 3
    max_aux_streams = -1
    progress_monitor: Any = None

    def __init__(self, world: World, logger: ILogger) -> None:
        self._world, self._logger = world, logger
        self._profiles: list[IOptimizationProfile] = []
        self._flags = {BuilderFlag.TF32}
        self._pools: dict[MemoryPoolType, int] = {}
        self._cache: ITimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self._pools[pool] = pool_size

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.discard(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        if self._world.fails("add_optimization_profile", self._logger):
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        if cache._data and self._world.fails("set_timing_cache", self._logger):
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache


class _Builder:
    _world: World
    _logger: ILogger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        major = int(self._world.version.split(".")[0])
        assert flags == (0 if major >= 11 else 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self._world, self._logger)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        assert network._model is not None, "nothing was parsed"
        assert not config._flags, "float32 would be computed in TF32"
        assert config.max_aux_streams == 0
        assert config._pools[MemoryPoolType.WORKSPACE] > 0
        model, monitor = network._model, config.progress_monitor
        monitor.phase_start("Building", None, 2)
        for step in range(2):
            if not monitor.step_complete("Building", step):
                return None
        monitor.phase_finish("Building")
        if self._world.fails("build_serialized_network", self._logger):
            return None
        dynamic = {one.name for one in model.graph.input if _has_dynamic(one)}
        for profile in config._profiles:
            assert set(profile._shapes) == dynamic, "a dynamic input lacks its shapes"
        assert config._profiles or not dynamic
        self._world.half.append(_half_operators(model))
        header = json.dumps([profile._shapes for profile in config._profiles] or [{}])
        return IHostMemory(header.encode() + b"\n" + in_float32(model).SerializeToString())


class ParserError:
    def __init__(self, desc: str) -> None:
        self._desc = desc

    def node_operator(self) -> str:
        return "Abacus"

    def node_name(self) -> str:
        return "node_7"

    def desc(self) -> str:
        return self._desc


class _OnnxParser:
    _network: INetworkDefinition
    _world: World
    _logger: ILogger

    def parse_from_file(self, model: str) -> bool:
        if self._world.fails("parse_from_file", self._logger):
            return False
        self._network._model = onnx.load(model)
        return True

    @property
    def num_errors(self) -> int:
        return int("parse_from_file" in self._world.failures)

    def get_error(self, index: int) -> ParserError:
        assert 0 <= index < self.num_errors
        return ParserError(self._world.failures["parse_from_file"])


class _Runtime:
    _world: World
    _logger: ILogger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if self._world.fails("deserialize_cuda_engine", self._logger):
            return None
        header, model = bytes(serialized_engine).split(b"\n", 1)
        return ICudaEngine(self._world, self._logger, json.loads(header), model)


class ICudaEngine:
    def __init__(
        self, world: World, logger: ILogger, profiles: list[dict[str, Any]], model: bytes
    ) -> None:
        self._world, self._logger, self._profiles = world, logger, profiles
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._ins = {one.name: one for one in self._session.get_inputs()}
        self._outs = {one.name: one for one in self._session.get_outputs()}
        self._ends = {**self._ins, **self._outs}

    @property
    def num_io_tensors(self) -> int:
        return len(self._ends)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self._ends)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._ins else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self._ends[name].type[len("tensor(") : -1].upper()]

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.HOST if self._world.inputs_in_host_memory else TensorLocation.DEVICE

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        assert 0 <= profile_index < len(self._profiles)
        return 1024 * (profile_index + 1)

    def create_execution_context(
        self,
        strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC,
    ) -> IExecutionContext | None:
        if self._world.fails("create_execution_context", self._logger):
            return None
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._world = engine, engine._world
        self._profile: int | None = None
        self._scratch = 0
        self._shapes: dict[str, tuple[int, ...]] = {
            name: tuple(end.shape)
            for name, end in engine._ins.items()
            if all(isinstance(size, int) for size in end.shape)
        }
        self._addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle == STREAM
        if self._world.fails("set_optimization_profile_async", self._engine._logger):
            return False
        assert self._profile is None, "each context has a profile of its own"
        self._profile = profile_index
        return 0 <= profile_index < len(self._engine._profiles)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % ALIGNMENT == 0
        self._scratch = size

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self._profile is not None
        assert self._world.recording is None, "shapes are fixed while a launch is recorded"
        if self._world.fails("set_input_shape", self._engine._logger):
            return False
        low, _, high = self._engine._profiles[self._profile][name]
        if not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert name in self._engine._ends
        assert memory, "null means: not set"
        assert memory % ALIGNMENT == 0, "a part of another buffer"
        assert self._world.recording is None, "addresses are fixed while a launch is recorded"
        self._addresses[name] = memory
        return not self._world.fails("set_tensor_address", self._engine._logger)

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine._ins if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._engine._ins:
            return self._shapes[name]
        sizes = self._sizes()
        return tuple(
            size if isinstance(size, int) else sizes.get(size, -1)
            for size in self._engine._outs[name].shape
        )

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == STREAM, "not the stream that everything else is on"
        if self._world.fails("execute_async_v3", self._engine._logger):
            return False
        assert self._profile is not None
        assert self._scratch >= self._engine.get_device_memory_size_for_profile_v2(self._profile)
        shapes = {name: self.get_tensor_shape(name) for name in self._engine._ends}
        addresses = {name: self._addresses[name] for name in self._engine._ends}

        def launch() -> None:
            self._compute(shapes, addresses)

        if self._world.recording is None:
            launch()
        else:
            self._world.recording.append(launch)
        return True

    def _compute(self, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]) -> None:
        places = {name: self._place(name, shapes[name], addresses[name]) for name in shapes}
        feeds = {name: places[name].copy() for name in self._engine._ins}
        names = list(self._engine._outs)
        for name, value in zip(names, self._engine._session.run(names, feeds), strict=True):
            assert value.shape == shapes[name], "an output does not fit into its buffer"
            places[name][...] = self._world.spoil(name, value)

    def _place(self, name: str, shape: tuple[int, ...], address: int) -> np.ndarray:
        kind = np.dtype(NUMPY[self._engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape)) * kind.itemsize
        raw = (ctypes.c_uint8 * size).from_address(address)
        return np.frombuffer(raw, kind).reshape(shape)

    def _sizes(self) -> dict[str, int]:
        """Return the sizes of named dimensions, from the inputs that have shapes."""
        return {
            dimension: size
            for name, shape in self._shapes.items()
            for dimension, size in zip(self._engine._ins[name].shape, shape, strict=True)
            if isinstance(dimension, str)
        }


#: Classes and enumerations that need no world.
PLAIN: tuple[type, ...] = (
    DataType,
    TensorIOMode,
    TensorLocation,
    MemoryPoolType,
    BuilderFlag,
    NetworkDefinitionCreationFlag,
    ExecutionContextAllocationStrategy,
    ILogger,
    IProgressMonitor,
    ITensor,
    INetworkDefinition,
    IOptimizationProfile,
    IHostMemory,
    ITimingCache,
    IBuilderConfig,
    ParserError,
    ICudaEngine,
    IExecutionContext,
)


class HostDevice(CudaDevice):
    """Host memory in the place of a GPU's, just as aligned, with launches that can be recorded."""

    world: World
    machine: Machine = MACHINE

    def __init__(self, device: str = "auto") -> None:
        self.name = "cuda:0" if device == "auto" else device
        self._torch = torch
        self._active = 0

    @property
    def stream(self) -> int:
        assert self._active, "another stream would be this thread's"
        return STREAM

    @contextmanager
    def use(self) -> Iterator[None]:
        self._active += 1
        with torch.inference_mode():
            yield
        self._active -= 1

    def zeros(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        assert self._active
        kind = getattr(torch, dtype)
        size = int(np.prod(shape)) * kind.itemsize
        raw = torch.zeros(size + ALIGNMENT, dtype=torch.uint8)
        start = -raw.data_ptr() % ALIGNMENT
        return raw[start : start + size].view(kind).reshape(shape)

    def upload(self, array: np.ndarray) -> torch.Tensor:
        made = self.zeros(array.shape, array.dtype.name)
        self.write(made, array)
        return made

    def copied(self, tensor: torch.Tensor) -> torch.Tensor:
        made = self.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        made.copy_(tensor)
        return made

    def download(self, tensor: torch.Tensor) -> np.ndarray:
        assert self._active
        return tensor.numpy().copy()

    def synchronize(self) -> None:
        assert self._active

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        launches: list[Callable[[], None]] = []
        self.world.recording = launches
        work()
        self.world.recording = None
        self.world.events.append("record")

        def replay() -> None:
            self.world.events.append("replay")
            for launch in launches:
                launch()

        return replay

    def free_memory(self) -> int:
        return 1 << 33

    def describe(self, tensorrt: str) -> Machine:
        return replace(self.machine, tensorrt=tensorrt)


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let nodes in half precision compute in float32 from rounded inputs, and round what they give.

    ONNX Runtime has no bfloat16 kernels on the CPU; this is what matrix units do: products of
    rounded numbers, summed in float32.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    half = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    kinds = _types(made)
    nodes: list[onnx.NodeProto] = []
    wide: dict[str, str] = {}
    for node in model.graph.node:
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        if node.op_type != "Cast" and any(kinds.get(name) in half for name in node.input):
            for place, name in enumerate(node.input):
                if kinds.get(name) not in half:
                    continue
                if name not in wide:
                    wide[name] = f"{name}__wide"
                    nodes.append(
                        onnx.helper.make_node(
                            "Cast", [name], [wide[name]], to=onnx.TensorProto.FLOAT
                        )
                    )
                changed.input[place] = wide[name]
            after = []
            for place, name in enumerate(node.output):
                assert kinds[name] in half, f"{node.op_type} in half precision gives {kinds[name]}"
                changed.output[place] = f"{name}__exact"
                after.append(
                    onnx.helper.make_node("Cast", [f"{name}__exact"], [name], to=kinds[name])
                )
            nodes += [changed, *after]
        else:
            nodes.append(changed)
    del graph.node[:]
    graph.node.extend(nodes)
    return made


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = model.graph
    kinds = {one.name: one.data_type for one in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        kinds[value.name] = value.type.tensor_type.elem_type
    for node in graph.node:
        if node.op_type == "Cast":
            kinds[node.output[0]] = next(one.i for one in node.attribute if one.name == "to")
    return kinds


def _half_operators(model: onnx.ModelProto) -> set[str]:
    half = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    kinds = _types(model)
    return {
        node.op_type
        for node in model.graph.node
        if node.op_type != "Cast" and any(kinds.get(name) in half for name in node.input)
    }


def _has_dynamic(value: onnx.ValueInfoProto) -> bool:
    return any(one.HasField("dim_param") for one in value.type.tensor_type.shape.dim)
