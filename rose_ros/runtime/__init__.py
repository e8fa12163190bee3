"""The network behind one small interface: PyTorch, ONNX Runtime or TensorRT."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rose_ros.errors import EngineError, ExportError, ModelError, RuntimeUnavailableError
from rose_ros.paths import find_model, model_folders

if TYPE_CHECKING:
    from rose_ros.runtime.base import Runtime

RUNTIMES = ("auto", "torch", "onnx", "tensorrt", "tensorrt_or_onnx")

#: Larger checkpoints are exported on request only, not because a CPU happens to be all there is.
_LARGE_BYTES = 2 << 30

_log = logging.getLogger(__name__)


def create_runtime(
    model: str | Path, *, runtime: str = "auto", device: str = "auto", threads: int = 0
) -> Runtime:
    """Open ``model`` (a folder, or the name of a shipped model) with the runtime asked for.

    ``device`` is "auto", "cpu" or a CUDA device such as "cuda:0". ``threads`` are those of the CPU,
    0 for as many as this process may use cores. "auto" takes ONNX Runtime on a
    CPU; on a GPU TensorRT where engines fit it, else PyTorch. Graphs are those beside the
    checkpoint, else those in the cache, which are exported on first use
    (``rose_ros.runtime.cache``); for shipped and for large models only when "onnx" is asked for.
    Where no graphs can be had, "auto" takes PyTorch and says why.
    Engines are never built here: "tensorrt" says which command to run when none fit, and with
    "tensorrt_or_onnx" ONNX Runtime stands in until they do.
    Raises ``ModelError``, ``EngineError``, ``ExportError`` or ``RuntimeUnavailableError``.
    """
    if runtime not in RUNTIMES:
        raise RuntimeUnavailableError(
            f"runtime {runtime!r} is not known; choose one of {', '.join(RUNTIMES)}"
        )
    checkpoint = find_model(model)
    if runtime == "tensorrt":
        return _open_tensorrt(checkpoint, device)
    if runtime == "tensorrt_or_onnx":
        return _open_tensorrt_or_onnx(checkpoint, device, threads)
    if runtime == "auto" and _prefers_tensorrt(device):
        try:
            return _open_tensorrt(checkpoint, device)
        except (EngineError, ModelError, RuntimeUnavailableError) as error:
            _log.warning("PyTorch runs the network instead of TensorRT: %s", error)
    if runtime == "onnx":
        return _open_onnx(checkpoint, device, exports=True, threads=threads)
    if runtime == "auto" and _prefers_onnx(checkpoint, device):
        try:
            return _open_onnx(
                checkpoint, device, exports=_exports_unasked(checkpoint), threads=threads
            )
        except (ExportError, ModelError, RuntimeUnavailableError) as error:
            if find_spec("torch") is None:
                raise
            _log.warning("PyTorch runs the network instead of ONNX Runtime: %s", error)
    return _open_torch(checkpoint, device, threads)


def _prefers_tensorrt(device: str) -> bool:
    """Say whether engines could run on this device of this machine."""
    asked = device == "auto" or device.startswith("cuda")
    return asked and find_spec("tensorrt") is not None and _has_gpu()


def _prefers_onnx(checkpoint: Path, device: str) -> bool:
    """Say whether graphs can be had that this machine would run on this device."""
    if device not in ("auto", "cpu") or find_spec("onnxruntime") is None:
        return False
    if device == "auto" and _has_gpu():
        return False
    from rose_ros.runtime.manifest import graphs_beside

    return graphs_beside(checkpoint) is not None or _exports_unasked(checkpoint)


def _exports_unasked(checkpoint: Path) -> bool:
    """Say whether "auto" may export: nothing shipped, whose graphs come with it, nothing large.

    Without PyTorch it is asked for anyway: nothing else could run the model.
    """
    if find_spec("torch") is None:
        return True
    shipped = any(checkpoint.parent == folder.resolve() for folder in model_folders())
    weights = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
    return not shipped and weights <= _LARGE_BYTES


def _has_gpu() -> bool:
    """Say whether PyTorch can use a GPU; it is only asked where a driver is."""
    if not any(Path("/dev").glob("nvidia*")) and not any(Path("/dev").glob("nvhost-gpu*")):
        return False
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def _open_onnx(checkpoint: Path, device: str, *, exports: bool, threads: int) -> Runtime:
    """Open the graphs beside a checkpoint, else, if it ``exports``, those in the cache."""
    from rose_ros.runtime.cache import ensure_graphs, missing_packages
    from rose_ros.runtime.manifest import graphs_beside
    from rose_ros.runtime.onnx import OnnxRuntime

    # A device that ONNX Runtime does not run on is refused by it, before anything is exported.
    if graphs_beside(checkpoint) or not exports or device not in ("auto", "cpu"):
        try:
            return OnnxRuntime(checkpoint, device=device, threads=threads)
        except ModelError as error:
            if not exports or missing_packages():
                raise
            _log.warning("the graphs beside the checkpoint are refused: %s", error)
    graphs = ensure_graphs(checkpoint)
    return OnnxRuntime(checkpoint, device=device, graphs=graphs, threads=threads)


def _open_tensorrt(checkpoint: Path, device: str) -> Runtime:
    from rose_ros.runtime.tensorrt import TensorRtRuntime

    return TensorRtRuntime(checkpoint, device=device)


def _open_tensorrt_or_onnx(checkpoint: Path, device: str, threads: int) -> Runtime:
    """Open engines; where they cannot run, ONNX Runtime on the CPU."""
    try:
        return _open_tensorrt(checkpoint, device)
    except (EngineError, ModelError, RuntimeUnavailableError) as error:
        _log.warning("ONNX Runtime runs the network meanwhile: %s", error)
    return _open_onnx(checkpoint, "cpu", exports=True, threads=threads)


def _open_torch(checkpoint: Path, device: str, threads: int) -> Runtime:
    if find_spec("torch") is None:
        raise RuntimeUnavailableError(
            "the torch runtime needs PyTorch, which is not installed; pip install -r "
            "requirements/train.txt, or use runtime onnx"
        )
    from rose_ros.runtime.torch import TorchRuntime

    return TorchRuntime(checkpoint, device=device, threads=threads)
