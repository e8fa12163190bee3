"""Train a RoseModel in stages: points, perceive, converse. Resumes by itself after a kill."""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import DataLoader, Subset

from rose_ros.data.corrections import correct
from rose_ros.data.descriptions import describe
from rose_ros.errors import TrainingError
from rose_ros.model.configuration import RoseConfig, rose_tiny
from rose_ros.model.loading import load_model
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import ProcessorConfig, RoseProcessor, normalise
from rose_ros.model.prompts import EVERYTHING, find_prompt, refine_prompt
from rose_ros.model.tokenizer import train_tokenizer
from rose_ros.training import checkpoints, parallel
from rose_ros.training.samples import Samples, to_tensors
from rose_ros.training.scenes import SceneCache, render_ahead
from rose_ros.training.stages import STAGES, Stage, parameter_groups, start_from_points

Batch = dict[str, torch.Tensor]

CLIP_NORM = 1.0
WEIGHT_DECAY = 0.05
WARM_UP = 150
FLOOR = 0.05  # of the learning rate, at the end of its cosine


@dataclass(frozen=True, slots=True)
class Options:
    """What a training run is made of; steps of 0 take the stage's own."""

    out: Path
    scenes: int
    stages: tuple[str, ...]
    steps: dict[str, int]
    batch: int
    seed: int
    workers: int
    processes: int
    device: str
    precision: str
    save_every: float
    export: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rose_ros train``."""
    parser.add_argument("--out", type=Path, default=Path("runs/rose-tiny"), help="state and curves")
    parser.add_argument("--scenes", type=int, default=12000, help="scenes rendered ahead")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    for stage in STAGES.values():
        parser.add_argument(f"--{stage.name}-steps", type=int, default=stage.steps)
    parser.add_argument("--batch", type=int, default=8, help="images per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    parser.add_argument("--processes", type=int, default=0, help="0: one per core, one on a GPU")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--save-every", type=float, default=240.0, help="seconds")
    parser.add_argument("--export", type=Path, help="write the finished checkpoint here")


def run(args: argparse.Namespace) -> int:
    """Train as the command line says; returns the exit code."""
    device = _device(args.device)
    options = Options(
        out=args.out,
        scenes=args.scenes,
        stages=tuple(args.stages),
        steps={name: getattr(args, f"{name}_steps") for name in STAGES},
        batch=args.batch,
        seed=args.seed,
        workers=args.workers,
        processes=args.processes or (1 if device != "cpu" else os.cpu_count() or 1),
        device=device,
        precision=args.precision,
        save_every=args.save_every,
        export=args.export,
    )
    train(options)
    return 0


def train(options: Options) -> None:
    """Render what is missing and run the stages that are left; a finished run only exports."""
    size = rose_tiny().vlm_config.vision_config.image_size
    renderers = os.cpu_count() or 1
    render_ahead(options.out / "scenes", options.scenes, size, options.seed, renderers)
    if options.batch % options.processes:
        raise TrainingError(
            f"a batch of {options.batch} images cannot be shared by {options.processes} processes"
        )
    parallel.spawn(partial(_train, options), options.processes)


def _train(options: Options) -> None:
    """Run the stages in this process, beside the others that share each step."""
    cache = SceneCache(options.out / "scenes")
    state = checkpoints.find(options.out)
    parallel.barrier()
    torch.manual_seed(options.seed)
    if state is None:
        config = rose_tiny()
        model = RoseModel(config)
        processor = make_processor(config, cache, options.seed)
        done: dict[str, Any] = {"stage": options.stages[0], "step": 0}
    else:
        model = load_model(state)
        processor = RoseProcessor.from_pretrained(state)
        done = checkpoints.read_progress(state)
    nn.Module.to(model, options.device)
    if done["stage"] not in options.stages:
        raise TrainingError(
            f"{options.out} stands in stage {done['stage']!r}, which is not among "
            f"{', '.join(options.stages)}; name it in --stages or choose another --out"
        )
    for name in options.stages[options.stages.index(done["stage"]) :]:
        here = state if name == done["stage"] else None
        step = int(done["step"]) if here else 0
        _run_stage(STAGES[name], model, processor, cache, options, step, here)
    if options.export is not None and parallel.rank() == 0:
        checkpoints.export(model.eval(), processor, options.export)


def make_processor(config: RoseConfig, cache: SceneCache, seed: int) -> RoseProcessor:
    """Make the processor that belongs to a configuration, with a tokenizer of the world's words."""
    vlm, sam = config.vlm_config, config.sam_config
    tokenizer = train_tokenizer(_corpus(cache, seed), vlm.text_config.vocab_size)
    settings = ProcessorConfig(
        image_size=vlm.vision_config.image_size,
        sam_image_size=sam.vision_config.image_size,
        mask_size=config.mask_size,
        grid=config.super_patches_per_side,
    )
    return RoseProcessor(settings, tokenizer)


