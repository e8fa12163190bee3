"""One TensorRT engine at work: a context per profile, fixed buffers, recorded launches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rose_ros.errors import EngineError
from rose_ros.runtime.engine_device import ALIGNMENT, CudaDevice
from rose_ros.runtime.engine_files import EngineRecord
from rose_ros.runtime.engine_library import Library
from rose_ros.runtime.engine_profiles import Profile, Shape, holds, is_fixed

if TYPE_CHECKING:
    import tensorrt as trt
    import torch

#: Types of the manifest, as PyTorch calls them.
_TYPES = {"float": "float32", "int64": "int64", "bool": "bool"}


@dataclass(slots=True)
class _Lane:
    """One profile: its context and, where all shapes are fixed, its buffers and its launch."""

    profile: Profile
    context: trt.IExecutionContext
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    launch: Callable[[], None] | None = None


class Engine:
    """Runs one graph, with numpy arrays or the device's tensors as inputs.

    Batches of regions are filled up to the next profile. Where a profile fixes all shapes, inputs
    are copied to buffers of fixed addresses and the recorded launch is repeated; what it returns
    is overwritten by the next run. Elsewhere outputs are new.
    """

    def __init__(
        self,
        library: Library,
        device: CudaDevice,
        runtime: trt.Runtime,
        record: EngineRecord,
        described: Mapping[str, Any],
        data: bytes,
    ) -> None:
        """Load an engine whose graph the manifest describes; raises ``EngineError``."""
        self._library, self._device, self._record = library, device, record
        self._described = {**described["inputs"], **described["outputs"]}
        self._input_names = list(described["inputs"])
        self._output_names = list(described["outputs"])
        self._runtime = runtime  # it must live as long as its engines
        self._buffers: dict[tuple[str, Shape], torch.Tensor] = {}
        self._lanes: list[_Lane] = []
        library.lines.clear()
        self._engine: trt.ICudaEngine = library.require(
            runtime.deserialize_cuda_engine(data), f"TensorRT refuses the engine {record.graph}"
        )
        self._check_ends()

    @property
    def scratch_size(self) -> int:
        """Return the bytes of scratch memory that the greediest profile needs."""
        return max(
            self._engine.get_device_memory_size_for_profile_v2(index)
            for index in range(len(self._record.profiles))
        )

    def prepare(self, scratch: torch.Tensor) -> None:
        """Make all contexts, which share scratch memory because they never run at once."""
        for index, profile in enumerate(self._record.profiles):
            lane = _Lane(profile, self._make_context(index, scratch))
            self._lanes.append(lane)
            if profile and is_fixed(profile):
                self._fix(lane)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Run on inputs by name and return outputs by name; raises ``EngineError``."""
        count = self._regions(inputs)
        shapes = {
            name: self._filled_shape(name, tuple(value.shape)) for name, value in inputs.items()
        }
        for lane in self._lanes:
            if holds(lane.profile, shapes):
                break
        else:
            raise EngineError(
                f"the engine {self._record.graph} was not built for inputs of {shapes}; its "
                f"profiles are {list(self._record.profiles)}"
            )
        if lane.launch is None:
            return self._run_once(lane, inputs)
        for name, value in inputs.items():
            self._write(lane.inputs[name], name, value, count)
        lane.launch()
        return {name: self._narrowed(name, tensor, count) for name, tensor in lane.outputs.items()}

    def buffer(self, name: str, count: int) -> torch.Tensor:
        """Return the buffer of an input for ``count`` regions, zeroed; written there, it is not
        copied again.
        """
        shape = list(self._described[name]["shape"])
        axis = shape.index("regions")
        shape[axis] = count
        buffer = self._buffers[name, self._filled_shape(name, tuple(shape))]
        buffer.zero_()
        return self._narrowed(name, buffer, count)

    def close(self) -> None:
        """Free contexts, then the engine."""
        self._lanes.clear()
        self._buffers.clear()
        del self._engine, self._runtime

    # -- making ready -------------------------------------------------------------------------

    def _check_ends(self) -> None:
        """Compare names and types of inputs and outputs with the manifest."""
        api = self._library.trt
        engine: trt.ICudaEngine = self._engine
        types = {
            api.DataType.FLOAT: "float",
            api.DataType.INT64: "int64",
            api.DataType.BOOL: "bool",
        }
        found = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            found[name] = types.get(engine.get_tensor_dtype(name), "another type")
            is_input = engine.get_tensor_mode(name) == api.TensorIOMode.INPUT
            if is_input != (name in self._input_names):
                raise EngineError(f"{name} of the engine {self._record.graph} is at the wrong end")
            if engine.get_tensor_location(name) != api.TensorLocation.DEVICE:
                raise EngineError(
                    f"the engine {self._record.graph} wants {name} in host memory, which no graph "
                    "of this version does; build it again"
                )
        wanted = {name: entry["type"] for name, entry in self._described.items()}
        if found != wanted:
            raise EngineError(
                f"the engine {self._record.graph} has {found}, its graph has {wanted}"
            )
        profiles = engine.num_optimization_profiles
        if profiles != len(self._record.profiles):
            raise EngineError(
                f"the engine {self._record.graph} has {profiles} profiles, its record "
                f"{len(self._record.profiles)}"
            )

    def _make_context(self, index: int, scratch: torch.Tensor) -> trt.IExecutionContext:
        library = self._library
        how = library.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        what = f"profile {index} of the engine {self._record.graph} cannot be used"
        library.lines.clear()
        context: trt.IExecutionContext = library.require(
            self._engine.create_execution_context(how), what
        )
        selected = context.set_optimization_profile_async(index, self._device.stream)
        library.require(selected, what)
        self._device.synchronize()
        context.set_device_memory(scratch.data_ptr(), scratch.nbytes)
        return context

    def _fix(self, lane: _Lane) -> None:
        """Give a lane its buffers, run it once and record the launch."""
        for name in self._input_names:
            shape = self._lane_shape(lane, name)
            if (name, shape) not in self._buffers:
                self._buffers[name, shape] = self._zeros(name, shape)
            lane.inputs[name] = self._buffers[name, shape]
        self._bind(lane, lane.inputs)
        lane.outputs = self._bind_outputs(lane)
        self._launch(lane)
        self._device.synchronize()
        lane.launch = self._device.record(lambda: self._launch(lane))

    def _lane_shape(self, lane: _Lane, name: str) -> Shape:
        if name in lane.profile:
            return lane.profile[name][2]
        return tuple(self._described[name]["shape"])

    # -- running ------------------------------------------------------------------------------

    def _run_once(self, lane: _Lane, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Run where shapes may be new; the inputs stay alive until everything is launched."""
        held = {name: self._whole(name, value) for name, value in inputs.items()}
        self._bind(lane, held)
        outputs = self._bind_outputs(lane)
        self._launch(lane)
        return outputs

    def _bind(self, lane: _Lane, inputs: Mapping[str, torch.Tensor]) -> None:
        """Tell a context shapes and addresses of all inputs."""
        context, graph = lane.context, self._record.graph
        for name, tensor in inputs.items():
            if name in lane.profile:
                taken = context.set_input_shape(name, tuple(tensor.shape))
                self._library.require(taken, f"{graph} refuses {name} of {tuple(tensor.shape)}")
            self._set_address(lane, name, tensor)
        if missing := context.infer_shapes():
            raise EngineError(f"the engine {graph} lacks shapes or addresses of {missing}")

    def _bind_outputs(self, lane: _Lane) -> dict[str, torch.Tensor]:
        """Make new outputs of the shapes that follow from the inputs."""
        outputs = {}
        for name in self._output_names:
            shape = tuple(lane.context.get_tensor_shape(name))
            if any(size < 1 for size in shape):
                raise EngineError(f"output {name} of {self._record.graph} has the shape {shape}")
            outputs[name] = self._zeros(name, shape)
            self._set_address(lane, name, outputs[name])
        return outputs

    def _set_address(self, lane: _Lane, name: str, tensor: torch.Tensor) -> None:
        address = tensor.data_ptr()
        if not address or address % ALIGNMENT:
            raise EngineError(
                f"the buffer of {name} is at {address:#x}, not a whole buffer's place"
            )
        taken = lane.context.set_tensor_address(name, address)
        self._library.require(taken, f"{self._record.graph} refuses the address of {name}")

    def _launch(self, lane: _Lane) -> None:
        launched = lane.context.execute_async_v3(self._device.stream)
        self._library.require(launched, f"the engine {self._record.graph} does not run")

    def _whole(self, name: str, value: Any) -> torch.Tensor:
        """Return a tensor that fills a buffer of its own, never a part of another's."""
        if isinstance(value, np.ndarray):
            value = self._device.upload(value)
        if value.is_contiguous() and value.data_ptr() % ALIGNMENT == 0 and value.data_ptr():
            found: torch.Tensor = value
            return found
        return self._device.copied(value)

    def _write(self, buffer: torch.Tensor, name: str, value: Any, count: int) -> None:
        """Copy a value to its buffer, unless it lies there."""
        if isinstance(value, np.ndarray):
            self._device.write(self._narrowed(name, buffer, count), value)
        elif value.data_ptr() != buffer.data_ptr():
            self._narrowed(name, buffer, count).copy_(value)

    def _zeros(self, name: str, shape: Shape) -> torch.Tensor:
        return self._device.zeros(shape, _TYPES[self._described[name]["type"]])

    # -- batches of regions -------------------------------------------------------------------

    def _regions(self, inputs: Mapping[str, Any]) -> int:
        """Return how many regions the inputs hold; 0 where the graph has no regions."""
        for name, value in inputs.items():
            shape = self._described[name]["shape"]
            if "regions" in shape:
                return int(value.shape[shape.index("regions")])
        return 0

    def _filled_shape(self, name: str, shape: Shape) -> Shape:
        """Return a shape with its regions filled up to the next batch that was built."""
        described = self._described[name]["shape"]
        if "regions" not in described:
            return shape
        axis = described.index("regions")
        sizes = (size for size in self._record.options.regions if size >= shape[axis])
        return (*shape[:axis], next(sizes, shape[axis]), *shape[axis + 1 :])

    def _narrowed(self, name: str, tensor: torch.Tensor, count: int) -> torch.Tensor:
        """Return the part of a tensor that holds the first ``count`` regions."""
        described = self._described[name]["shape"]
        if "regions" not in described:
            return tensor
        return tensor.narrow(described.index("regions"), 0, count)


def share_scratch(device: CudaDevice, engines: list[Engine]) -> torch.Tensor:
    """Make all engines ready with one scratch memory, which must live as long as they do."""
    size = max(1, *(engine.scratch_size for engine in engines))
    scratch = device.zeros((size,), "uint8")
    for engine in engines:
        engine.prepare(scratch)
    return scratch
