"""The demo as a user starts it: it ends by itself, says yes or no, and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "rose-tiny"
PATIENCE = 240.0


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    environment.pop("ROS_DOMAIN_ID", None)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "rose_ros.node.demo", "--out", str(folder), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def processes_with(text: str) -> list[str]:
    """Return the command lines of running processes that contain ``text``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@pytest.mark.skipif(not (MODEL / "config.json").is_file(), reason=f"no checkpoint at {MODEL}")
@pytest.mark.timeout(PATIENCE + 60)
def test_the_demo_succeeds_with_the_shipped_model(tmp_path: Path) -> None:
    process = start(tmp_path, "--seconds", "30")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert "FAIL" not in output
    names = {path.name for path in tmp_path.glob("*.png")}
    assert {"0_seen.png", "1_rename_before.png", "1_rename_after.png"} <= names
    assert {"2_fix_before.png", "2_fix_after.png", "3_find_after.png"} <= names
    assert processes_with(str(tmp_path)) == []


def test_a_missing_model_is_said_at_once(tmp_path: Path) -> None:
    process = start(tmp_path, "--model", str(tmp_path / "nowhere"))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "nowhere' does not exist" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(("seconds", "code"), [("0", 0), ("30", 130)])
def test_ctrl_c_leaves_no_process(tmp_path: Path, seconds: str, code: int) -> None:
    # A folder is a checkpoint for the demo; that it is empty only the node finds out.
    model = tmp_path / "empty"
    model.mkdir()
    process = start(tmp_path, "--seconds", seconds, "--model", str(model))
    log = tmp_path / "perception.log"
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and "could not start" not in _text(log):
        time.sleep(0.1)
    assert "configure failed" in _text(log)
    assert str(model) in _text(log)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, output
    assert processes_with(str(tmp_path)) == []


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
