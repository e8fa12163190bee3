"""Which runtime "auto" takes, and what it says when it cannot take the one that is there."""

from __future__ import annotations

import logging
import shutil
from importlib.util import find_spec as real_find_spec
from pathlib import Path

import pytest

import rose_ros.runtime as runtimes
from rose_ros.errors import ModelError, RuntimeUnavailableError
from rose_ros.runtime import create_runtime


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_has_gpu", lambda: False)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let packages seem not to be installed."""
    monkeypatch.setattr(
        runtimes, "find_spec", lambda name: None if name in packages else real_find_spec(name)
    )


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_auto_takes_graphs_that_fit(exported: Path, device: str) -> None:
    assert create_runtime(exported, device=device).kind == "onnx"


def test_torch_can_still_be_asked_for(exported: Path) -> None:
    assert create_runtime(exported, runtime="torch", device="cpu").kind == "torch"


def test_auto_without_graphs_is_torch(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(checkpoint / "onnx")
    assert create_runtime(checkpoint, device="cpu").kind == "torch"
    assert not caplog.records
    with pytest.raises(ModelError, match="run: python -m rose_ros export"):
        create_runtime(checkpoint, runtime="onnx")


def test_auto_with_stale_graphs_is_torch_and_says_why(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = checkpoint / "config.json"
    config.write_text(config.read_text() + "\n")
    with caplog.at_level(logging.WARNING):
        assert create_runtime(checkpoint, device="cpu").kind == "torch"
    (record,) = caplog.records
    assert "another checkpoint: config.json differs" in record.getMessage()
    assert "rose_ros export" in record.getMessage()


def test_auto_without_onnxruntime_is_torch(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "onnxruntime")
    assert create_runtime(exported, device="cpu").kind == "torch"


def test_without_torch_stale_graphs_are_an_error(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "torch")
    assert create_runtime(checkpoint).kind == "onnx"
    with pytest.raises(RuntimeUnavailableError, match="PyTorch, which is not installed"):
        create_runtime(checkpoint, runtime="torch")
    (checkpoint / "onnx" / "name.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"damaged: name\.onnx"):
        create_runtime(checkpoint)


def test_auto_on_a_gpu_is_torch(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(runtimes, "_open_torch", lambda model, device: opened.append(device))
    monkeypatch.setattr(runtimes, "_has_gpu", lambda: True)
    create_runtime(exported, device="auto")
    create_runtime(exported, device="cuda:1")
    assert opened == ["auto", "cuda:1"]


def test_other_runtimes_are_not_known(exported: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="choose one of auto, torch, onnx"):
        create_runtime(exported, runtime="abacus")
