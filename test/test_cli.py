"""The commands: files out, numbers out, clear errors and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco
from scripted import Mask, ScriptedRuntime

from rose_ros.cli import COMMANDS, main
from rose_ros.commands.evaluate import SPLITS as OFFERED_SPLITS
from rose_ros.commands.evaluate import TASKS as OFFERED_TASKS
from rose_ros.data.tabletop import render
from rose_ros.data.tabletop.vocabulary import SPLITS
from rose_ros.evaluation.evaluate import TASKS
from rose_ros.perception.selection import PerceiverOptions
from rose_ros.runtime.base import RegionName

SIDE = 64
RED, BLUE = (200, 20, 20), (20, 20, 200)


class ColourRuntime(ScriptedRuntime):
    """Finds what is red and what is blue, and calls it so; only red when the text says red."""

    model_name, side = "colours", SIDE

    def look(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image

    def meant(self, seen: Any, text: str, previous_mask: Mask | None) -> list[int]:
        wanted = [i for i, word in enumerate(("red", "blue")) if word in text or "every" in text]
        return [i for i in wanted if self.mask(seen, i).any()]

    def mask(self, seen: Any, thing: int) -> Mask:
        return (seen == np.array((RED, BLUE)[thing])).all(axis=-1)

    def called(self, seen: Any, thing: int) -> RegionName:
        return RegionName(("red box", "blue box")[thing], 0.8)


@pytest.fixture
def with_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rose_ros.runtime.create_runtime", lambda *_, **__: ColourRuntime())


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    image = np.full((96, 128, 3), 240, np.uint8)
    image[12:60, 16:64] = RED
    image[48:84, 80:120] = BLUE
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["", "segment", "bag", "evaluate", "render"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys\nfrom rose_ros.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'cv2', 'trimesh', 'rclpy', 'numpy'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    words = [word for word in (command, "--help") if word]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "usage: rose_ros" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["segment"],
        ["segment", "a.png"],
        ["bag", "recording", "--out", "x"],
        ["render", "--out", "x", "--scenes", "0"],
        ["render", "--out", "x", "--scenes", "many"],
        ["evaluate", "--split", "unseen"],
        ["evaluate", "--seed", "-1"],
    ],
)
def test_wrong_usage_exits_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_options_offered_are_those_that_work() -> None:
    assert OFFERED_TASKS == TASKS
    assert sorted(OFFERED_SPLITS) == sorted(SPLITS)


def test_a_missing_model_is_one_clear_line(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "no-such-model")
    for arguments in (
        ["segment", str(photo), "--out", str(tmp_path / "out"), "--model", missing],
        ["evaluate", "--model", missing, "--scenes", "1"],
    ):
        assert main(arguments) == 1
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert missing in captured.err
        assert captured.out == ""


@pytest.mark.usefixtures("with_runtime")
def test_segment_writes_overlay_and_coco_json(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(photo), "--out", str(out)]) == 0
    assert "2 segments" in capsys.readouterr().out
    overlay = cv2.imread(str(out / "photo_overlay.png"))
    assert overlay.shape == (96, 128, 3)
    result: dict[str, Any] = json.loads((out / "photo.json").read_text())
    assert (result["height"], result["width"], result["model"]) == (96, 128, "colours")
    by_name = {segment["label"]: segment for segment in result["segments"]}
    assert by_name.keys() == {"red box", "blue box"}
    red = by_name["red box"]
    mask = coco.decode(red["segmentation"]).astype(bool)
    truth = np.zeros((96, 128), bool)
    truth[12:60, 16:64] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    assert red["area"] == mask.sum()
    x, y, width, height = red["bbox"]
    assert mask[y : y + height, x : x + width].sum() == mask.sum()


@pytest.mark.usefixtures("with_runtime")
def test_segment_with_text_finds_only_that(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["segment", str(photo), "--out", str(tmp_path), "--text", "the red one", "--json"]
    assert main(arguments) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert [segment["label"] for segment in result["segments"]] == ["red box"]
    assert result["text"] == "the red one"
    assert main([*arguments[:-2], "  "]) == 1
    assert "--text is empty" in capsys.readouterr().err


@pytest.mark.usefixtures("with_runtime")
def test_images_that_cannot_be_used_are_named_and_the_others_done(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"this is no picture")
    images = [str(tmp_path / "missing.png"), str(broken), str(photo), str(photo)]
    assert main(["segment", *images, "--out", str(tmp_path / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    assert "missing.png does not exist" in captured.err
    assert "broken.jpg cannot be read" in captured.err
    assert len(json.loads(captured.out)) == 2
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["photo-2.json", "photo-2_overlay.png", "photo.json", "photo_overlay.png"]


@pytest.mark.usefixtures("with_runtime")
def test_a_file_in_place_of_the_output_folder_is_refused(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(photo), "--out", str(photo)]) == 1
    assert "is a file" in capsys.readouterr().err


@pytest.mark.usefixtures("with_runtime")
@pytest.mark.parametrize("task", TASKS)
def test_evaluate_writes_the_numbers(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "numbers" / "result.json"
    arguments = ["evaluate", "--task", task, "--scenes", "1", "--seed", "3"]
    assert main([*arguments, "--json", str(target)]) == 0
    assert task in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads(target.read_text())
    assert printed.keys() == written.keys()


@pytest.mark.usefixtures("with_runtime")
def test_numbers_say_how_many_close_ups_they_are_with(capsys: pytest.CaptureFixture[str]) -> None:
    for given, expected in ((["--close-ups", "0"], 0), ([], PerceiverOptions().close_ups)):
        assert main(["evaluate", "--scenes", "1", "--json", *given]) == 0
        assert json.loads(capsys.readouterr().out)["run"]["close_ups"] == expected


def test_render_writes_the_scene_and_its_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    arguments = ["render", "--out", str(tmp_path), "--split", "test", "--seed", "5", "--json"]
    size = ["--scenes", "2", "--width", "96", "--height", "72", "--contact-sheet", str(sheet)]
    assert main([*arguments, *size]) == 0
    written = json.loads(capsys.readouterr().out)
    assert [entry["seed"] for entry in written] == [5, 6]
    assert cv2.imread(str(sheet)).shape == (72, 192, 3)
    entry = json.loads((tmp_path / "test-000005.json").read_text())
    assert entry == written[0]
    scene = render(5, "test", height=72, width=96)
    image = cv2.imread(str(tmp_path / entry["image"]))[..., ::-1]
    ids = cv2.imread(str(tmp_path / entry["ids"]), cv2.IMREAD_UNCHANGED)
    depth = cv2.imread(str(tmp_path / entry["depth"]), cv2.IMREAD_UNCHANGED)
    parts = cv2.imread(str(tmp_path / entry["parts"]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(image, scene.image)
    assert ids.dtype == depth.dtype == np.uint16
    assert np.array_equal(ids, scene.ids)
    assert np.array_equal(parts, scene.parts)
    near = scene.depth < 60
    assert np.abs(depth[near] / 1000.0 - scene.depth[near]).max() <= 0.0006
    areas = {thing["id"]: thing["area"] for thing in entry["objects"]}
    assert sum(areas.values()) == 72 * 96
    assert areas[int(scene.ids[36, 48])] == (scene.ids == scene.ids[36, 48]).sum()


def test_python_dash_m_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rose_ros", "--version"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert done.stdout.startswith("rose_ros ")
