"""The GPU as engines need it: one stream, whole aligned buffers, recorded launches."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import RuntimeUnavailableError
from rose_ros.runtime.engine_files import Machine

if TYPE_CHECKING:
    import torch

#: TensorRT reads and writes at addresses that are multiples of this, in bytes.
ALIGNMENT = 256


class CudaDevice:
    """PyTorch's memory and stream of one GPU.

    Everything runs on the device's own stream, because TensorRT is slower on the default one and
    cannot be recorded there. ``use`` must be active around all calls but ``close``.
    """

    def __init__(self, device: str = "auto") -> None:
        """Open "auto", "cuda" or "cuda:N"; raises ``RuntimeUnavailableError`` with the reason."""
        try:
            import torch
        except ImportError as error:
            raise RuntimeUnavailableError(
                "the tensorrt runtime keeps its buffers in PyTorch, which is not installed; "
                "install requirements/train.txt"
            ) from error
        if device != "auto" and not device.startswith("cuda"):
            raise RuntimeUnavailableError(
                f"device {device!r} was asked for, but the tensorrt runtime runs on a GPU; use "
                "device auto or cuda:N, or runtime onnx"
            )
        if not torch.cuda.is_available():
            raise RuntimeUnavailableError(
                "the tensorrt runtime needs an NVIDIA GPU that PyTorch can use; "
                f"PyTorch {torch.__version__} finds none"
            )
        self._torch = torch
        index = torch.device("cuda" if device == "auto" else device).index or 0
        if index >= torch.cuda.device_count():
            raise RuntimeUnavailableError(
                f"device {device!r} was asked for; this machine has "
                f"{torch.cuda.device_count()} GPU, counted from cuda:0"
            )
        self.name = f"cuda:{index}"
        self._device = torch.device(self.name)
        self._stream = torch.cuda.Stream(self._device)

    @property
    def stream(self) -> int:
        """Return the handle of the stream."""
        return int(self._stream.cuda_stream)

    @contextmanager
    def use(self) -> Iterator[None]:
        """Make device and stream those of this thread."""
        torch = self._torch
        device, stream = torch.cuda.device(self._device), torch.cuda.stream(self._stream)
        with torch.inference_mode(), device, stream:
            yield

    def zeros(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        """Make a buffer of its own; ``dtype`` is named as in numpy, or "bfloat16"."""
        return self._torch.zeros(shape, dtype=getattr(self._torch, dtype), device=self._device)

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        """Copy an array into a buffer of its own."""
        return self._torch.from_numpy(np.array(array, copy=True)).to(self._device)

    def copied(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy a tensor, such as a part of another, into a buffer of its own."""
        return tensor.contiguous().clone()

    def write(self, target: torch.Tensor, array: NDArray[Any]) -> None:
        """Copy an array into a buffer or a part of it."""
        target.copy_(self._torch.from_numpy(np.ascontiguousarray(array)))

    def download(self, tensor: torch.Tensor) -> NDArray[Any]:
        """Copy to the host, when everything before has run."""
        found: NDArray[Any] = tensor.cpu().numpy()
        return found

    def synchronize(self) -> None:
        """Wait until everything has run."""
        self._stream.synchronize()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` launches, and return what launches it again.

        Only this thread must be silent meanwhile: others of the node may use the GPU.
        """
        torch = self._torch
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            work()
        return graph.replay

    def free_memory(self) -> int:
        """Return how many bytes of the GPU's memory nobody uses."""
        self._torch.cuda.empty_cache()
        return int(self._torch.cuda.mem_get_info(self._device)[0])

    def describe(self, tensorrt: str) -> Machine:
        """Return what engines of this GPU and this TensorRT are bound to."""
        torch = self._torch
        found = torch.cuda.get_device_properties(self._device)
        return Machine(
            tensorrt=tensorrt,
            cuda=str(torch.version.cuda),
            driver=_driver(),
            gpu=found.name,
            capability=f"{found.major}.{found.minor}",
            multiprocessors=found.multi_processor_count,
            platform=f"{platform.system()} {platform.machine()}",
            board=_first_line("/proc/device-tree/model"),
        )


def _driver() -> str:
    """Name the driver: its release, or on a Jetson the release of L4T it belongs to."""
    for path in ("/sys/module/nvidia/version", "/etc/nv_tegra_release"):
        if found := _first_line(path):
            return found
    return "unknown"


def _first_line(path: str) -> str:
    """Read the first line of a file of the system; empty when there is none."""
    try:
        text = Path(path).read_bytes()
    except OSError:
        return ""
    return text.split(b"\n")[0].rstrip(b"\0").decode(errors="replace").strip()
