"""PyTorch on a GPU without waiting for Python: computations recorded once, then replayed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Tensors = tuple[Tensor, ...]
Computation = Callable[..., Tensors]
#: Shapes and types of the inputs of one computation.
_Key = tuple[str, tuple[tuple[torch.Size, torch.dtype], ...]]

#: Runs before a recording: libraries choose their kernels in the first ones.
WARM_UP = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: Tensors
    outputs: Tensors


class CudaGraphs:
    """Runs computations on one GPU; each is recorded for every set of shapes that it meets.

    Recording takes about as long as a few runs. All share one pool of memory, so what one returned
    is copied before the next runs.
    """

    def __init__(self, device: str) -> None:
        """Begin without recordings, on a device such as "cuda:0"."""
        self._device = torch.device(device)
        self._recordings: dict[_Key, _Recording | None] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, name: str, compute: Computation, *inputs: Tensor) -> Tensors:
        """Return what ``compute(*inputs)`` does; the same name must mean the same computation.

        What depends on a value that it computes cannot be recorded and is run as it is.
        """
        with torch.cuda.device(self._device):
            return self._replay(name, compute, inputs)

    def _replay(self, name: str, compute: Computation, inputs: Tensors) -> Tensors:
        key = name, tuple((one.shape, one.dtype) for one in inputs)
        if key not in self._recordings:
            self._recordings[key] = self._record(name, compute, inputs)
        recording = self._recordings[key]
        if recording is None:
            return compute(*inputs)
        for kept, given in zip(recording.inputs, inputs, strict=True):
            kept.copy_(given)
        recording.graph.replay()
        return tuple(one.clone() for one in recording.outputs)

    def _record(self, name: str, compute: Computation, inputs: Tensors) -> _Recording | None:
        kept = tuple(one.clone() for one in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                compute(*kept)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads of a node may use the GPU meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                outputs = compute(*kept)
        except RuntimeError as error:  # SAM's relative positions come from the host, for example
            _log.warning("%s cannot be recorded and runs as it is: %s", name, error)
            return None
        return _Recording(graph, kept, outputs)


def directly(name: str, compute: Computation, *inputs: Tensor) -> Tensors:
    """Run a computation as it is, recording nothing."""
    return compute(*inputs)


def halve(model: nn.Module) -> None:
    """Keep the weights of matrix products and convolutions in bfloat16, the rest as it is.

    The model must run under autocast then.
    """
    for part in model.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            part.to(torch.bfloat16)
