"""Training state on disk: written whole or not at all, read without running any code."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from transformers.utils import logging

from rose_ros.errors import TrainingError
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import RoseProcessor


def save(
    folder: Path,
    model: RoseModel,
    processor: RoseProcessor,
    optimizer: Optimizer,
    progress: dict[str, Any],
) -> None:
    """Write ``folder/last`` with the weights, the optimiser and how far training has come."""
    new, last, old = folder / "new", folder / "last", folder / "old"
    logging.disable_progress_bar()
    shutil.rmtree(new, ignore_errors=True)
    model.save_pretrained(new)
    processor.save_pretrained(new)
    torch.save(optimizer.state_dict(), new / "optimizer.pt")
    (new / "progress.json").write_text(json.dumps(progress))
    shutil.rmtree(old, ignore_errors=True)
    if last.exists():
        os.replace(last, old)
    os.replace(new, last)
    shutil.rmtree(old, ignore_errors=True)


def find(folder: Path) -> Path | None:
    """Return the newest whole state, also after a kill between two renames; None at the start."""
    for name in ("last", "new", "old"):
        if (folder / name / "progress.json").exists():
            return folder / name
    return None


def read_progress(state: Path) -> dict[str, Any]:
    """Read which stage and step a state belongs to."""
    try:
        return dict(json.loads((state / "progress.json").read_text()))
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot resume from {state}: {error}") from error


def load_optimizer(state: Path, optimizer: Optimizer) -> None:
    """Restore the optimiser; tensors only, nothing is unpickled."""
    optimizer.load_state_dict(torch.load(state / "optimizer.pt", weights_only=True))


def export(model: RoseModel, processor: RoseProcessor, folder: Path) -> None:
    """Write the checkpoint that ships: half-precision weights, loaded as float32."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.save_pretrained(folder, state_dict=state)
    processor.save_pretrained(folder)
