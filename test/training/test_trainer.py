"""Training end to end, small: it learns, it resumes, nothing unseen leaks in."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rose_ros.cli import main
from rose_ros.data.tabletop.vocabulary import COLOURS, NOVEL_PAIRS
from rose_ros.model.configuration import rose_tiny
from rose_ros.model.loading import load_model
from rose_ros.training.preparation import make_processor
from rose_ros.training.reporting import Curve
from rose_ros.training.samples import DENSE_REGIONS, IGNORED, TEXT_TOKENS, Samples, to_tensors
from rose_ros.training.scenes import SceneCache, render_ahead

SCENES = 12


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "scenes"
    render_ahead(folder, SCENES, 240, seed=0, workers=2)
    return folder


def options(out: Path, *more: str) -> list[str]:
    return [
        *("train", "--out", str(out), "--scenes", str(SCENES), "--batch", "2", "--workers", "0"),
        *("--processes", "1", "--precision", "fp32", "--save-every", "0", *more),
    ]


def steps(count: int) -> list[str]:
    return [
        word
        for stage in ("points", "shapes", "names", "perceive", "converse")
        for word in (f"--{stage}-steps", str(count))
    ]


@pytest.fixture
def out(scenes: Path, tmp_path: Path) -> Path:
    """A run folder whose scenes are rendered."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "scenes").symlink_to(scenes)
    return tmp_path / "run"


def test_all_stages_run_and_the_export_loads(out: Path, tmp_path: Path) -> None:
    export = tmp_path / "model"
    assert main(options(out, *steps(1), "--export", str(export))) == 0
    model = load_model(export)
    assert next(model.parameters()).dtype == torch.float32
    assert sum(one.stat().st_size for one in export.iterdir()) < 25e6
    again = options(tmp_path / "again", "--start", str(export), "--stages", "points", *steps(0))
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "scenes").symlink_to(out / "scenes")
    assert main([*again, "--export", str(tmp_path / "same")]) == 0
    same = load_model(tmp_path / "same").state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(same[name], value, msg=name)
    assert json.loads((out / "last" / "progress.json").read_text())["stage"] == "converse"
    # Curves are means over twenty steps; these stages were shorter.
    assert (out / "curve.csv").read_text() == ""


def test_a_killed_run_goes_on_where_it_was(out: Path, tmp_path: Path, scenes: Path) -> None:
    """Killed in its first stage and started again, it ends exactly as if never killed."""
    arguments = options(out, "--stages", "points", "--points-steps", "5")
    with subprocess.Popen([sys.executable, "-m", "rose_ros", *arguments]) as running:
        progress = out / "last" / "progress.json"
        deadline = time.monotonic() + 200
        while not progress.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    assert progress.exists()
    assert json.loads(progress.read_text())["step"] < 5, "it was killed too late to show anything"
    assert main(arguments) == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "scenes").symlink_to(scenes)
    assert main(options(other, "--stages", "points", "--points-steps", "5")) == 0
    resumed, whole = (load_model(one / "last").state_dict() for one in (out, other))
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-4, rtol=1e-3, msg=name)


def test_a_step_changes_what_it_should(out: Path) -> None:
    """The points stage leaves the language model alone."""
    assert main(options(out, "--stages", "points", "--points-steps", "1")) == 0
    before = load_model(out / "last").state_dict()
    more = options(out, "--stages", "points", "perceive", *steps(1))
    assert main(more) == 0
    after = load_model(out / "last").state_dict()
    language = "vlm.model.language_model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(before[language], after[language])
    torch.manual_seed(0)
    assert before["sam.vision_encoder.neck.conv1.weight"].std() > 1e-3, "a dead encoder"


