"""What the rows of the ablation begin with where there is no time to learn to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch

from rose_ros.model.configuration import RoseConfig
from rose_ros.model.loading import load_model
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import RoseProcessor
from rose_ros.training import checkpoints
from rose_ros.training.stages import start_from_points

#: What sees: the vision tower, SAM, and the crops that masks are corrected and shapes read in.
SIGHT = ("vlm.model.vision_tower.", "sam.", "sharpener.", "region_embedding.focal.trunk.")
#: Where previous masks come in, which is learned with refinement.
REVISION = ("previous", "sam.prompt_encoder.mask_embed.")


def keep_sight(checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint with what sees of another; what speaks and perceives begins anew.

    The model stands where the stage ``points`` leaves one.
    """

    def is_kept(name: str) -> bool:
        return name.startswith(SIGHT) and not name.startswith(REVISION)

    model = _renewed(checkpoint, is_kept)
    start_from_points(model)
    _write(model, checkpoint, folder)


def forget_revision(checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint that knows what another does, but nothing of previous masks."""
    model = _renewed(checkpoint, lambda name: not name.startswith(REVISION))
    _write(model, checkpoint, folder)


def _renewed(checkpoint: Path, is_kept: Callable[[str], bool]) -> RoseModel:
    """Load the weights that are kept; the others are fresh."""
    torch.manual_seed(0)
    old = load_model(checkpoint)
    new = RoseModel(cast(RoseConfig, old.config))
    known = old.state_dict()
    made = {name: known[name] if is_kept(name) else one for name, one in new.state_dict().items()}
    if new.sharpener is not None:  # the last of its inputs is the mask that is revised
        made["sharpener.fine.0.weight"][:, -1] = 0.0
    new.load_state_dict(made)
    return new.eval()


def _write(model: RoseModel, checkpoint: Path, folder: Path) -> None:
    checkpoints.export(model, RoseProcessor.from_pretrained(checkpoint), folder)
