"""One optimiser step of a stage: run eagerly, or recorded once on a GPU and replayed."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from rose_ros.errors import TrainingError
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import ProcessorConfig
from rose_ros.training import parallel
from rose_ros.training.stages import WEIGHTS, Batch, Stage

CLIP_NORM = 1.0
#: Steps before one is recorded: libraries choose their kernels in the first ones.
WARM_UP = 3


class Stepper:
    """Takes the steps of one stage: losses, gradients, clipping, optimiser."""

    def __init__(
        self,
        stage: Stage,
        model: RoseModel,
        config: ProcessorConfig,
        optimizer: torch.optim.Optimizer,
        *,
        device: torch.device,
        bf16: bool,
    ) -> None:
        """Train ``model``, which is on ``device``; ``bf16`` runs products in half precision."""
        self._stage, self._model, self._config = stage, model, config
        self._optimizer = optimizer
        self._device, self._bf16 = device, bf16
        self._names: list[str] = []

    def __call__(self, batch: Batch, rate: float) -> dict[str, float]:
        """Take a step at learning rate ``rate``; returns the losses and their weighted sum.

        Raises ``TrainingError`` when one is not finite; the model is spoilt then.
        """
        self._set_rate(rate)
        values = self._run(batch).tolist()
        losses = dict(zip(self._names, values, strict=True))
        if not all(map(math.isfinite, values)):
            raise TrainingError(f"the loss is not finite: {losses}")
        return losses

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _run(self, batch: Batch) -> Tensor:
        return self._step({key: value.to(self._device) for key, value in batch.items()})

    def _step(self, batch: Batch) -> Tensor:
        """Take one step with a batch that is on the device; returns the losses, in one tensor."""
        kind = self._device.type
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast(kind, torch.bfloat16, enabled=self._bf16), _attention(kind):
            losses = self._stage.losses(self._model, network_inputs(batch, self._config))
        losses = {key: value.float() for key, value in losses.items()}
        total = torch.stack([WEIGHTS.get(key, 1.0) * value for key, value in losses.items()]).sum()
        total.backward()
        parallel.average_gradients(self._model)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), CLIP_NORM)
        self._optimizer.step()
        self._names = [*losses, "total"]
        return torch.stack([*losses.values(), total]).detach()


class RecordedStepper(Stepper):
    """Records the whole step as a CUDA graph, once, and replays it with each batch.

    A step of a small network is thousands of kernels of microseconds, which Python cannot launch
    as fast as a GPU runs them. All batches must have the same shapes, and no loss may depend on a
    value on the way.
    """

    _batch: Batch | None = None
    _rate: Tensor | None = None
    _graph: torch.cuda.CUDAGraph | None = None
    _values: Tensor
    _steps = 0

    def _set_rate(self, rate: float) -> None:
        if self._rate is None:
            self._rate = torch.zeros((), device=self._device)
        self._rate.fill_(rate)
        for group in self._optimizer.param_groups:
            group["lr"], group["capturable"] = self._rate, True

    def _run(self, batch: Batch) -> Tensor:
        if self._batch is None:
            self._batch = {key: value.to(self._device) for key, value in batch.items()}
        for key, value in batch.items():
            self._batch[key].copy_(value, non_blocking=True)
        self._steps += 1
        if self._steps <= WARM_UP:
            return self._aside(self._batch)
        if self._graph is None:
            torch.cuda.empty_cache()  # a recording has memory of its own
            self._graph = torch.cuda.CUDAGraph()
            # Threads that pin the memory of the next batches must not end the recording.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._values = self._step(self._batch)
        self._graph.replay()
        return self._values

    def _aside(self, batch: Batch) -> Tensor:
        """Take a step on another stream, as recording asks of what comes before it."""
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            values = self._step(batch)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        return values


def network_inputs(batch: Batch, config: ProcessorConfig) -> Batch:
    """Turn pixels and masks of a batch, which travel as bytes, into what the network takes."""
    made = {
        key: value.float() / 255 if key.endswith("_masks") else value
        for key, value in batch.items()
        if key != "image"
    }
    pixels = batch["image"].permute(0, 3, 1, 2).float() / 255
    for key, mean, std in (
        ("pixel_values", config.image_mean, config.image_std),
        ("sam_pixel_values", config.sam_mean, config.sam_std),
    ):
        channels = [(pixels[:, i] - mean[i]) / std[i] for i in range(3)]
        made[key] = torch.stack(channels, dim=1)
    return made


def _attention(kind: str) -> AbstractContextManager[None]:
    """Choose how attention is computed: on a CPU, plain products train a fifth faster."""
    if kind != "cpu":
        return nullcontext()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of the CPU too, despite its name
    return sdpa_kernel(SDPBackend.MATH)
