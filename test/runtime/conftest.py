"""A checkpoint of a few thousand parameters with its exported graphs, made once."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import ProcessorConfig, RoseProcessor
from rose_ros.model.tokenizer import train_tokenizer

#: Pixels a side; super-patches; cells of masks as decoded, and after a closer look.
SIDE, GRID, MASK_SIDE, SHARP_SIDE = 48, 3, 24, 48
MAX_NAME_TOKENS = 5


def model_fixtures() -> ModuleType:
    """Import the fixtures of the model's own tests: one tiny configuration for all."""
    path = Path(__file__).parents[1] / "model" / "conftest.py"
    spec = importlib.util.spec_from_file_location("model_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def save_checkpoint(folder: Path, seed: int = 0, *, focal: bool = True) -> Path:
    """Write a model with its processor, far enough from a fresh one that all weights matter."""
    torch.manual_seed(seed)
    model = RoseModel(model_fixtures().tiny_config(focal=focal)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    config = ProcessorConfig(SIDE, SIDE, MASK_SIDE, GRID, max_name_tokens=MAX_NAME_TOKENS)
    tokenizer = train_tokenizer(["Segment everything.", " red mug"] * 9, 300)
    RoseProcessor(config, tokenizer).save_pretrained(folder)
    return folder


def images(count: int) -> list[NDArray[np.uint8]]:
    """Make noise, which no two pixels of agree on."""
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(count)]


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Path]:
    """Write a fresh model into a folder; another seed makes another model."""
    return save_checkpoint


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its graphs; tests that change it take ``checkpoint``."""
    from rose_ros.runtime.export import export

    folder = save_checkpoint(tmp_path_factory.mktemp("models") / "tiny")
    export(folder, None, images(2))
    return folder


@pytest.fixture
def checkpoint(exported: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint with its graphs, to change."""
    return Path(shutil.copytree(exported, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def python_environment() -> Callable[[], dict[str, str]]:
    """Return what a process of its own needs to import what this one can."""

    def environment() -> dict[str, str]:
        root = Path(__file__).parents[2]
        paths = [str(root), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    return environment
