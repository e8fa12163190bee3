"""Graphs in the user's cache: exported on first use, once, for checkpoints that bring none.

They lie in ``$XDG_CACHE_HOME/rose_ros/<hash>/``, by default ``~/.cache/rose_ros/<hash>/``. The hash
is of the checkpoint and of the code that exports, so nothing in there is ever out of date; the
whole folder may be deleted at any time.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rose_ros.errors import ExportError, ModelError, RuntimeUnavailableError
from rose_ros.model.processing import CONFIG_FILE, TOKENIZER_FILE
from rose_ros.runtime.manifest import FILE, FORMAT, check_graphs, hash_checkpoint, hash_file

#: What export imports; requirements/core.txt and requirements/train.txt have all of it.
EXPORT_PACKAGES = (
    *("torch", "transformers", "onnx", "onnx_ir", "onnxruntime", "onnxscript"),
    *("embreex", "trimesh"),
)
#: Scenes that graphs are compared with PyTorch on; the command takes more.
SCENES = 20

#: The code that decides what is in the graphs, relative to the package.
_EXPORTER = (
    "model/*.py",
    *("runtime/decoder.py", "runtime/export.py", "runtime/export_rewrites.py"),
    *("runtime/graph_examples.py", "runtime/graphs.py"),
)
_KEY_LENGTH = 32

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return where graphs are kept; it may not exist yet."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: a relative path is invalid and to be ignored.
    base = given if os.path.isabs(given) else os.path.expanduser("~/.cache")
    return Path(base) / "rose_ros"


def cached_graphs(checkpoint: Path) -> Path:
    """Return the folder for the graphs of a checkpoint; it may not exist yet.

    Raises ``ModelError`` when a file of the checkpoint is missing.
    """
    return cache_folder() / _key(checkpoint)


def ensure_graphs(checkpoint: Path) -> Path:
    """Return the folder with the graphs of a checkpoint, and export them if it is not there.

    Another process that does the same is waited for. Raises ``ModelError`` for a checkpoint that is
    not complete, ``ExportError`` when its graphs do not agree with PyTorch, and
    ``RuntimeUnavailableError`` when nothing can be exported or written on this machine.
    """
    folder = cached_graphs(checkpoint)
    if _is_sound(checkpoint, folder):
        return folder
    missing = missing_packages()
    if missing:
        raise RuntimeUnavailableError(
            f"{checkpoint} has no graphs for ONNX Runtime, and {', '.join(missing)}, needed to "
            "export them, cannot be imported here; pip install -r requirements/train.txt, or run "
            f"where that is installed: python -m rose_ros export --model {checkpoint}"
        )
    try:
        with _turn(folder) as lock:
            if not _is_sound(checkpoint, folder):
                _export(checkpoint, folder, lock)
    except OSError as error:
        raise RuntimeUnavailableError(
            f"cannot keep graphs in {folder}: {error}; set XDG_CACHE_HOME to a folder that can be "
            f"written, or run: python -m rose_ros export --model {checkpoint}"
        ) from error
    return folder


def missing_packages() -> list[str]:
    """Name what export would import and is not installed, in the order that it does."""
    return [name for name in EXPORT_PACKAGES if find_spec(name) is None]


def _key(checkpoint: Path) -> str:
    """Hash a checkpoint and the code that exports, in hexadecimal."""
    files = hash_checkpoint(checkpoint)
    for name in ("config.json", CONFIG_FILE, TOKENIZER_FILE):
        if name not in files:
            raise ModelError(f"the checkpoint in {checkpoint} is not complete: {name} is missing")
    if not any(name.endswith(".safetensors") for name in files):
        raise ModelError(f"the checkpoint in {checkpoint} has no weights (*.safetensors)")
    package = Path(__file__).resolve().parents[1]
    sources = sorted(path for pattern in _EXPORTER for path in package.glob(pattern))
    exporter = {str(path.relative_to(package)): hash_file(path) for path in sources}
    depends = json.dumps([FORMAT, files, exporter], sort_keys=True)
    return hashlib.sha256(depends.encode()).hexdigest()[:_KEY_LENGTH]


def _is_sound(checkpoint: Path, folder: Path) -> bool:
    """Say whether graphs are there, whole and of this checkpoint; log why not."""
    if not folder.exists():
        return False
    try:
        check_graphs(checkpoint, folder)
    except ModelError as error:
        _log.warning("cached graphs are refused and made again: %s", error)
        return False
    return True


@contextmanager
def _turn(folder: Path) -> Iterator[int]:
    """Wait until nobody else makes this folder; yields the lock that says so."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another process is exporting to %s; waiting for it", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _export(checkpoint: Path, folder: Path, lock: int) -> None:
    """Export in a process of its own, so that this one does not import PyTorch."""
    _log.warning(
        "%s has no graphs for ONNX Runtime: exporting them to %s, which takes about a minute, once",
        checkpoint,
        folder,
    )
    # What is broken, and what an export left behind that was killed.
    for old in [folder, *folder.parent.glob(f".{folder.name}-*")]:
        shutil.rmtree(old, ignore_errors=True)
    start = time.monotonic()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "rose_ros", "export", "--scenes", str(SCENES)),
            *("--model", str(checkpoint), "--out", str(folder)),
        ],
        cwd=folder.parent,
        env=_environment(),
        # The lock is held until both processes are gone.
        pass_fds=(lock,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    atexit.register(process.kill)
    try:
        _, said = process.communicate()
    finally:
        process.kill()
        process.wait()
        atexit.unregister(process.kill)
    if process.returncode or not (folder / FILE).is_file():
        reason = (said.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise ExportError(
            f"the graphs of {checkpoint} cannot be exported: "
            f"{reason.removeprefix('rose_ros export: ')}"
        )
    _log.info("exported %s in %.0f s", folder, time.monotonic() - start)


def _environment() -> dict[str, str]:
    """Let a process that starts in another folder import this very package."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
