"""Train a RoseModel stage by stage. Resumes by itself after a kill."""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from transformers import PreTrainedConfig

from rose_ros.errors import TrainingError
from rose_ros.model.configuration import RoseConfig, rose_tiny
from rose_ros.model.loading import load_model
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import RoseProcessor
from rose_ros.training import checkpoints, parallel
from rose_ros.training.options import Options, from_arguments
from rose_ros.training.preparation import make_processor
from rose_ros.training.reporting import Bar, Curve
from rose_ros.training.samples import Samples, to_tensors
from rose_ros.training.scenes import SceneCache, render_ahead
from rose_ros.training.stages import STAGES, Stage, parameter_groups, start_from_points
from rose_ros.training.stepping import RecordedStepper, Stepper

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
        grid = model.config.super_patches_per_side
        processor = RoseProcessor(replace(processor.config, grid=grid), processor.tokenizer)
    if state is not None:
        done = checkpoints.read_progress(state)
    if torch.device(options.device).index is not None:
        torch.cuda.set_device(options.device)  # where steps are recorded
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
    device = torch.device(options.device)
    is_recorded = device.type == "cuda" and parallel.processes() == 1
    loader = DataLoader(
        Subset(samples, range(first, len(samples), parallel.processes())),
        options.batch // parallel.processes(),
        num_workers=options.workers or 0,
        collate_fn=partial(to_tensors, cut=not is_recorded),
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if options.workers else None,
        worker_init_fn=_start_worker,
    )
    stepper = (RecordedStepper if is_recorded else Stepper)(
        stage,
        model,
        processor.config,
        optimizer,
        device=device,
        bf16=_use_bf16(options, device.type),
    )
    model.train()
    saved = time.monotonic()
    with Bar(stage.name, steps, step) as bar, Curve(options.out / "curve.csv") as curve:
        for batch in loader:
            torch.manual_seed(1_000_003 * options.seed + 1009 * step + parallel.rank())
            losses = stepper(batch, options.rate * stage.learning_rate * schedule(step, steps))
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


def _start_worker(_: int) -> None:
    """Let each worker have one core."""
    cv2.setNumThreads(1)


def schedule(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: linear warm-up, then a cosine."""
    warm_up = max(1, min(WARM_UP, steps // 8))
    if step < warm_up:
        return (step + 1) / warm_up
    progress = min(1.0, (step - warm_up) / max(1, steps - warm_up))
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
    workers = options.workers
    if workers is None:
        workers = 1 if device == "cpu" else max(1, (os.cpu_count() or 1) - 1)
    _configuration(options.config)
    return replace(options, device=device, processes=processes, workers=workers)


def _use_bf16(options: Options, kind: str) -> bool:
    """bf16 is about twice as fast on GPUs and on CPUs with native bf16 products."""
    if options.precision != "auto":
        return options.precision == "bf16"
    return kind == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
