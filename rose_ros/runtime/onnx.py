"""ONNX Runtime on the CPU: the same four calls from exported graphs, without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ModelError, RuntimeUnavailableError
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding
from rose_ros.runtime.graph_runtime import Array, GraphRuntime
from rose_ros.runtime.manifest import Manifest

#: Fusions of ONNX Runtime that are slower than what they replace: their kernels go through a row
#: value by value, and rows are short here.
_SLOW_FUSIONS = ["BiasGeluFusion", "SkipLayerNormFusion"]


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
        self._sessions = _open(self._folder, self._manifest, threads or _cores())

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        feeds = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        found = self._sessions[graph].run(None, feeds)
        return dict(zip(self._manifest.graphs[graph]["outputs"], found, strict=True))

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        decode = super().decode
        parts = [
            decode(encoding, candidates.take(some), previous_mask)
            for some in self._batches(len(candidates))
        ]
        return DecodedMasks.joined(parts)

    def sharpen(
        self,
        encoding: Encoding,
        candidates: Candidates,
        masks: DecodedMasks,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        sharpen = super().sharpen
        parts = [
            sharpen(encoding, candidates.take(some), masks.take(some), previous_mask)
            for some in self._batches(len(candidates))
        ]
        return DecodedMasks.joined(parts)

    def close(self) -> None:
        self._sessions.clear()

    def _batches(self, count: int) -> list[NDArray[np.int64]]:
        """Split indices of masks into batches; none is one, empty."""
        return np.split(np.arange(count), range(self.decoded_at_once, count, self.decoded_at_once))

    def _encode(self, pixels: Array, sam_pixels: Array) -> dict[str, Any]:
        # What a run returns lies in ONNX Runtime's arena. An encoding is kept for seconds, and what
        # is kept there among what comes and goes makes the arena grow without end.
        found = super()._encode(pixels, sam_pixels)
        return {name: np.array(value) for name, value in found.items()}


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open(folder: Path, manifest: Manifest, threads: int) -> dict[str, Any]:
    """Make one session per graph; they run in turn, so none may spin while another works."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"the onnx runtime needs the package onnxruntime: {error}; pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = {}
    for name, graph in manifest.graphs.items():
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
