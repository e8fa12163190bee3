"""Train a RoseModel stage by stage. Resumes by itself after a kill."""

from __future__ import annotations

import argparse
import math
import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Subset
from transformers import PreTrainedConfig

from rose_ros.errors import TrainingError
from rose_ros.model.configuration import RoseConfig, rose_tiny
from rose_ros.model.loading import load_model
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import RoseProcessor, normalise
from rose_ros.training import checkpoints, parallel
from rose_ros.training.options import Options, from_arguments
from rose_ros.training.preparation import make_processor
from rose_ros.training.reporting import Bar, Curve
from rose_ros.training.samples import Samples, to_tensors
from rose_ros.training.scenes import SceneCache, render_ahead
from rose_ros.training.stages import STAGES, WEIGHTS, Stage, parameter_groups, start_from_points

Batch = dict[str, torch.Tensor]

CLIP_NORM = 1.0
WEIGHT_DECAY = 0.05
WARM_UP = 150
FLOOR = 0.05  # of the learning rate, at the end of its cosine


def run(args: argparse.Namespace) -> int:
    """Train as the command line says; returns the exit code."""
    train(from_arguments(args))
    return 0


def train(options: Options) -> None:
    """Render what is missing and run the stages that are left; a finished run only exports."""
    options = _resolve(options)
    size = rose_tiny().vlm_config.vision_config.image_size
    renderers = os.cpu_count() or 1
    render_ahead(options.out / "scenes", options.scenes, size, options.seed, renderers)
    parallel.spawn(partial(_train, options), options.processes)


def _train(options: Options) -> None:
    """Run the stages in this process, beside the others that share each step."""
    cache = SceneCache(options.out / "scenes")
    state = checkpoints.find(options.out)
    parallel.barrier()
    torch.manual_seed(options.seed)
    done: dict[str, Any] = {"stage": options.stages[0], "step": 0}
    given = state or options.start
    if given is None:
        config = _configuration(options.config)
        model = RoseModel(config)
        processor = make_processor(config, cache, options.seed)
    else:
        model = load_model(given)
        if options.config:
            model = load_model(given, config=_configuration(options.config, model.config))
        processor = RoseProcessor.from_pretrained(given)
    if state is not None:
        done = checkpoints.read_progress(state)
    nn.Module.to(model, options.device)
    if done["stage"] not in options.stages:
        raise TrainingError(
            f"{options.out} stands in stage {done['stage']!r}, which is not among "
            f"{', '.join(options.stages)}; name it in --stages or choose another --out"
        )
    for name in options.stages[options.stages.index(done["stage"]) :]:
        if name == "shapes" and not model.config.focal:
            continue
        here = state if name == done["stage"] else None
        step = int(done["step"]) if here else 0
        _run_stage(STAGES[name], model, processor, cache, options, step, here)
    if options.export is not None and parallel.rank() == 0:
        checkpoints.export(model.eval(), processor, options.export)


def _configuration(changes: dict[str, Any], base: PreTrainedConfig | None = None) -> RoseConfig:
    """Return a configuration, rose-tiny's if none is given, with what an ablation changes."""
    try:
        return RoseConfig.from_dict((base or rose_tiny()).to_dict() | changes)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"no such model: {error}") from error


def _run_stage(
    stage: Stage,
    model: RoseModel,
    processor: RoseProcessor,
    cache: SceneCache,
    options: Options,
    step: int,
    state: Path | None,
) -> None:
    """Run one stage from ``step`` to its end, saving now and then and when it is finished."""
    steps = options.steps[stage.name]
    optimizer = torch.optim.AdamW(
        parameter_groups(model, WEIGHT_DECAY), lr=stage.learning_rate, betas=(0.9, 0.98), fused=True
    )
    if state is not None and step > 0:
        checkpoints.load_optimizer(state, optimizer)
    samples = Samples(
        cache,
        processor,
        stage.name,
        steps * options.batch,
        options.seed,
        model.config.decoded_size,
    )
    first = step * options.batch + parallel.rank()
    loader = DataLoader(
        Subset(samples, range(first, len(samples), parallel.processes())),
        options.batch // parallel.processes(),
        num_workers=options.workers,
        collate_fn=to_tensors,
        prefetch_factor=4 if options.workers else None,
    )
    model.train()
    saved = time.monotonic()
    with Bar(stage.name, steps, step) as bar, Curve(options.out / "curve.csv") as curve:
        for batch in loader:
            torch.manual_seed(1_000_003 * options.seed + 1009 * step + parallel.rank())
            for group in optimizer.param_groups:
                group["lr"] = options.rate * stage.learning_rate * schedule(step, steps)
            losses = _step(stage, model, processor, optimizer, batch, options)
            step += 1
            if step == steps and stage.name == "points":
                start_from_points(model)
            if parallel.rank():
                continue
            curve.add(stage.name, step, losses)
            bar.advance(step, losses)
            if time.monotonic() - saved > options.save_every or step == steps:
                progress = {"stage": stage.name, "step": step}
                checkpoints.save(options.out, model, processor, optimizer, progress)
                saved = time.monotonic()


def _step(
    stage: Stage,
    model: RoseModel,
    processor: RoseProcessor,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    options: Options,
) -> dict[str, float]:
    """Take one optimiser step; returns the losses."""
    images = batch.pop("image").numpy()
    config = processor.config
    batch["pixel_values"] = torch.from_numpy(normalise(images, config.image_mean, config.image_std))
    batch["sam_pixel_values"] = torch.from_numpy(normalise(images, config.sam_mean, config.sam_std))
    batch = {key: value.to(options.device, non_blocking=True) for key, value in batch.items()}
    kind = torch.device(options.device).type
    bf16 = torch.autocast(kind, torch.bfloat16, enabled=_use_bf16(options, kind))
    with bf16, _attention(kind):
        losses = stage.losses(model, batch)
    total = torch.stack([WEIGHTS.get(key, 1.0) * one.float() for key, one in losses.items()]).sum()
    if not bool(total.isfinite()):
        raise TrainingError(f"the loss is not finite: { {k: float(v) for k, v in losses.items()} }")
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    parallel.average_gradients(model)
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    return {key: float(value.detach()) for key, value in losses.items()} | {
        "total": float(total.detach())
    }


def _attention(kind: str) -> AbstractContextManager[None]:
    """Choose how attention is computed: on a CPU, plain products train a fifth faster."""
    if kind != "cpu":
        return nullcontext()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of the CPU too, despite its name
    return sdpa_kernel(SDPBackend.MATH)


def schedule(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: linear warm-up, then a cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    progress = min(1.0, (step - WARM_UP) / max(1, steps - WARM_UP))
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))


def _resolve(options: Options) -> Options:
    """Choose device and number of processes, and refuse what cannot work before anything runs."""
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"device {device} was asked for, but PyTorch finds no GPU; use cpu")
    processes = options.processes or (1 if device != "cpu" else os.cpu_count() or 1)
    if options.batch % processes:
        raise TrainingError(
            f"a batch of {options.batch} images cannot be shared by {processes} processes"
        )
    _configuration(options.config)
    return replace(options, device=device, processes=processes)


def _use_bf16(options: Options, kind: str) -> bool:
    """bf16 is about twice as fast on GPUs and on CPUs with native bf16 products."""
    if options.precision != "auto":
        return options.precision == "bf16"
    return kind == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
