"""The network behind one small interface: PyTorch now, ONNX Runtime and TensorRT beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_ros.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from rose_ros.runtime.base import Runtime

RUNTIMES = ("auto", "torch")


def create_runtime(model: str | Path, *, runtime: str = "auto", device: str = "auto") -> Runtime:
    """Open ``model`` (a folder, or the name of a shipped model) with the runtime asked for.

    ``device`` is "auto", "cpu" or a CUDA device such as "cuda:0". Raises ``ModelError`` or
    ``RuntimeUnavailableError``.
    """
    if runtime not in RUNTIMES:
        raise RuntimeUnavailableError(
            f"runtime {runtime!r} is not known; choose one of {', '.join(RUNTIMES)}"
        )
    from rose_ros.runtime.torch import TorchRuntime

    return TorchRuntime(model, device=device)
