"""scripts/setup.sh: what it installs when, and one clear line where a machine lacks something."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (
    *("cat", "chmod", "cut", "dirname", "echo", "env", "flock", "grep", "mkdir"),
    *("printf", "rm", "sh", "sha256sum", "tail", "tr"),
)

# A python that knows what it is asked and says what the test wants it to say.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  *version_info*) exit {fits} ;;
  -) cat >/dev/null; printf '%s' '{lacks}' ;;
  *rclpy*) exit {rclpy} ;;
  *venv*) echo "no venv today" >&2; exit 1 ;;
esac
"""

# A python that makes environments with copies of itself.
WORKING_PYTHON = """#!/bin/sh
case "$*" in
  -) cat >/dev/null ;;
  *-m\\ venv*)
    for folder; do :; done
    mkdir -p "$folder/bin"
    cat "$0" >"$folder/bin/python"
    chmod +x "$folder/bin/python"
    echo "include-system-site-packages = false" >"$folder/pyvenv.cfg"
    echo "$PWD/.venv" >"$folder/bin/activate"
    ;;
  *pip\\ install*) echo "$*" >>"{pip}" ;;
esac
"""
LIGHT, FULL = ["core", "ros"], ["core", "ros", "train", "dev"]


class Machine:
    """A machine with a few programs and a copy of what setup.sh reads."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "rose ros"  # a blank in the path, as people have
        self.bin = folder / "bin"
        self.installed = folder / "installed.txt"
        self.bin.mkdir()
        for name in ("scripts", "requirements"):
            shutil.copytree(ROOT / name, self.root / name)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (self.bin / tool).symlink_to(found)

    def add(self, *names: str, text: str = "#!/bin/sh\n") -> None:
        """Install programs."""
        for name in names:
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def add_python(self, *, fits: bool = True, lacks: str = "", rclpy: bool = False) -> None:
        """Install a python3."""
        text = FAKE_PYTHON.format(fits=int(not fits), lacks=lacks, rclpy=int(not rclpy))
        self.add("python3", text=text)

    def add_working_python(self) -> None:
        """Install a python3 whose venv works and whose pip writes down what it is asked for."""
        self.add("python3", text=WORKING_PYTHON.format(pip=self.installed))

    def ship_graphs(self, weights: bytes = b"weights") -> None:
        """Put rose-tiny there, with a manifest of graphs that were exported from ``weights``."""
        model = self.root / "models" / "rose-tiny"
        (model / "onnx").mkdir(parents=True)
        (model / "model.safetensors").write_bytes(b"weights")
        digest = hashlib.sha256(weights).hexdigest()
        manifest = {"checkpoint": {"model.safetensors": digest}}
        (model / "onnx" / "manifest.json").write_text(json.dumps(manifest))

    def require(self, name: str, line: str) -> None:
        """Add a line to a file of requirements."""
        with (self.root / "requirements" / f"{name}.txt").open("a") as file:
            file.write(line + "\n")

    def installs(self, profile: str) -> list[str]:
        """Run setup.sh and return the files whose requirements pip was asked to install."""
        self.installed.unlink(missing_ok=True)
        result = self.setup(profile)
        assert result.returncode == 0, result.stderr
        words = self.installed.read_text().split() if self.installed.exists() else []
        return [Path(word).stem for word in words if word.endswith(".txt")]

    def setup(self, *profile: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run setup.sh there."""
        return subprocess.run(
            ["sh", str(self.root / "scripts" / "setup.sh"), "requirements", *profile],
            env={"PATH": str(self.bin), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing is missing but a working venv."""
    machine = Machine(tmp_path)
    machine.add("cmake", "gcc", "g++")
    machine.add_python()
    return machine


def refused(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Expect one line that says all the parts."""
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def test_a_missing_cmake_is_named(machine: Machine) -> None:
    (machine.bin / "cmake").unlink()
    refused(machine.setup(), "sudo apt install cmake\n")


def test_everything_missing_is_named_at_once(machine: Machine) -> None:
    for name in ("cmake", "gcc", "g++"):
        (machine.bin / name).unlink()
    machine.add_python(lacks="python3.11-venv\npython3.11-dev\n")
    refused(machine.setup(), "apt install python3.11-venv python3.11-dev cmake gcc g++\n")


@pytest.mark.parametrize("how", ["absent", "too old"])
def test_no_usable_python_is_said(machine: Machine, how: str) -> None:
    (machine.bin / "python3").unlink()
    if how == "too old":
        machine.add_python(fits=False)
    refused(machine.setup(), "no Python 3.10, 3.11 or 3.12")


def test_a_python_that_was_named_and_is_absent_is_repeated(machine: Machine) -> None:
    refused(machine.setup(PYTHON="/opt/python"), "found as /opt/python")


def test_a_python_that_lacks_nothing_is_preferred(machine: Machine) -> None:
    complete = (machine.bin / "python3").read_text()
    machine.add_python(lacks="python3.11-venv\n")
    machine.add("python3.12", text=complete)
    result = machine.setup()
    assert "apt install" not in result.stderr  # it went on to make the environment


def test_a_sourced_ros_that_python_cannot_use_is_refused(machine: Machine) -> None:
    ros = {"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": "/opt/ros/jazzy"}
    refused(machine.setup(**ros), "ROS 2 jazzy is sourced", "cannot import rclpy")


def test_a_sourced_ros_needs_its_own_colcon(machine: Machine) -> None:
    machine.add_python(rclpy=True)
    ros = {"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": "/opt/ros/jazzy"}
    refused(machine.setup(**ros), "sudo apt install python3-colcon-common-extensions\n")


def test_a_step_that_fails_shows_its_output_and_its_log(machine: Machine) -> None:
    result = machine.setup()
    assert result.returncode == 1
    assert "no venv today" in result.stderr
    assert "making the environment failed" in result.stderr
    assert not (machine.root / ".venv" / "rose_ros.stamp").exists()


def test_without_pytorch_where_the_model_has_graphs(machine: Machine) -> None:
    machine.add_working_python()
    machine.ship_graphs()
    assert machine.installs("light") == LIGHT
    assert machine.installs("light") == []
    assert machine.installs("full") == FULL
    assert machine.installs("full") == machine.installs("light") == []


def test_everything_serves_who_needs_little(machine: Machine) -> None:
    machine.add_working_python()
    machine.ship_graphs()
    assert machine.installs("full") == FULL
    assert machine.installs("light") == []
    machine.require("train", "more==1")
    assert machine.installs("light") == []
    assert machine.installs("full") == FULL
    machine.require("core", "most==1")
    assert machine.installs("light") == LIGHT
    assert machine.installs("full") == FULL


@pytest.mark.parametrize("graphs", ["none", "of other weights"])
def test_pytorch_comes_where_only_it_can_run_the_model(machine: Machine, graphs: str) -> None:
    machine.add_working_python()
    if graphs == "of other weights":
        machine.ship_graphs(b"other weights")
    assert machine.installs("light") == FULL


def test_an_environment_that_moved_is_made_again(machine: Machine) -> None:
    machine.add_working_python()
    assert machine.installs("full") == FULL
    machine.root = machine.root.rename(machine.root.with_name("moved"))
    assert machine.installs("full") == FULL


def test_an_unknown_profile_is_refused(machine: Machine) -> None:
    refused(machine.setup("heavy"), "light or full, not 'heavy'")


def test_an_unknown_step_is_refused(machine: Machine) -> None:
    result = subprocess.run(
        ["sh", str(machine.root / "scripts" / "setup.sh"), "everything"],
        env={"PATH": str(machine.bin)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refused(result, "'everything'")


@pytest.mark.skipif(not (ROOT / "build" / "rose_ros.stamp").exists(), reason="not built by make")
def test_the_second_time_nothing_is_done(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / ".venv").glob("*stamp")}
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["sh", "scripts/setup.sh", "requirements"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert {path: path.stat().st_mtime_ns for path in before} == before
