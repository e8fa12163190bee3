"""docs/parameters.md says what the node declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from rose_ros.node.parameter_reference import camera_reference, main, page, reference
from rose_ros.node.parameters import CAMERA_SPECS, SPECS, Change, Spec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m rose_ros.node.parameter_reference --out docs/parameters.md"
    )


def test_every_parameter_has_one_row() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [spec.name for spec in SPECS]
    rows += [line for line in camera_reference().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows[len(SPECS) :]] == [s.name for s in CAMERA_SPECS]
    assert {row.count(" | ") for row in rows} == {5}


@pytest.mark.parametrize(
    ("spec", "cells"),
    [
        (
            Spec("rate", 0.5, "Frames.", Change.ALWAYS, 0.0, 1000.0),
            "| `rate` | float | `0.5` | 0 to 1000 | at any time | Frames. |",
        ),
        (
            Spec("kind", "a", "Which.", Change.UNCONFIGURED, choices=("a", "b")),
            "| `kind` | string | `a` | `a`, `b` | while unconfigured | Which. |",
        ),
        (
            Spec("on", True, "Yes | no, <x>.", Change.NEVER),
            "| `on` | bool | `true` | any | at start | Yes \\| no, &lt;x>. |",
        ),
        (
            Spec("names", ["x", "y"], "Names.", Change.NEVER),
            "| `names` | list of strings | `[x, y]` | any | at start | Names. |",
        ),
        (
            Spec("text", "", "Words.", Change.NEVER),
            '| `text` | string | `""` | any | at start | Words. |',
        ),
        (
            Spec("count", 3, "How many.", Change.NEVER, 1, 9),
            "| `count` | int | `3` | 1 to 9 | at start | How many. |",
        ),
    ],
)
def test_a_row_says_all_of_a_parameter(spec: Spec, cells: str) -> None:
    assert reference([spec]).splitlines()[-1] == cells


def test_the_command_prints_or_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == page()
    assert main(["--out", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page()
