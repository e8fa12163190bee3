"""Which runtime "auto" takes, and what it says when it cannot take the one that is there."""

from __future__ import annotations

import logging
import shutil
from importlib.util import find_spec as real_find_spec
from pathlib import Path

import pytest

import rose_ros.runtime as runtimes
from rose_ros.errors import ExportError, ModelError, RuntimeUnavailableError
from rose_ros.runtime import cache, create_runtime
from rose_ros.runtime.manifest import read_manifest


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_has_gpu", lambda: False)


@pytest.fixture(autouse=True)
def exports(exported: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which checkpoints were exported into the cache; it has the graphs of ``exported``."""
    found: list[Path] = []

    def ensure(checkpoint: Path) -> Path:
        found.append(checkpoint)
        return exported / "onnx"

    monkeypatch.setattr(cache, "ensure_graphs", ensure)
    return found


@pytest.fixture
def bare(checkpoint: Path) -> Path:
    """A checkpoint that brings no graphs."""
    shutil.rmtree(checkpoint / "onnx")
    return checkpoint


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let packages seem not to be installed."""
    for module in (runtimes, cache):
        monkeypatch.setattr(
            module, "find_spec", lambda name: None if name in packages else real_find_spec(name)
        )


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_auto_takes_graphs_that_fit(exported: Path, device: str) -> None:
    assert create_runtime(exported, device=device).kind == "onnx"


def test_torch_can_still_be_asked_for(exported: Path) -> None:
    assert create_runtime(exported, runtime="torch", device="cpu").kind == "torch"


def test_graphs_beside_the_checkpoint_go_before_the_cache(
    exported: Path, exports: list[Path]
) -> None:
    create_runtime(exported, device="cpu")
    create_runtime(exported, runtime="onnx")
    assert exports == []


@pytest.mark.parametrize("runtime", ["auto", "onnx"])
def test_without_graphs_they_are_exported(bare: Path, exports: list[Path], runtime: str) -> None:
    assert create_runtime(bare, runtime=runtime).kind == "onnx"
    assert exports == [bare]


@pytest.mark.parametrize("runtime", ["auto", "onnx"])
def test_graphs_of_other_weights_are_refused_with_the_reason(
    checkpoint: Path, exports: list[Path], caplog: pytest.LogCaptureFixture, runtime: str
) -> None:
    manifest = checkpoint / "onnx" / "manifest.json"
    digest = read_manifest(manifest.parent).checkpoint["model.safetensors"]
    manifest.write_text(manifest.read_text().replace(digest, "0" * 64))
    with caplog.at_level(logging.WARNING):
        assert create_runtime(checkpoint, runtime=runtime, device="cpu").kind == "onnx"
    assert exports == [checkpoint]
    (record,) = caplog.records
    assert "are refused" in record.getMessage()
    assert "another checkpoint: model.safetensors differs" in record.getMessage()


@pytest.mark.parametrize("why", ["shipped", "large"])
def test_auto_does_not_export_everything(
    bare: Path,
    exports: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: str,
) -> None:
    """A shipped model comes with its graphs; a large one takes long."""
    if why == "shipped":
        monkeypatch.setattr(runtimes, "model_folders", lambda: [bare.parent])
    else:
        monkeypatch.setattr(runtimes, "_LARGE_BYTES", 1000)
    assert create_runtime(bare, device="cpu").kind == "torch"
    assert (exports, caplog.records) == ([], [])
    assert create_runtime(bare, runtime="onnx").kind == "onnx"
    assert exports == [bare]


def test_auto_with_stale_graphs_of_a_shipped_model_is_torch_and_says_why(
    checkpoint: Path,
    exports: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(runtimes, "model_folders", lambda: [checkpoint.parent])
    config = checkpoint / "config.json"
    config.write_text(config.read_text() + "\n")
    with caplog.at_level(logging.WARNING):
        assert create_runtime(checkpoint, device="cpu").kind == "torch"
    (record,) = caplog.records
    assert "another checkpoint: config.json differs" in record.getMessage()
    assert "rose_ros export" in record.getMessage()
    assert exports == []


def test_where_nothing_can_be_exported_auto_is_torch_and_says_why(
    bare: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(checkpoint: Path) -> Path:
        raise ExportError("the graphs do not agree")

    monkeypatch.setattr(cache, "ensure_graphs", refuse)
    assert create_runtime(bare, device="cpu").kind == "torch"
    assert "ONNX Runtime: the graphs do not agree" in caplog.text
    with pytest.raises(ExportError, match="do not agree"):
        create_runtime(bare, runtime="onnx")


def test_a_device_that_does_not_fit_is_refused_before_anything_is_exported(
    bare: Path, exports: list[Path]
) -> None:
    with pytest.raises(RuntimeUnavailableError, match="the onnx runtime runs on the CPU"):
        create_runtime(bare, runtime="onnx", device="cuda:0")
    assert exports == []


def test_auto_without_onnxruntime_is_torch(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "onnxruntime")
    assert create_runtime(exported, device="cpu").kind == "torch"


def test_without_torch_stale_graphs_are_an_error(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "torch")
    monkeypatch.setattr(runtimes, "model_folders", lambda: [checkpoint.parent])
    assert create_runtime(checkpoint).kind == "onnx"
    with pytest.raises(RuntimeUnavailableError, match="PyTorch, which is not installed"):
        create_runtime(checkpoint, runtime="torch")
    (checkpoint / "onnx" / "name.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"damaged: name\.onnx"):
        create_runtime(checkpoint)


def test_auto_on_a_gpu_is_torch(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        runtimes, "_open_torch", lambda model, device, threads: opened.append(device)
    )
    monkeypatch.setattr(runtimes, "_has_gpu", lambda: True)
    create_runtime(exported, device="auto")
    create_runtime(exported, device="cuda:1")
    assert opened == ["auto", "cuda:1"]


def test_other_runtimes_are_not_known(exported: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="choose one of auto, torch, onnx"):
        create_runtime(exported, runtime="abacus")
