"""How fast PyTorch runs the network on an NVIDIA GPU, beside what the hardware allows.

    python -m benchmarks.gpu --out gpu.json
    python -m benchmarks.gpu --out gpu.json --models rose-7b

Every step is timed as it is launched from Python and as a recorded CUDA graph, in bfloat16, and
beside its floor: its operations at the rate of a large matrix product, or its weights and tensors
at the rate of a large copy, whichever takes longer. ``rose-7b`` has random weights: they take as
long as trained ones. ``rose-tiny`` is also run as the node runs it, and compared with PyTorch on
the CPU in float32. Nothing of ROS is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.images import scenes
from benchmarks.measures import median
from benchmarks.runtimes import compare
from rose_ros.model.configuration import RoseConfig, rose_7b, rose_tiny
from rose_ros.model.encoding import ImageEncoding
from rose_ros.model.modeling import RoseModel
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime import create_runtime
from rose_ros.runtime.cuda_graphs import CudaGraphs, Tensors, halve

CONFIGURATIONS: dict[str, Callable[[], RoseConfig]] = {"rose-tiny": rose_tiny, "rose-7b": rose_7b}
#: Masks decoded and regions named at once; tokens of an instruction, of a question, of an answer.
MASKS, REGIONS, TEXT, QUESTION, ANSWER = 64, 32, 16, 10, 12
ROUNDS = 20

Step = Callable[..., Tensors]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table and write JSON; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True, help="the numbers, as JSON")
    parser.add_argument("--models", nargs="+", choices=list(CONFIGURATIONS), default=["rose-tiny"])
    parser.add_argument("--frames", type=int, default=12, help="of rose-tiny as the node runs it")
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("benchmarks.gpu: PyTorch finds no CUDA GPU", file=sys.stderr)
        return 1
    found: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    found["ceilings"] = ceilings()
    for name in args.models:
        found[name] = measure(CONFIGURATIONS[name](), found["ceilings"])
        torch.cuda.empty_cache()
    if "rose-tiny" in args.models:
        found["frames"] = whole_frames(args.frames)
    args.out.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found))
    return 0


def ceilings() -> dict[str, float]:
    """Measure what the GPU can do: operations a second in bfloat16, bytes a second."""
    side, size = 8192, 1 << 30
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source = torch.randn(size // 4, device="cuda")
    target = torch.empty_like(source)
    return {
        "flops": 2 * side**3 / (1e-3 * _time(lambda: torch.mm(a, b))),
        "bytes": 2 * size / (1e-3 * _time(lambda: target.copy_(source))),
    }


@torch.inference_mode()
def measure(config: RoseConfig, limits: dict[str, float]) -> dict[str, dict[str, float]]:
    """Time every step of a model with random weights: milliseconds by step and way."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = RoseModel(config).eval()
    torch.set_default_dtype(torch.float32)
    halve(model)
    nn.Module.to(model, "cuda")
    found = {}
    for name, (step, parts, passes, inputs) in _steps(model).items():
        weights = sum(p.numel() * p.element_size() for part in parts for p in part.parameters())
        found[name] = _measure_step(name, step, inputs, passes * weights, limits)
        print(name, found[name], flush=True)
    return found


