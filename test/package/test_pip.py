"""The package as pip builds it: all modules that need no ROS, and what is shipped inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("setuptools")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose models all have graphs."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copy(ROOT / "setup.py", folder)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("rose_ros", "models", "msg"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for config in folder.glob("models/*/config.json"):
        graphs = config.parent / "onnx"
        graphs.mkdir(exist_ok=True)
        for name in ("manifest.json", "encode.onnx", "weights.bin"):
            (graphs / name).write_text(f"{name} of a test")
    return folder


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel would hold it."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(folder)],
        cwd=source,
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


def test_the_models_and_messages_are_inside_and_found(
    source: Path, built: Path, tmp_path: Path
) -> None:
    models = source / "models"
    files = [path.relative_to(models) for path in models.rglob("*") if path.is_file()]
    assert {Path("rose-tiny/onnx/manifest.json"), Path("rose-tiny/onnx/weights.bin")} <= set(files)
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


@pytest.mark.skipif(
    not (ROOT / "install" / "rose_ros" / "share").is_dir(), reason="not built by colcon"
)
def test_colcon_installs_the_models_whole() -> None:
    """Graphs beside the weights, too: the build runs again when a file comes or goes."""
    models = ROOT / "models"
    installed = ROOT / "install" / "rose_ros" / "share" / "rose_ros" / "models"
    for path in sorted(models.rglob("*")):
        if path.is_file():
            copy = installed / path.relative_to(models)
            assert copy.is_file(), f"{copy} is missing; run: make build"
            assert copy.read_bytes() == path.read_bytes()
