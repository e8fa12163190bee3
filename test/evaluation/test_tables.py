"""Numbers get into the pages between markers, from files of the right kind only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rose_ros.evaluation.tables import main

RUN = {
    "scenes": 500,
    "seed": 0,
    "points": False,
    "close_ups": 4,
    "model": "rose-tiny",
    "runtime": "onnx",
    "device": "cpu",
    "cpu": "A processor",
    "cores": 2,
}
SEGMENT = {
    "pq": 0.7512,
    "sq": 0.85,
    "rq": 0.88,
    "recall_50": 0.9,
    "recall_large": 0.95,
    "name_accuracy": None,
    "seconds_per_frame": 0.123,
    "scenes": 500,
}
KIND = {
    "iou_before": 0.5,
    "iou_after": 0.75,
    "harm_rate": 0.0,
    "preservation_iou": 1.0,
    "rename_rate": None,
    "n": 40,
}
SCORED = {
    "ece": 0.0123,
    "ece_uncalibrated": 0.2,
    "brier": 0.1,
    "mean_score": 0.8,
    "rate": 0.81,
    "n": 9,
    "bins": [],
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for page, tables in {
        "README.md": ("overview",),
        "docs/model.md": ("overview", "refine", "own", "calibration", "gallery"),
        "docs/training.md": ("refine",),
    }.items():
        marked = "\n".join(
            f"<!-- table: {name} -->\n<!-- end of table: {name} -->\nBetween.\n" for name in tables
        )
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(f"# Title\n\n{marked}\nThe end.\n")
    return tmp_path


def write(folder: Path, name: str, task: str, split: str, result: dict[str, Any]) -> list[str]:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**result, "run": {**RUN, "task": task, "split": split}}))
    return [f"--{name}", str(path)]


def all_files(folder: Path) -> list[str]:
    gallery = {"scenes": {"file": "gallery_scenes.jpg", "caption": "Twelve scenes"}}
    (folder / "gallery.json").write_text(json.dumps(gallery))
    return [
        *write(folder, "segment", "segment", "test", SEGMENT),
        *write(folder, "novel", "segment", "novel", {**SEGMENT, "name_accuracy": 0.8}),
        *write(folder, "find", "find", "test", {"giou": 0.76, "n_acc": 0.9, "scenes": 500}),
        *write(folder, "refine", "refine", "test", {"too_small": KIND}),
        *write(folder, "own", "own", "test", {"too_big": KIND}),
        *write(folder, "self", "self", "test", {"pq": 0.7512, "pq_refined": 0.7523}),
        *write(
            folder, "calibration", "calibration", "test", {"objectness": SCORED, "name": SCORED}
        ),
        "--gallery",
        str(folder / "gallery.json"),
        "--root",
        str(folder),
    ]


def test_all_tables_are_filled_again_and_again(checkout: Path) -> None:
    (checkout / "docs" / "images").mkdir()
    (checkout / "docs" / "images" / "reliability.png").write_bytes(b"")
    assert main(all_files(checkout)) == 0
    pages = {page: (checkout / page).read_text() for page in ("README.md", "docs/model.md")}
    for text in pages.values():
        assert (
            "| class-agnostic PQ / SQ / RQ | 0.75 / 0.85 / 0.88 | `evaluate --scenes 500` |" in text
        )
        assert "| exact names on matched segments | - |" in text
        assert "| 0.80 | `evaluate --split novel --scenes 500` |" in text
        assert "0.76 / 0.90 | `evaluate --task find --scenes 500` |" in text
        assert "2 cores of A processor" in text
        assert text.startswith("# Title")
        assert text.endswith("The end.\n")
    model = pages["docs/model.md"]
    assert model.count("Between.") == 5
    assert "| `too_big` | 0.50 | 0.75 | +0.25 |" in model
    assert "| 0.751 / 0.752 | `evaluate --task self --scenes 500` |" in model
    assert "| `too_small` | 0.50 | 0.75 | +0.25 | 0.00 | 1.00 | 40 |" in model
    assert "| score of a name | 0.200 | 0.012 |" in model
    assert "](images/reliability.png)" in model
    assert "Twelve scenes.\n\n![scenes](images/gallery_scenes.jpg)" in model
    assert "+0.25" in (checkout / "docs" / "training.md").read_text()
    assert main(all_files(checkout)) == 0
    assert (checkout / "docs" / "model.md").read_text() == model


def test_what_is_not_given_stays(checkout: Path) -> None:
    before = (checkout / "docs" / "model.md").read_text()
    assert main(all_files(checkout)) == 0
    filled = (checkout / "docs" / "model.md").read_text()
    assert filled != before
    assert main(["--root", str(checkout)]) == 0
    assert (checkout / "docs" / "model.md").read_text() == filled


def test_wrong_files_are_refused_and_change_nothing(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (checkout / "README.md").read_text()
    swapped = write(checkout, "segment", "segment", "novel", SEGMENT)
    assert main([*swapped, "--root", str(checkout)]) == 1
    assert "holds segment on novel" in capsys.readouterr().err
    plain = checkout / "plain.json"
    plain.write_text(json.dumps(SEGMENT))
    assert main(["--segment", str(plain), "--root", str(checkout)]) == 1
    assert "does not say what was run" in capsys.readouterr().err
    assert main(["--segment", str(checkout / "none.json"), "--root", str(checkout)]) == 1
    assert (checkout / "README.md").read_text() == before


def test_the_pages_have_markers_that_are_known_and_closed() -> None:
    root = Path(__file__).resolve().parents[2]
    text = "".join((root / page).read_text() for page in ("README.md", "docs/model.md"))
    for name in ("overview", "refine", "own", "calibration", "gallery"):
        assert f"<!-- table: {name} -->" in text
    assert text.count("<!-- table: ") == text.count("<!-- end of table: ")
