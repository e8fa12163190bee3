"""The package as pip builds it: all modules that need no ROS, and what is shipped inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("setuptools")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel would hold it."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(folder)],
        cwd=ROOT,
        check=True,
        timeout=300,
        capture_output=True,
    )
    return folder / "rose_ros"


def test_every_module_but_the_node_is_there(built: Path) -> None:
    sources = {path.relative_to(ROOT / "rose_ros") for path in ROOT.glob("rose_ros/**/*.py")}
    expected = {path for path in sources if path.parts[0] != "node"}
    assert {path.relative_to(built) for path in built.glob("**/*.py")} == expected
    assert (built / "py.typed").is_file()


def test_the_models_and_messages_are_inside_and_found(built: Path, tmp_path: Path) -> None:
    models = ROOT / "models"
    files = [path.relative_to(models) for path in models.rglob("*") if path.is_file()]
    assert files
    for file in files:
        assert (built / "models" / file).read_bytes() == (models / file).read_bytes()
    definitions = ROOT / "msg"
    for file in definitions.glob("*.msg"):
        assert (built / "definitions" / file.name).read_bytes() == file.read_bytes()
    names = sorted(config.parent.name for config in models.glob("*/config.json"))
    program = (
        "import rose_ros.paths as paths; print(paths.model_folders()[1]);"
        "print([paths.find_model(name).name for name in paths.shipped_models()]);"
        "print(sorted(paths.message_definitions()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(built.parent)},
        check=True,
        timeout=300,
        capture_output=True,
        text=True,
    )
    messages = sorted(file.stem for file in definitions.glob("*.msg"))
    assert result.stdout.splitlines() == [str(built / "models"), str(names), str(messages)]
