"""What the rows of the ablation begin with where there is no time to learn to see."""

from __future__ import annotations

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
#: What of it sees previous masks, which is learned with refinement.
REVISION = "sam.prompt_encoder.mask_embed."


def keep_sight(checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint with what sees of another; what speaks and perceives begins anew.

    The model stands where the stage ``points`` leaves one.
    """
    torch.manual_seed(0)
    old = load_model(checkpoint)
    new = RoseModel(cast(RoseConfig, old.config))
    known = old.state_dict()
    made = {
        name: known[name] if name.startswith(SIGHT) and not name.startswith(REVISION) else fresh
        for name, fresh in new.state_dict().items()
    }
    if new.sharpener is not None:  # the last of its inputs is the mask that is revised
        made["sharpener.fine.0.weight"][:, -1] = 0.0
    new.load_state_dict(made)
    start_from_points(new)
    checkpoints.export(new.eval(), RoseProcessor.from_pretrained(checkpoint), folder)
