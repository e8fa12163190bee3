"""Load a checkpoint folder safely, or say what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from transformers.utils import logging

from rose_ros.errors import ModelError
from rose_ros.model.configuration import RoseConfig
from rose_ros.model.modeling import RoseModel


def load_model(
    folder: Path, *, attention: str | None = None, config: RoseConfig | None = None
) -> RoseModel:
    """Load weights from a checkpoint folder in float32, ready to run.

    ``attention`` names an implementation of transformers, such as "eager"; None lets it choose.
    ``config`` replaces that of the checkpoint; weights that it has no use for are left out.
    Raises ``ModelError`` with the path and the reason when a file is missing, broken or does not
    belong to the configuration. Nothing is downloaded and no code of the checkpoint runs.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"no checkpoint in {folder}: config.json is missing")
    logging.disable_progress_bar()
    try:
        load: Any = RoseModel.from_pretrained  # typed upstream without the loading info
        model, info = load(
            str(folder),
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation=attention,
            **({} if config is None else {"config": config}),
        )
    except Exception as error:  # transformers, safetensors and json each raise their own kinds
        raise ModelError(f"cannot load the checkpoint in {folder}: {error}") from error
    missing = sorted(info["missing_keys"]) + sorted(map(str, info["mismatched_keys"]))
    if missing:
        raise ModelError(
            f"the checkpoint in {folder} lacks {len(missing)} of the model's weights, "
            f"{missing[0]} first; it belongs to another configuration or is incomplete"
        )
    return cast(RoseModel, model.eval())
