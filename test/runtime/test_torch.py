"""PyTorch on a GPU: recorded, in half precision, and still the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rose_ros.data.tabletop import render
from rose_ros.perception.masks import instance_image
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime.cuda_graphs import CudaGraphs, directly, halve
from rose_ros.runtime.torch import TorchRuntime

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA GPU")
TINY = Path(__file__).parents[2] / "models" / "rose-tiny"


def test_only_products_and_convolutions_are_halved() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Linear(2, 2))
    halve(model)
    kinds = [part.weight.dtype for part in model]
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_without_recordings_a_computation_runs_as_it_is() -> None:
    seen: list[Tensor] = []

    def double(value: Tensor) -> tuple[Tensor]:
        seen.append(value)
        return (2 * value,)

    value = torch.ones(3)
    assert directly("double", double, value)[0].tolist() == [2.0, 2.0, 2.0]
    assert seen[0] is value


@needs_gpu
def test_recordings_belong_to_shapes() -> None:
    graphs = CudaGraphs("cuda:0")
    calls = []

    def double(value: Tensor) -> tuple[Tensor]:
        calls.append(value.shape)
        return (2 * value,)

    for count in (2, 2, 3):
        for fill in (1.0, 5.0):
            found = graphs("double", double, torch.full((count,), fill, device="cuda"))[0]
            assert found.tolist() == [2 * fill] * count
    recorded = len(calls)
    graphs("double", double, torch.ones(2, device="cuda"))
    assert len(calls) == recorded


@needs_gpu
def test_what_cannot_be_recorded_runs_all_the_same() -> None:
    graphs = CudaGraphs("cuda:0")

    def first(values: Tensor) -> tuple[Tensor]:
        return (values[: int(values[0])],)

    for count in (1, 3):
        values = torch.full((4,), float(count), device="cuda")
        assert len(graphs("first", first, values)[0]) == count


@needs_gpu
def test_a_gpu_sees_what_the_cpu_sees() -> None:
    image = render(3, "test", height=240, width=320).image
    frames = [
        Perceiver(TorchRuntime(TINY, device=device)).segment(image) for device in ("cpu", "cuda")
    ]
    names = [sorted(segment.label.text for segment in frame.segments) for frame in frames]
    assert names[0] == names[1]
    drawn = [instance_image(frame.segments, 240, 320) > 0 for frame in frames]
    assert np.mean(drawn[0] == drawn[1]) > 0.99
