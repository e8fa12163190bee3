"""The ablation: what was measured is kept, and only what is missing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ablation
from rose_ros.errors import TrainingError

NUMBERS = {"pq": 0.5, "recall_50": 0.6, "name_accuracy": 0.7, "giou": 0.4}


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
    assert trained(commands) == ["shared", "everything-0", "without-refinement-0"]
    starts = [one[one.index("--start") + 1] for one in commands if "--start" in one]
    assert {Path(start).parent.name for start in starts} == {"shared"}


def test_rows_start_from_a_checkpoint_that_is_given(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0", "--start", "somewhere/shared"))
    train = [one for one in commands if one[0] == "train"]
    assert trained(commands) == ["everything-0", "without-refinement-0"]
    assert all(one[one.index("--start") + 1] == "somewhere/shared" for one in train)


def test_every_row_has_the_same_steps_and_images(tmp_path: Path, commands: list[list[str]]) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0", "--steps", "70", "--batch", "16"))
    rows = [one for one in commands if "--start" in one]
    for one in rows:
        steps = [one[i + 1] for i, word in enumerate(one) if word.endswith("-steps")]
        assert (steps, one[one.index("--batch") + 1]) == (["70"], "16")


def test_what_was_measured_is_not_trained_again(
    tmp_path: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0"))
    commands.clear()
    ablation.main(arguments(tmp_path, "--seeds", "0", "1"))
    assert trained(commands) == ["shared", "everything-1", "without-refinement-1"]
    commands.clear()
    capsys.readouterr()
    ablation.main(arguments(tmp_path, "--seeds", "0", "1"))
    assert commands == []
    assert "| everything | 0.50 (0.50 to 0.50) |" in capsys.readouterr().out


def test_other_settings_are_another_table(tmp_path: Path, commands: list[list[str]]) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0"))
    commands.clear()
    ablation.main(arguments(tmp_path, "--seeds", "0", "--steps", "20"))
    assert trained(commands) == ["shared", "everything-0", "without-refinement-0"]


def test_a_row_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "rose_ros", lambda command: 1)
    with pytest.raises(TrainingError, match="train"):
        ablation.main(arguments(tmp_path, "--seeds", "0"))
