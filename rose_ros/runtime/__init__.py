"""The network behind one small interface: PyTorch, or ONNX Runtime without PyTorch."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rose_ros.errors import ModelError, RuntimeUnavailableError

if TYPE_CHECKING:
    from rose_ros.runtime.base import Runtime

RUNTIMES = ("auto", "torch", "onnx")

_log = logging.getLogger(__name__)


def create_runtime(model: str | Path, *, runtime: str = "auto", device: str = "auto") -> Runtime:
    """Open ``model`` (a folder, or the name of a shipped model) with the runtime asked for.

    ``device`` is "auto", "cpu" or a CUDA device such as "cuda:0". "auto" takes exported graphs
    where they lie beside the checkpoint, belong to it and run on the device; PyTorch elsewhere.
    Raises ``ModelError`` or ``RuntimeUnavailableError``.
    """
    if runtime not in RUNTIMES:
        raise RuntimeUnavailableError(
            f"runtime {runtime!r} is not known; choose one of {', '.join(RUNTIMES)}"
        )
    if runtime == "onnx":
        return _open_onnx(model, device)
    if runtime == "auto" and _prefers_onnx(model, device):
        if find_spec("torch") is None:
            return _open_onnx(model, device)
        try:
            return _open_onnx(model, device)
        except ModelError as error:
            _log.warning("PyTorch runs the network instead of ONNX Runtime: %s", error)
    return _open_torch(model, device)


def _prefers_onnx(model: str | Path, device: str) -> bool:
    """Say whether graphs are there that this machine would run on this device."""
    from rose_ros.paths import find_model
    from rose_ros.runtime.manifest import FILE, FOLDER

    if device not in ("auto", "cpu") or find_spec("onnxruntime") is None:
        return False
    if device == "auto" and _has_gpu():
        return False
    return (find_model(model) / FOLDER / FILE).is_file()


def _has_gpu() -> bool:
    """Say whether PyTorch can use a GPU; it is only asked where a driver is."""
    if not any(Path("/dev").glob("nvidia*")) and not any(Path("/dev").glob("nvhost-gpu*")):
        return False
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def _open_onnx(model: str | Path, device: str) -> Runtime:
    from rose_ros.runtime.onnx import OnnxRuntime

    return OnnxRuntime(model, device=device)


def _open_torch(model: str | Path, device: str) -> Runtime:
    if find_spec("torch") is None:
        raise RuntimeUnavailableError(
            "the torch runtime needs PyTorch, which is not installed; install "
            "requirements/core.txt, or export the model's graphs and use runtime onnx"
        )
    from rose_ros.runtime.torch import TorchRuntime

    return TorchRuntime(model, device=device)
