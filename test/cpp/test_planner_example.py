"""examples/planner.cpp compiles with the generated messages and the mask decoder.

rclcpp is replaced by a stand-in with its signatures: what is checked are the fields, constants and
types of this project's interface. On a ROS installation the real one is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def include_folders() -> list[Path]:
    """List the folders with C++ headers of all ROS prefixes."""
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    folders = [folder for prefix in prefixes for folder in sorted(prefix.glob("include/*"))]
    return [folder for folder in folders if folder.is_dir() and "python" not in folder.name]


def test_the_example_compiles(tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine (c++, g++ or clang++)")
    folders = include_folders()
    if not any((folder / "rose_ros/msg/segment_array.hpp").is_file() for folder in folders):
        pytest.skip("the C++ messages are not built (make build)")
    if not any((folder / "rclcpp/rclcpp.hpp").is_file() for folder in folders):
        folders.append(ROOT / "test" / "cpp" / "stand_in")
    includes = [f"-isystem{folder}" for folder in folders]
    command = [compiler, "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    result = subprocess.run(
        [*command, f"-I{ROOT / 'include'}", *includes, str(ROOT / "examples" / "planner.cpp")],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert result.returncode == 0, result.stderr
