"""Sheets of pictures: the same every time, small, and honest about what is not installed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scripted import Mask, ScriptedRuntime

from rose_ros.cli import main
from rose_ros.commands.gallery import SHEETS
from rose_ros.errors import DataError
from rose_ros.evaluation import gallery
from rose_ros.evaluation.pictures import SHEET_BYTES, Tile, draw, encode_jpeg, frame_of, make_sheet
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime.base import RegionName


class HalfRuntime(ScriptedRuntime):
    """Takes the left half of every image for a mug."""

    def look(self, image: NDArray[np.uint8]) -> Any:
        return image.shape

    def meant(self, seen: Any, text: str, previous_mask: Mask | None) -> Sequence[int]:
        return [0]

    def mask(self, seen: Any, thing: int) -> Mask:
        mask = np.zeros(seen[:2], bool)
        mask[:, : seen[1] // 2] = True
        return mask

    def called(self, seen: Any, thing: int) -> RegionName:
        return RegionName("red mug", 0.8)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that has the photographs, as far as the gallery looks at it."""
    folder = tmp_path / "packages" / "skimage" / "data"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    for index, name in enumerate(gallery.PHOTOS):
        image = np.full((60 + 1000 * (index == 0), 90, 3), 40 * index, np.uint8)
        assert cv2.imwrite(str(folder / name), image)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint folder, and few pictures on each sheet."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr("rose_ros.runtime.create_runtime", lambda *_, **__: HalfRuntime())
    monkeypatch.setattr(gallery, "SHOWN", 2)
    monkeypatch.setattr(gallery, "FAILURES", 1)
    monkeypatch.setattr(gallery, "CORRECTIONS", ("too_small", "missed", "false_alarm"))
    return model


@pytest.mark.usefixtures("photos")
def test_all_sheets_are_drawn_and_the_same_again(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "images"
    arguments = ["gallery", "--model", str(small), "--out", str(out), "--scenes", "2"]
    assert main(arguments) == 0
    index = json.loads((out / "gallery.json").read_text())
    files = {name: (out / index[name]["file"]).read_bytes() for name in SHEETS}
    assert sum(map(len, files.values())) < 1_500_000
    assert all(len(index[name]["caption"]) > 20 for name in SHEETS)
    assert "2 test scenes" in index["failures"]["caption"]
    for data in files.values():
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).std() > 1

    assert main([*arguments, "--sheets", "scenes"]) == 0
    assert json.loads((out / "gallery.json").read_text()) == index
    assert (out / index["scenes"]["file"]).read_bytes() == files["scenes"]
    (small / "model.safetensors").write_bytes(b"others")
    assert main([*arguments, "--sheets", "scenes"]) == 0
    assert "photos" not in json.loads((out / "gallery.json").read_text())


def test_without_the_package_it_says_how_to_install_it(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gallery, "find_spec", lambda _: None)
    assert main(["gallery", "--model", str(small), "--out", str(tmp_path / "images")]) == 1
    assert "pip install scikit-image" in capsys.readouterr().err


def test_a_version_without_the_photographs_is_refused(photos: Path) -> None:
    assert [path.name for path in gallery.find_photos()] == list(gallery.PHOTOS)
    (photos / gallery.PHOTOS[2]).unlink()
    with pytest.raises(DataError, match=gallery.PHOTOS[2]):
        gallery.find_photos()


def test_the_worst_scenes_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    qualities = {5: 0.9, 6: 0.2, 7: 0.5, 8: 0.2}

    def tried(perceiver: Perceiver, seed: int) -> Any:
        made = original(perceiver, 5)
        return type(made)(qualities[seed], seed, made.scene, made.frame)

    original = gallery._try
    monkeypatch.setattr(gallery, "_try", tried)
    monkeypatch.setattr(gallery, "FAILURES", 3)
    lines: list[str] = []
    monkeypatch.setattr(
        gallery,
        "make_sheet",
        lambda tiles, _: lines.extend(tile.lines[0] for tile in tiles) or np.zeros((1, 1, 3)),
    )
    gallery.failures_sheet(Perceiver(HalfRuntime()), 5, 4, lambda: None)
    seeds = [line.split(":")[0] for line in lines if line.startswith("seed")]
    assert seeds == ["seed 6", "seed 8", "seed 7"]


def test_a_picture_shows_masks_and_what_was_wanted() -> None:
    image = np.full((60, 80, 3), 100, np.uint8)
    masks = np.zeros((1, 60, 80), bool)
    masks[0, 10:40, 10:40] = True
    wanted = np.zeros((1, 60, 80), bool)
    wanted[0, 30:55, 50:75] = True
    picture = draw(image, frame_of(masks, ["a thing"]), 160, wanted, names_only=True)
    assert picture.shape == (120, 160, 3)
    assert (picture[30, 25] != 100).any()
    assert (picture[100, 120] == 100).all()
    assert picture[58:63, 120].max() > 200
    assert np.array_equal(draw(image, frame_of(masks[:0], []), 80), image)


def test_long_sentences_are_wrapped_and_large_sheets_fit() -> None:
    tile = Tile(np.zeros((50, 200, 3), np.uint8), ("one " * 40, "caf\u00e9"))
    sheet = make_sheet([tile] * 3, 2)
    assert sheet.shape[1] == 2 * 206
    assert len(sheet) > 2 * (50 + 5 * 16)
    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 3)).astype(np.uint8)
    assert len(encode_jpeg(noise)) <= SHEET_BYTES
    with pytest.raises(DataError, match="fit"):
        encode_jpeg(noise, 1000)