def test_another_model_can_be_trained_to_compare(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = ("--stages", "points", "shapes", "--points-steps", "1", "--shapes-steps", "1")
    changes = ("--set", "focal=false", "super_patch_size=4")
    assert main(options(out, *stages, *changes, "--export", str(tmp_path / "plain"))) == 0
    config = load_model(tmp_path / "plain").config
    assert (config.focal, config.super_patches_per_side) == (False, 5)
    shutil.copytree(out / "scenes", tmp_path / "on" / "scenes")
    start = ("--start", str(tmp_path / "plain"), "--set", "centre_encoding=false")
    assert main(options(tmp_path / "on", *stages, *start)) == 0
    config = load_model(tmp_path / "on" / "last").config
    assert (config.focal, config.centre_encoding) == (False, False)
    shutil.copytree(out / "scenes", tmp_path / "bad" / "scenes")
    assert main(options(tmp_path / "bad", "--set", "super_patch_size=3")) != 0
    assert "does not divide" in capsys.readouterr().err


def test_samples_are_a_function_of_their_index(scenes: Path) -> None:
    cache = SceneCache(scenes)
    assert len(cache) == SCENES
    processor = make_processor(rose_tiny(), cache, seed=0)
    first, again = (Samples(cache, processor, "converse", 4, 3, 160) for _ in range(2))
    for key, value in first[2].items():
        np.testing.assert_array_equal(value, again[2][key], err_msg=key)
    batch = to_tensors([first[0], first[1]])
    assert batch["dense_masks"].shape == (2, DENSE_REGIONS, 160, 160)
    assert batch["refine_previous"].shape == (2, 1, 80, 80)
    assert batch["find_text"].shape == batch["find_text_mask"].shape
    assert batch["seek_text"].shape == batch["seek_text_mask"].shape


def test_by_its_shape_alone_only_the_noun_is_learned(scenes: Path) -> None:
    processor = make_processor(rose_tiny(), SceneCache(scenes), seed=0)
    samples = Samples(SceneCache(scenes), processor, "converse", 20, 3, 160)
    alone = []
    for index in range(20):
        sample = samples[index]
        for row in np.flatnonzero(sample["dense_shape_only"]):
            labels = sample["dense_labels"][row]
            alone.append(processor.tokenizer.decode(labels[labels != IGNORED].tolist()))
    assert len(alone) > 10
    assert not [text for text in alone for colour in COLOURS if colour in text.split()]


def test_batches_are_no_longer_than_their_longest_answer(scenes: Path) -> None:
    processor = make_processor(rose_tiny(), SceneCache(scenes), seed=0)
    samples = Samples(SceneCache(scenes), processor, "converse", 4, 3, 160)
    whole = to_tensors([samples[0], samples[1]], cut=False)
    batch = to_tensors([samples[0], samples[1]])
    kinds, parts = ("dense", "find", "refine"), ("names", "labels")
    (kept,) = {batch[f"{kind}_{part}"].shape[-1] for kind in kinds for part in parts}
    assert kept < whole["dense_names"].shape[-1]
    assert all((whole[f"{kind}_labels"][..., kept:] == IGNORED).all() for kind in kinds)
    assert any((batch[f"{kind}_labels"][..., -1] != IGNORED).any() for kind in kinds)


def test_no_training_text_holds_an_unseen_pair(scenes: Path) -> None:
    cache = SceneCache(scenes)
    processor = make_processor(rose_tiny(), cache, seed=0)
    samples = Samples(cache, processor, "converse", 60, 5, 160)
    decode = processor.tokenizer.decode
    texts = []
    for index in range(60):
        sample = samples[index]
        for kind in ("dense", "find", "refine"):
            texts.append(decode(sample[f"{kind}_text"].tolist()))
            answers = np.where(sample[f"{kind}_labels"] == IGNORED, 0, sample[f"{kind}_labels"])
            texts += [decode(row.tolist()) for row in answers]
        texts += [decode(row.tolist()) for row in sample["seek_text"]]
        texts += [decode(row.tolist()) for row in sample["own_texts"].reshape(-1, TEXT_TOKENS)]
    assert any("mug" in text or "ball" in text or "box" in text for text in texts)
    leaked = [
        (pair, text) for text in texts for pair in NOVEL_PAIRS if " ".join(pair) in text.lower()
    ]
    assert not leaked


def test_bad_options_are_named(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(options(out, "--device", "cuda")) == 1
    assert "cuda" in capsys.readouterr().err
    arguments = options(out)
    arguments[arguments.index("--processes") + 1] = "3"
    assert main(arguments) == 1
    assert "3 processes" in capsys.readouterr().err


def test_curves_are_means_over_twenty_steps(tmp_path: Path) -> None:
    with Curve(tmp_path / "curve.csv") as curve:
        for step in range(1, 41):
            curve.add("points", step, {"mask": float(step)})
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert lines == ["points,20,mask,10.5000", "points,40,mask,30.5000"]