def _steps(model: RoseModel) -> dict[str, tuple[Step, list[nn.Module], int, Tensors]]:
    """Return each step, the modules whose weights it reads, how often, and its inputs."""
    config = model.config
    llm = config.vlm_config.text_config
    size = config.vlm_config.vision_config.image_size
    sam_size = config.sam_config.vision_config.image_size
    pixels = torch.randn(1, 3, size, size, device="cuda")
    sam_pixels = torch.randn(1, 3, sam_size, sam_size, device="cuda")
    ids = torch.randint(5, llm.vocab_size - 100, (1, TEXT), device="cuda")
    question = ids[0, :QUESTION].clone()
    question[3] = config.region_token_id
    with torch.autocast("cuda", torch.bfloat16):
        encoding = model.encode(pixels, sam_pixels)
    features = encoding.tensors
    width = config.sam_config.prompt_encoder_config.hidden_size
    prompts = torch.randn(1, MASKS, width, device="cuda")
    centres = torch.rand(1, MASKS, 2, device="cuda")
    regions = torch.randn(REGIONS, llm.hidden_size, device="cuda")
    language: nn.Module = model.vlm.model.language_model
    present = torch.ones_like(ids, dtype=torch.bool)

    def perceive(ids: Tensor, present: Tensor, *features: Tensor) -> Tensors:
        seen = model.perceive(ImageEncoding.of(features), ids, present)
        return seen.objectness, seen.mask_embeddings, seen.category_embeddings

    vision = [model.vlm.model.vision_tower, model.vlm.model.multi_modal_projector]
    return {
        "encode the image, whole": (
            lambda *both: model.encode(*both).tensors,
            [*vision, language, model.sam.vision_encoder],
            1,
            (pixels, sam_pixels),
        ),
        "SAM's encoder": (
            lambda pixels: (model.encode_sam(pixels),),
            [model.sam.vision_encoder],
            1,
            (sam_pixels,),
        ),
        "perception pass": (perceive, [language], 1, (ids, present, *features)),
        f"decode {MASKS} masks": (
            model.decode_masks,
            [model.sam.mask_decoder],
            1,
            (encoding.embedding, prompts, centres),
        ),
        f"name {REGIONS} regions, {ANSWER} words": (
            lambda regions, question: model.name(regions, question, ANSWER, stop_early=False),
            [language, model.vlm.lm_head],
            ANSWER,
            (regions, question),
        ),
    }


def _measure_step(
    name: str, step: Step, inputs: Tensors, weights: int, limits: dict[str, float]
) -> dict[str, float]:
    graphs = CudaGraphs("cuda:0")
    with torch.autocast("cuda", torch.bfloat16):
        with FlopCounterMode(display=False) as counter:
            outputs = step(*inputs)
        moved = weights + sum(one.numel() * one.element_size() for one in (*inputs, *outputs))
        arithmetic = counter.get_total_flops() / limits["flops"]
        floor = max(arithmetic, moved / limits["bytes"])
        return {
            "eager_ms": _time(lambda: step(*inputs)),
            "recorded_ms": _time(lambda: graphs(name, step, *inputs)),
            "floor_ms": 1e3 * floor,
            "gflop": counter.get_total_flops() / 1e9,
            "megabytes": moved / 1e6,
        }


def whole_frames(count: int) -> dict[str, float]:
    """Segment frames as the node does, and compare with PyTorch on the CPU."""
    images = scenes(count, lambda done: None)
    slow, fast = (
        Perceiver(create_runtime("rose-tiny", runtime="torch", device=device))
        for device in ("cpu", "cuda")
    )
    for image in images:  # every shape that will be met is recorded
        fast.segment(image)
    times: list[float] = []
    ious: list[float] = []
    same = paired = 0
    for image in images:
        times.append(median([_wall(lambda: fast.segment(image)) for _ in range(5)]))  # noqa: B023
        agreement = compare(slow.segment(image), fast.segment(image))
        ious += agreement.ious
        same, paired = same + agreement.names, paired + agreement.paired
    return {
        "frame_ms": median(times),
        "mean_iou_with_cpu": float(np.mean(ious)),
        "same_names": same / max(1, paired),
        "segments": len(ious),
    }


def _wall(run: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def _time(run: Callable[[], object]) -> float:
    """Return the median of some rounds, in milliseconds of the GPU's clock."""
    for _ in range(3):
        run()
    return median([_wall(run) for _ in range(ROUNDS)])


def table(found: dict[str, Any]) -> str:
    """Write the times as Markdown."""
    lines = ["| | eager, ms | recorded, ms | floor, ms |", "|---|---|---|---|"]
    for model in CONFIGURATIONS:
        for step, row in found.get(model, {}).items():
            cells = (f"{row[key]:.2f}" for key in ("eager_ms", "recorded_ms", "floor_ms"))
            lines.append(f"| {model}: {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
