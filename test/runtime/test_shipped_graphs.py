"""Graphs that are shipped beside a model: whole, of its weights, small, and made by export."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rose_ros.data.tabletop import render
from rose_ros.runtime.manifest import FILE, FOLDER, check_graphs
from rose_ros.runtime.onnx import OnnxRuntime
from rose_ros.runtime.parity import LIMITS, Limits, Parity, compare

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted(config.parent for config in ROOT.glob("models/*/config.json"))

#: The most that graphs add to a model that is shipped.
MOST_BYTES = 25_000_000
#: Two exports of the same weights run the same sums; only the order of some may differ.
SAME = Limits(mask_iou=0.999, mean_iou=0.9999, objectness=1e-4, wrong_names=0.0)
SCENES = 2


@pytest.fixture(params=MODELS, ids=lambda model: model.name)
def model(request: pytest.FixtureRequest) -> Path:
    """A shipped model with its graphs."""
    folder: Path = request.param
    if not (folder / FOLDER / FILE).is_file():
        pytest.skip(
            f"no graphs in {folder / FOLDER}; run: python -m rose_ros export --model {folder}"
        )
    return folder


def test_there_is_a_model() -> None:
    assert "rose-tiny" in {model.name for model in MODELS}


def test_graphs_are_whole_and_of_these_weights(model: Path) -> None:
    manifest = check_graphs(model, model / FOLDER)
    assert manifest.model == model.name
    assert manifest.precision == "float32"  # what TensorRT reads, too
    files = {path.name for path in (model / FOLDER).iterdir()}
    assert files == {*manifest.files, FILE}


def test_graphs_agreed_with_pytorch_on_enough_scenes(model: Path) -> None:
    parity = Parity(**check_graphs(model, model / FOLDER).parity)  # type: ignore[arg-type]
    assert parity.images >= 50
    assert parity.problems(LIMITS["float32"]) == []


def test_graphs_are_small(model: Path) -> None:
    sizes = [path.stat().st_size for path in (model / FOLDER).iterdir()]
    assert sum(sizes) <= MOST_BYTES


def test_graphs_name_no_place_on_the_machine_that_made_them(model: Path) -> None:
    for path in (model / FOLDER).glob("*.onnx"):
        assert b"site-packages" not in path.read_bytes(), path
        assert str(ROOT).encode() not in path.read_bytes(), path


def test_git_has_all_of_them(model: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--", str(model / FOLDER)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    there = {str(path.relative_to(ROOT)) for path in (model / FOLDER).iterdir()}
    assert there == set(listed)


@pytest.mark.timeout(1800)
def test_exporting_again_gives_the_same_results(model: Path, tmp_path: Path) -> None:
    from rose_ros.runtime.export import export

    images = [render(seed, "test", height=240, width=320).image for seed in range(SCENES)]
    again, manifest = export(model, tmp_path / "again", images)
    assert manifest.checkpoint == check_graphs(model, model / FOLDER).checkpoint
    difference = compare(OnnxRuntime(model), OnnxRuntime(model, graphs=again), images)
    assert difference.images == SCENES
    assert difference.problems(SAME) == []
