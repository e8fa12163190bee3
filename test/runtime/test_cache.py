"""Graphs in the user's cache: exported on first use, by one of many, and never out of date."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec as real_find_spec
from pathlib import Path

import pytest

from rose_ros.errors import ExportError, ModelError, RuntimeUnavailableError
from rose_ros.runtime import cache
from rose_ros.runtime.cache import cache_folder, cached_graphs, ensure_graphs
from rose_ros.runtime.manifest import check_graphs

#: s: an export starts PyTorch, on a machine that may be busy.
PATIENCE = 1200

PROGRAM = """
import logging, sys
import rose_ros.runtime.cache as cache
from rose_ros.runtime import create_runtime
logging.basicConfig(level=logging.INFO)
cache.SCENES = 1
runtime = create_runtime(sys.argv[1], runtime="onnx")
print(runtime.kind, "torch" in sys.modules)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def bare(checkpoint: Path) -> Path:
    """A checkpoint that brings no graphs."""
    shutil.rmtree(checkpoint / "onnx")
    return checkpoint


@pytest.fixture
def exports(exported: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Export at once, by copying; lists the folders."""
    made: list[Path] = []

    def copy(checkpoint: Path, folder: Path, lock: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(exported / "onnx", folder)
        made.append(folder)

    monkeypatch.setattr(cache, "_export", copy)
    return made


@pytest.mark.timeout(PATIENCE + 60)
def test_two_that_start_together_export_once(
    bare: Path,
    home: Path,
    python_environment: Callable[[], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(bare)]
    environment = {**python_environment(), "XDG_CACHE_HOME": str(home)}
    processes = [
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [out for out, _ in said] == ["onnx False\n"] * 2, said
    everything = "".join(err for _, err in said)
    assert everything.count("exporting them to") == 1, everything
    assert everything.count("INFO:rose_ros.runtime.cache:exported") == 1
    # Nothing but the graphs and the lock is left.
    folder = cached_graphs(bare)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f"{folder.name}.lock"}
    assert check_graphs(bare, folder).parity["images"] == 1
    # From now on nobody exports.
    monkeypatch.setattr(cache, "_export", None)
    assert ensure_graphs(bare) == folder


@pytest.mark.timeout(PATIENCE + 60)
def test_an_export_that_fails_says_why_and_leaves_nothing(bare: Path, home: Path) -> None:
    (bare / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(ExportError, match="cannot load the checkpoint"):
        ensure_graphs(bare)
    assert [path.suffix for path in (home / "rose_ros").iterdir()] == [".lock"]


def test_one_waits_while_another_exports(
    bare: Path, exports: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = cached_graphs(bare)
    folder.parent.mkdir(parents=True)
    lock = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    thread = threading.Thread(target=ensure_graphs, args=(bare,))
    with caplog.at_level(logging.WARNING):
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
        assert exports == []
        cache._export(bare, folder, lock)
        os.close(lock)
        thread.join(60.0)
    assert not thread.is_alive()
    assert exports == [folder]
    assert "another process is exporting" in caplog.text


def test_graphs_are_made_once(bare: Path, exports: list[Path]) -> None:
    assert ensure_graphs(bare) == ensure_graphs(bare) == cached_graphs(bare)
    assert len(exports) == 1


def test_damaged_graphs_are_refused_with_the_reason_and_made_again(
    bare: Path, exports: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = ensure_graphs(bare)
    (folder / "name.onnx").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        ensure_graphs(bare)
    assert "damaged: name.onnx is not what was exported" in caplog.text
    (folder / "manifest.json").unlink()
    ensure_graphs(bare)
    assert len(exports) == 3
    check_graphs(bare, folder)


def test_another_checkpoint_has_graphs_of_its_own(bare: Path, exports: list[Path]) -> None:
    first = ensure_graphs(bare)
    config = bare / "config.json"
    config.write_text(config.read_text() + "\n")
    assert cached_graphs(bare) != first
    # Not the place, the content counts.
    config.write_text(config.read_text()[:-1])
    assert cached_graphs(bare.rename(bare.with_name("moved"))) == first


def test_graphs_of_another_exporter_are_not_taken(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = cached_graphs(bare)
    package = tmp_path / "rose_ros"
    for pattern in cache._EXPORTER:
        for path in Path(cache.__file__).parents[1].glob(pattern):
            copy = package / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    monkeypatch.setattr(cache, "__file__", str(package / "runtime" / "cache.py"))
    assert cached_graphs(bare) == now
    graphs = package / "runtime" / "graphs.py"
    graphs.write_text(graphs.read_text() + "# another way to cut a model\n")
    assert cached_graphs(bare) != now


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "processor_config.json", "tokenizer.json"]
)
def test_what_is_no_checkpoint_is_not_exported(bare: Path, exports: list[Path], name: str) -> None:
    (bare / name).unlink()
    with pytest.raises(ModelError, match=r"safetensors" if "model" in name else name):
        ensure_graphs(bare)
    assert exports == []


def test_without_pytorch_it_says_what_to_run(
    bare: Path, exports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ("torch", "transformers")
    monkeypatch.setattr(
        cache, "find_spec", lambda name: None if name in absent else real_find_spec(name)
    )
    with pytest.raises(RuntimeUnavailableError) as caught:
        ensure_graphs(bare)
    for part in (
        "torch, transformers",
        "requirements/train.txt",
        f"python -m rose_ros export --model {bare}",
    ):
        assert part in str(caught.value)
    assert exports == []


def test_a_cache_that_cannot_be_written_is_explained(
    bare: Path, home: Path, exports: list[Path]
) -> None:
    home.write_text("a file")
    with pytest.raises(RuntimeUnavailableError, match="set XDG_CACHE_HOME"):
        ensure_graphs(bare)
    assert exports == []


def test_where_the_cache_is(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == home / "rose_ros"
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache" / "rose_ros"
