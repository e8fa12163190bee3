"""A machine without PyTorch: the commands and the node run from graphs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

PATIENCE = 600.0

#: Python runs it at its start; modules of these names then do not exist.
HIDE = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "onnx", "onnx_ir", "onnxscript"}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


@pytest.fixture
def environment(tmp_path: Path, python_environment: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What makes a process believe that PyTorch is not installed."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(HIDE)
    given = python_environment()
    return {
        **given,
        "PYTHONPATH": f"{tmp_path / 'hide'}:{given['PYTHONPATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "ROS_DOMAIN_ID": str(102 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


def rose_ros(environment: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "rose_ros", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.timeout(PATIENCE + 60)
def test_segment(exported: Path, environment: dict[str, str], tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert cv2.imwrite(str(photo), noise)
    for words in ([], ["--text", "the red mug"], ["--runtime", "onnx"]):
        done = rose_ros(
            environment, "segment", photo, "--model", exported, "--out", tmp_path, *words
        )
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "photo.json").read_text())["model"] == "tiny"


@pytest.mark.timeout(PATIENCE + 60)
def test_evaluate(exported: Path, environment: dict[str, str]) -> None:
    done = rose_ros(environment, "evaluate", "--model", exported, "--scenes", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scenes"] == 1


@pytest.mark.timeout(4 * PATIENCE)
@pytest.mark.parametrize("command", ["export", "segment", "train"])
def test_what_needs_pytorch_says_so(
    checkpoint: Path, environment: dict[str, str], tmp_path: Path, command: str
) -> None:
    words: list[object] = ["--out", tmp_path / "out"]
    if command != "train":
        words += ["--model", checkpoint]
    if command == "segment":
        words += [tmp_path / "photo.png", "--runtime", "torch"]
    done = rose_ros(environment, command, *words)
    assert done.returncode == 1
    assert "pip install -r requirements/train.txt" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.timeout(PATIENCE + 60)
def test_the_node(exported: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """To be configured it loads the model and segments a frame."""
    pytest.importorskip("rclpy")
    command = [
        *(sys.executable, "-m", "rose_ros.node.perception_node", "--ros-args"),
        *("-r", "__ns:=/without_torch", "-p", f"model:={exported}"),
    ]
    log = tmp_path / "node.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + PATIENCE
        while "active: " not in log.read_text() and process.poll() is None:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        assert "configured: tiny with onnx on cpu" in log.read_text()
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
