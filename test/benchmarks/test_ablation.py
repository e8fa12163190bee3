"""The ablation: what was measured is kept, and only what is missing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ablation

NUMBERS = {"pq": 0.5, "recall_50": 0.6, "name_accuracy": 0.7, "giou": 0.4, "seconds_per_frame": 0.1}


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Take the place of training and evaluation; return what was to be run."""
    given: list[list[str]] = []

    def run(command: list[str]) -> None:
        given.append(command)
        if "--json" in command:
            Path(command[command.index("--json") + 1]).write_text(json.dumps(NUMBERS))

    monkeypatch.setattr(ablation, "_run", run)
    return given


def arguments(folder: Path, *more: str) -> list[str]:
    out = ["--out", str(folder / "runs"), "--results", str(folder / "kept.json")]
    return [*out, "--rows", "everything", "without refinement", *more]


def trained(commands: list[list[str]]) -> list[str]:
    return [Path(one[one.index("--out") + 1]).name for one in commands if one[0] == "train"]


def test_rows_start_from_what_they_share(tmp_path: Path, commands: list[list[str]]) -> None:
    assert ablation.main(arguments(tmp_path, "--seeds", "0")) == 0
    assert trained(commands) == ["shared-0", "everything-0", "without-refinement-0"]
    starts = [one[one.index("--start") + 1] for one in commands if "--start" in one]
    assert {Path(start).parent.name for start in starts} == {"shared-0"}


def test_every_row_has_the_same_steps(tmp_path: Path, commands: list[list[str]]) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0", "--share", "0.1"))
    totals = {
        sum(int(one[i + 1]) for i, word in enumerate(one) if word.endswith("-steps"))
        for one in commands
        if "--start" in one
    }
    assert len(totals) == 1


def test_what_was_measured_is_not_trained_again(
    tmp_path: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0"))
    commands.clear()
    ablation.main(arguments(tmp_path, "--seeds", "0", "1"))
    assert trained(commands) == ["shared-1", "everything-1", "without-refinement-1"]
    commands.clear()
    capsys.readouterr()
    ablation.main(arguments(tmp_path, "--seeds", "0", "1"))
    assert commands == []
    assert "| everything | 0.50 (0.50 to 0.50) |" in capsys.readouterr().out


def test_other_settings_are_another_table(tmp_path: Path, commands: list[list[str]]) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0"))
    commands.clear()
    ablation.main(arguments(tmp_path, "--seeds", "0", "--share", "0.2"))
    assert trained(commands) == ["shared-0", "everything-0", "without-refinement-0"]


def test_a_trained_model_goes_on_without_a_part(tmp_path: Path, commands: list[list[str]]) -> None:
    start = ["--start", "models/rose-tiny", "--share", "0.01", "--rate", "0.5"]
    more = ["--results", str(tmp_path / "kept.json"), "--seeds", "0"]
    ablation.main(["--out", str(tmp_path), *start, *more])
    train = [one for one in commands if one[0] == "train"]
    assert len(train) == len(ablation.CHANGED)
    assert all(one[one.index("--start") + 1] == "models/rose-tiny" for one in train)
    assert {tuple(one[one.index("--stages") + 1 :][:2]) for one in train} == {
        ("converse", "--converse-steps")
    }
