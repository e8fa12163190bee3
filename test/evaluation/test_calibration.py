"""Scores become probabilities: the fit, the file, what is published, what is measured."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.cli import main
from rose_ros.data.tabletop.scene import Scene, SceneObject
from rose_ros.errors import ModelError
from rose_ros.evaluation import evaluate as module
from rose_ros.evaluation.calibration import (
    BINS,
    Scored,
    collect,
    draw_reliability,
    fit,
    measure,
    measure_all,
)
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.selection import PerceiverOptions
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime
from rose_ros.runtime.calibration import (
    FILE,
    Calibration,
    Curve,
    logit,
    read_calibration,
    write_calibration,
)
from rose_ros.runtime.checked import CheckedRuntime
from rose_ros.runtime.manifest import hash_checkpoint

SIDE, CELL = 64, 16
HEIGHT = WIDTH = SIDE
#: Objectness of 0.9 is right in 60 %, of 0.5 in 20 %; names of 0.8 are right in half.
RIGHT = {0.9: 0.6, 0.5: 0.2}


class ScriptedRuntime(Runtime):
    """Sees cells of 16 x 16 px: red says the objectness, green whether the name will be right.

    In close-ups it sees nothing.
    """

    kind, model_name, device = "test", "scripted", "cpu"

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        looks = np.zeros((4, 4, 3), np.uint8)
        if image.shape[:2] == (HEIGHT, WIDTH):
            looks = image[CELL // 2 :: CELL, CELL // 2 :: CELL]
        return Encoding(*image.shape[:2], (1.0, 1.0), looks, image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        cells = encoding.features
        places = np.argwhere(cells[..., 0] > 0)
        index = np.array([row * 4 + column for row, column in places], int)
        codes = np.eye(16, dtype=np.float32)[index].reshape(-1, 16)
        objectness = np.array([cells[r, c, 0] / 100 for r, c in places], np.float32)
        centres = (places[:, ::-1].astype(np.float32) + 0.5) / 4
        return Candidates(objectness, centres.reshape(-1, 2), codes, codes)

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        logits = np.full((len(candidates), SIDE, SIDE), -5.0, np.float32)
        for logit_map, index in zip(logits, candidates.mask_embeddings.argmax(1), strict=True):
            row, column = divmod(int(index), 4)
            logit_map[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 5.0
        return DecodedMasks(logits, np.full(len(candidates), 0.9, np.float32))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        cells = encoding.features.reshape(16, 3)
        chosen = category_embeddings.argmax(axis=1)
        return [RegionName("red mug" if cells[i, 1] else "something", 0.8) for i in chosen]


def make_scene(seed: int) -> Scene:
    """Make a scene of cells: some are things, the model thinks that more of them are."""
    rng = np.random.default_rng(seed)
    objectness = rng.choice([0.0, *RIGHT], 16, p=[0.5, 0.25, 0.25])
    is_thing = rng.random(16) < [RIGHT.get(float(value), 0.0) for value in objectness]
    cells = np.zeros((16, 3), np.uint8)
    cells[:, 0] = np.round(100 * objectness)
    cells[:, 1] = rng.random(16) < 0.5
    grow = np.ones((CELL, CELL), np.uint8)
    image = np.stack([np.kron(cells[:, k].reshape(4, 4), grow) for k in range(3)], axis=-1)
    ids = np.kron(np.where(is_thing, np.arange(16) + 2, 1).reshape(4, 4), grow).astype(np.uint8)
    objects = [SceneObject(1, "table", "", (0, 0, 0), (1, 1, 1))]
    objects += [SceneObject(i + 2, "mug", "red", (0, 0, 0), (1, 1, 1)) for i in range(16)]
    flat = np.ones((SIDE, SIDE), np.float32)
    normals = np.zeros((SIDE, SIDE, 3), np.float16)
    parts = np.zeros((SIDE, SIDE), np.uint8)
    return Scene(image, ids, parts, ("",), flat, normals, np.eye(3), np.eye(4), tuple(objects))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with weights, as far as calibration looks at them."""
    (tmp_path / "model.safetensors").write_bytes(b"weights of one training")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def drawn(slope: float, bias: float, count: int = 20000) -> Scored:
    """Draw scores whose true probabilities follow a curve."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.02, 0.98, count)
    curve = Curve(slope, bias)
    right = rng.random(count) < [curve(score) for score in scores]
    return Scored([float(s) for s in scores], [bool(r) for r in right])


@pytest.mark.parametrize(("slope", "bias"), [(1.0, 0.0), (0.4, -1.0), (2.5, 1.5)])
def test_the_fit_finds_the_curve_that_the_data_follow(slope: float, bias: float) -> None:
    scored = drawn(slope, bias)
    curve = fit(scored)
    assert curve.slope == pytest.approx(slope, abs=0.1)
    assert curve.bias == pytest.approx(bias, abs=0.1)
    measured = measure(scored, curve)
    assert measured["ece"] < 0.02
    assert measured["ece_uncalibrated"] > 0.1 or slope == 1.0


@pytest.mark.parametrize(
    "scored",
    [
        Scored(),
        Scored([0.9], [True]),
        Scored([0.9] * 500, [True] * 500),
        Scored([0.9] * 500, [False] * 500),
        Scored([0.0, 1.0] * 200, [False, True] * 200),
        Scored([0.2] * 200 + [0.8] * 200, [True] * 200 + [False] * 200),
        Scored([0.0, 1.0] * 200, [True, False] * 200),
    ],
    ids=["none", "one", "all-right", "all-wrong", "apart", "upside-down", "upside-down-ends"],
)
def test_the_fit_is_finite_and_rises_whatever_the_data(scored: Scored) -> None:
    curve = fit(scored)
    values = [curve(score) for score in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert values == sorted(values)
    assert all(0.0 <= value <= 1.0 for value in values)
    if scored.right:
        rate = np.mean(scored.right)
        mean = np.mean([curve(score) for score in scored.scores])
        assert abs(mean - rate) <= abs(np.mean(scored.scores) - rate) + 1e-6


def test_no_data_change_nothing() -> None:
    assert fit(Scored()) == Curve()
    empty = measure(Scored(), Curve())
    assert (empty["ece"], empty["n"], len(empty["bins"])) == (None, 0, BINS)


def test_the_error_counted_by_hand() -> None:
    scored = Scored([0.95] * 4 + [0.35] * 2, [True, True, True, False, True, False])
    result = measure(scored, Curve())
    assert result["ece"] == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)
    assert result["brier"] == pytest.approx(
        (3 * 0.05**2 + 0.95**2 + 0.65**2 + 0.35**2) / 6, abs=1e-9
    )
    assert [one["n"] for one in result["bins"]] == [0, 0, 0, 2, 0, 0, 0, 0, 0, 4]
    assert measure(Scored([1.0], [True]), Curve())["bins"][-1]["n"] == 1


def test_collecting_sees_what_matches_and_what_is_named_right() -> None:
    runtime = ScriptedRuntime()
    runtime.calibration = Calibration(Curve(0.1, 3.0), Curve(0.1, 3.0))
    collected = collect(Perceiver(runtime), (make_scene(seed) for seed in range(150)))
    for score, share in RIGHT.items():
        right = [
            r
            for s, r in zip(collected.objectness.scores, collected.objectness.right, strict=True)
            if s == pytest.approx(score)
        ]
        assert np.mean(right) == pytest.approx(share, abs=0.06)
    assert len(collected.name.scores) == sum(collected.objectness.right)
    assert set(collected.name.scores) == {0.8}
    assert np.mean(collected.name.right) == pytest.approx(0.5, abs=0.06)


def test_the_file_is_read_back_and_small(folder: Path) -> None:
    assert read_calibration(folder) == Calibration()
    calibration = Calibration(Curve(0.5, -1.0), Curve(2.0, 0.25))
    before = hash_checkpoint(folder)
    path = write_calibration(folder, calibration, {"command": "test"})
    assert read_calibration(folder) == calibration
    assert path.stat().st_size < 2000
    assert hash_checkpoint(folder) == before  # exported graphs stay what they are


def test_a_file_of_other_weights_is_left_out(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_calibration(folder, Calibration(Curve(0.5, -1.0), Curve()), {})
    (folder / "model.safetensors").write_bytes(b"weights of the next one")
    assert read_calibration(folder) == Calibration()
    assert "other weights" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"format": 1}',
        '{"format": 2}',
        '{"format": 1, "objectness": {"slope": 0, "bias": 0}, "name": {"slope": 1, "bias": 0}}',
        '{"format": 1, "objectness": {"slope": NaN, "bias": 0}, "name": {"slope": 1, "bias": 0}}',
        '{"format": 1, "objectness": {"slope": "1", "bias": 0}, "name": {"slope": 1, "bias": 0}}',
    ],
)
def test_a_broken_file_is_refused(folder: Path, text: str) -> None:
    (folder / FILE).write_text(text)
    with pytest.raises(ModelError):
        read_calibration(folder)


def test_thresholds_go_by_the_raw_and_what_is_published_by_the_curve() -> None:
    runtime = ScriptedRuntime()
    options = PerceiverOptions(objectness_threshold=0.4)
    scene = make_scene(3)
    plain = Perceiver(runtime, options).segment(scene.image)
    runtime.calibration = Calibration(Curve(1.0, -2.0), Curve(0.5, -0.5))
    # What vouches for a runtime passes its calibration on.
    frame = Perceiver(CheckedRuntime(runtime), options).segment(scene.image)
    assert len(frame.segments) == len(plain.segments) > 2
    for segment, before in zip(frame.segments, plain.segments, strict=True):
        assert segment.area == before.area
        assert logit(segment.score) == pytest.approx(logit(before.score) - 2.0)
        assert logit(segment.label.score) == pytest.approx(0.5 * logit(0.8) - 0.5)
    assert min(segment.score for segment in frame.segments) < options.objectness_threshold


def test_tracked_segments_are_published_calibrated() -> None:
    runtime = ScriptedRuntime()
    image = make_scene(3).image
    plain = PerceptionSession(runtime, SessionOptions())
    runtime_calibrated = ScriptedRuntime()
    runtime_calibrated.calibration = Calibration(Curve(1.0, -2.0), Curve(0.5, -0.5))
    calibrated = PerceptionSession(runtime_calibrated, SessionOptions())
    for stamp in range(1, 4):
        before = plain.process(image, stamp_ns=stamp)
        after = calibrated.process(image, stamp_ns=stamp)
    assert [s.id for s in after.segments] == [s.id for s in before.segments]
    for segment, one in zip(after.segments, before.segments, strict=True):
        assert segment.label.text == one.label.text
        assert logit(segment.score) == pytest.approx(logit(one.score) - 2.0, abs=1e-4)
        assert logit(segment.label.score) == pytest.approx(0.5 * logit(0.8) - 0.5, abs=1e-4)


def test_calibrate_then_evaluate(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def create(*_: object, **__: object) -> ScriptedRuntime:
        runtime = ScriptedRuntime()
        runtime.calibration = read_calibration(folder)
        return runtime

    seeds: list[int] = []

    def fake_render(seed: int, split: str, **_: int) -> Scene:
        seeds.append(seed)
        return make_scene(seed)

    monkeypatch.setattr("rose_ros.runtime.create_runtime", create)
    monkeypatch.setattr(module, "render", fake_render)
    assert main(["calibrate", "--model", str(folder), "--scenes", "120"]) == 0
    assert (seeds[0], len(seeds)) == (200_000, 120)
    assert FILE in capsys.readouterr().out
    calibration = read_calibration(folder)
    assert calibration.objectness(0.9) == pytest.approx(0.6, abs=0.08)
    assert calibration.objectness(0.5) == pytest.approx(0.2, abs=0.08)
    assert calibration.name(0.8) == pytest.approx(0.5, abs=0.08)
    assert json.loads((folder / FILE).read_text())["made"]["objectness"]["n"] > 500

    # Again, from what is calibrated already: the same curves.
    assert main(["calibrate", "--model", str(folder), "--scenes", "120", "--json"]) == 0
    assert read_calibration(folder) == calibration
    capsys.readouterr()

    plot = tmp_path / "plots" / "reliability.png"
    arguments = ["evaluate", "--task", "calibration", "--scenes", "100", "--model", str(folder)]
    assert main([*arguments, "--json", "--plot", str(plot)]) == 0
    result = json.loads(capsys.readouterr().out)
    for name in ("objectness", "name"):
        assert result[name]["ece"] < 0.06 < 0.2 < result[name]["ece_uncalibrated"]
    assert result["run"]["scenes"] == 100
    assert cv2.imread(str(plot)).shape[2] == 3
    assert main(arguments) == 0
    assert "ece" in capsys.readouterr().out
    assert main(["evaluate", "--task", "find", "--plot", str(plot)]) == 1


def test_the_diagram_shows_the_bars() -> None:
    collected = collect(Perceiver(ScriptedRuntime()), (make_scene(seed) for seed in range(20)))
    image = draw_reliability(measure_all(collected, Calibration()))
    empty = draw_reliability(measure_all(collect(Perceiver(ScriptedRuntime()), ()), Calibration()))
    assert image.shape == empty.shape
    blue = (image == (222, 171, 110)).all(axis=-1)
    assert blue[:, : image.shape[1] // 2].any()
    assert blue[:, image.shape[1] // 2 :].any()
    assert not (empty == (222, 171, 110)).all(axis=-1).any()
