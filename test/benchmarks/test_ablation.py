"""The ablation: what was measured is kept, and only what is missing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import ablation
from benchmarks.ablation_start import keep_sight
from rose_ros.data.corrections import LEARNED
from rose_ros.errors import TrainingError
from rose_ros.model.loading import load_model

SHIPPED = Path(__file__).parents[2] / "models" / "rose-tiny"
NUMBERS: dict[str, object] = {"pq": 0.5, "recall_50": 0.6, "name_accuracy": 0.7, "giou": 0.4}
NUMBERS |= {kind: {"iou_before": 0.5, "iou_after": 0.7} for kind in LEARNED}


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


def test_what_sees_may_be_taken_from_a_checkpoint(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[Path, Path]] = []
    monkeypatch.setattr(ablation, "keep_sight", lambda *given: taken.append(given))
    sight = ("--sight", "somewhere/tiny", "--shared-steps", "0", "15", "45")
    ablation.main(arguments(tmp_path, "--seeds", "0", "--stage", "perceive", *sight))
    ((checkpoint, folder),) = taken
    shared, *rows = (one for one in commands if one[0] == "train")
    assert checkpoint == Path("somewhere/tiny")
    assert shared[shared.index("--start") + 1] == str(folder)
    assert shared[shared.index("--names-steps") + 1] == "45"
    stages = [one[one.index("--stages") + 1 : one.index("--stages") + 3] for one in (shared, *rows)]
    assert stages[0] == ["shapes", "names"]
    assert {one[0] for one in stages[1:]} == {"perceive"}


def test_keeping_what_sees_forgets_what_speaks(tmp_path: Path) -> None:
    keep_sight(SHIPPED, tmp_path / "sight")
    kept, known = load_model(tmp_path / "sight"), load_model(SHIPPED).state_dict()
    same = {name for name, one in kept.state_dict().items() if torch.equal(one, known[name])}
    for part in ("vlm.model.vision_tower", "sam.vision_encoder", "sharpener.coarse"):
        assert any(name.startswith(part) for name in same)
    assert not [name for name in same if "language_model.layers" in name and "proj" in name]
    assert torch.allclose(kept.mask_head.out.bias, kept.point_embedding[0], atol=1e-3)


def test_a_start_may_be_made_to_know_nothing_of_previous_masks(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    given = ("--seeds", "0", "--start", str(SHIPPED), "--forget")
    ablation.main(arguments(tmp_path, *given))
    starts = {one[one.index("--start") + 1] for one in commands if one[0] == "train"}
    (start,) = map(Path, starts)
    forgot, known = load_model(start).state_dict(), load_model(SHIPPED).state_dict()
    changed = {name for name in known if not torch.allclose(forgot[name], known[name], atol=1e-3)}
    changed.discard("sharpener.fine.0.weight")  # only where a previous mask comes in
    assert changed
    assert all(name.startswith(("previous", "sam.prompt_encoder.mask_embed")) for name in changed)


def test_corrections_count_by_what_the_model_adds() -> None:
    gains = {kind: {"iou_before": 0.5, "iou_after": 0.7} for kind in LEARNED}
    rules = {"false_alarm": {"iou_before": 0.0, "iou_after": 1.0}}
    assert ablation._mean_gain(gains | rules) == pytest.approx(0.2)


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


def test_fewer_measures_are_another_table(tmp_path: Path, commands: list[list[str]]) -> None:
    ablation.main(arguments(tmp_path, "--seeds", "0", "--measure", "segment test"))
    commands.clear()
    ablation.main(arguments(tmp_path, "--seeds", "0"))
    assert trained(commands) == ["shared", "everything-0", "without-refinement-0"]
    commands.clear()
    ablation.main(arguments(tmp_path, "--seeds", "0"))
    assert commands == []


def test_a_row_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "rose_ros", lambda command: 1)
    with pytest.raises(TrainingError, match="train"):
        ablation.main(arguments(tmp_path, "--seeds", "0"))