def _corpus(cache: SceneCache, seed: int) -> Iterator[str]:
    """Yield instructions and names as training will see them."""
    rng = np.random.default_rng([seed, 1])
    yield from [EVERYTHING, "What is ?", "What colour is ?", "What kind of thing is ?"]
    for index in rng.integers(len(cache), size=2000):
        _, view = cache[int(index)]
        yield from (f" {one.name}" for one in view.objects)
        yield find_prompt(describe(view, rng).text)
        correction = correct(view, rng)
        if correction is not None:
            yield refine_prompt(correction.label, correction.text)


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
    if step == 0 and stage.name == "perceive":
        start_from_points(model)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, WEIGHT_DECAY), lr=stage.learning_rate, betas=(0.9, 0.98)
    )
    if state is not None and step > 0:
        checkpoints.load_optimizer(state, optimizer)
    samples = Samples(cache, processor, stage.name, steps * options.batch, options.seed)
    torch.manual_seed(1_000_003 * options.seed + 1009 * step + parallel.rank())
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
    with _bar(stage, steps, step) as advance, _Curve(options.out / "curve.csv") as curve:
        for batch in loader:
            for group in optimizer.param_groups:
                group["lr"] = stage.learning_rate * schedule(step, steps)
            losses = _step(stage, model, processor, optimizer, batch, options)
            step += 1
            if parallel.rank():
                continue
            curve.add(stage.name, step, losses)
            advance(step, losses)
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
    with torch.autocast(kind, torch.bfloat16, enabled=_use_bf16(options, kind)):
        losses = stage.losses(model, batch)
    total = torch.stack([value.float() for value in losses.values()]).sum()
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


def schedule(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: linear warm-up, then a cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    progress = min(1.0, (step - WARM_UP) / max(1, steps - WARM_UP))
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))


def _device(asked: str) -> str:
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError("device cuda was asked for, but PyTorch finds no CUDA GPU; use cpu")
    return asked


def _use_bf16(options: Options, kind: str) -> bool:
    """bf16 is about twice as fast on GPUs and on CPUs with native bf16 products."""
    if options.precision != "auto":
        return options.precision == "bf16"
    return kind == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _Curve:
    """Appends the mean losses of every few steps to a CSV file: stage, step, loss, value."""

    EVERY = 20

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sums: dict[str, float] = {}

    def __enter__(self) -> _Curve:
        self.file = self.path.open("a", newline="")
        self.writer = csv.writer(self.file)
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, stage: str, step: int, losses: dict[str, float]) -> None:
        for key, value in losses.items():
            self.sums[key] = self.sums.get(key, 0.0) + value / self.EVERY
        if step % self.EVERY == 0:
            for key, value in self.sums.items():
                self.writer.writerow([stage, step, key, f"{value:.4f}"])
            self.file.flush()
            self.sums = {}


class _bar:
    """A progress bar on a terminal; a plain line now and then elsewhere."""

    def __init__(self, stage: Stage, steps: int, step: int) -> None:
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self.console,
            disable=not self.console.is_terminal or parallel.rank() > 0,
        )
        self.task = self.progress.add_task(stage.name, total=steps, completed=step, losses="")
        self.name, self.steps, self.started, self.first = stage.name, steps, time.monotonic(), step

    def __enter__(self) -> Any:
        self.progress.start()
        return self.advance

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self, step: int, losses: dict[str, float]) -> None:
        text = " ".join(f"{key} {value:.3f}" for key, value in losses.items())
        self.progress.update(self.task, completed=step, losses=text)
        if not self.console.is_terminal and step % 50 == 0:
            rate = (step - self.first) / (time.monotonic() - self.started)
            self.console.print(
                f"{self.name} {step}/{self.steps} {rate:.2f} steps/s {text}", soft_wrap=True
            )
