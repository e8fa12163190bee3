"""ONNX Runtime on the CPU: the same calls from exported graphs, without PyTorch."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ModelError, RuntimeUnavailableError
from rose_ros.runtime.base import Encoding, P, T
from rose_ros.runtime.graph_runtime import Array, GraphRuntime
from rose_ros.runtime.manifest import Manifest

#: Fusions of ONNX Runtime that are slower than what they replace: their kernels go through a row
#: value by value, and rows are short here.
_SLOW_FUSIONS = ["BiasGeluFusion", "SkipLayerNormFusion"]
#: Graphs whose operators share all threads. The others run side by side, on one thread each: two
#: such runs take little longer than one, while one on two threads that may not spin is hardly
#: faster, since it waits for a thread to wake at every operator.
_SHARED = ("encode", "perceive")


class OnnxRuntime(GraphRuntime):
    """Runs the graphs that ``rose_ros export`` wrote, on the CPU."""

    kind = "onnx"
    device = "cpu"
    #: Masks decoded or sharpened in one batch. More are no faster on a CPU, and the memory they
    #: need is never given back: 48 at once take 50 MB more than this.
    decoded_at_once = 8

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        graphs: Path | None = None,
        threads: int = 0,
    ) -> None:
        """Open a checkpoint folder and its graphs, by default those in its folder ``onnx``.

        ``threads`` 0 takes as many as this process may use cores. Raises ``ModelError`` when the
        graphs are not there, damaged or of another checkpoint.
        """
        if device not in ("auto", "cpu"):
            raise RuntimeUnavailableError(
                f"device {device!r} was asked for, but the onnx runtime runs on the CPU; use "
                "device cpu or runtime torch"
            )
        super().__init__(model, graphs)
        self._threads = threads or _cores()
        self._sessions = _open(self._folder, self._manifest, self._threads)

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        feeds = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        found = self._sessions[graph].run(None, feeds)
        return dict(zip(self._manifest.graphs[graph]["outputs"], found, strict=True))

    def close(self) -> None:
        self._sessions.clear()
        _trim()

    def _each(self, run: Callable[[P], T], parts: Sequence[P]) -> list[T]:
        if len(parts) == 1 or self._threads == 1:
            return super()._each(run, parts)
        return list(_pool().map(run, parts))

    def _region_tokens(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> dict[str, Array]:
        tokens = super()._region_tokens
        parts = self._each(
            lambda some: tokens(encoding, logits[some], category_embeddings[some]),
            self._batches(len(logits)),
        )
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _batches(self, count: int) -> list[NDArray[np.int64]]:
        # Evenly, so that all threads have as much to do.
        rounds = -(-count // (self.decoded_at_once * self._threads))
        return np.array_split(np.arange(count), max(1, min(count, rounds * self._threads)))

    def _encode(self, pixels: Array, sam_pixels: Array) -> dict[str, Any]:
        # What a run returns lies in ONNX Runtime's arena. An encoding is kept for seconds, and what
        # is kept there among what comes and goes makes the arena grow without end.
        found = super()._encode(pixels, sam_pixels)
        return {name: np.array(value) for name, value in found.items()}


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads of all runtimes of this process.

    A runtime that began its own would leave what their allocator kept behind: 0.1 MB each time.
    """
    return ThreadPoolExecutor(_cores(), thread_name_prefix="rose_ros-onnx")


def _trim() -> None:
    """Give back what the C library keeps of freed memory, where it is one that can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open(folder: Path, manifest: Manifest, threads: int) -> dict[str, Any]:
    """Make one session per graph; no thread of one may spin while another works."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"the onnx runtime needs the package onnxruntime: {error}; pip install onnxruntime"
        ) from error
    sessions = {}
    for name, graph in manifest.graphs.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads if name in _SHARED else 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = folder / graph["file"]
        try:
            sessions[name] = onnxruntime.InferenceSession(
                os.fspath(path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_SLOW_FUSIONS,
            )
        except Exception as error:  # onnxruntime raises its own kinds, which share no base
            raise ModelError(f"ONNX Runtime cannot load {path}: {error}") from error
    return sessions
