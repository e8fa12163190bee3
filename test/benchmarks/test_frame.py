"""The benchmarks measure the calls that they name, and pass everything on unchanged."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import __main__ as command
from benchmarks.frame import TimedRuntime, render_frames, segment_frames, summarise
from rose_ros.errors import ModelError
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime

SLOW = 0.02  # seconds that one call takes
SIDE = 32


class SlowRuntime(Runtime):
    """Sees one bright thing in the upper left quarter; naming it takes ``SLOW``."""

    kind, model_name, device = "fake", "slow", "cpu"

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        return Encoding(*image.shape[:2], (1.0, 1.0), image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        count = int(encoding.features.max() > 0)
        return Candidates(
            np.full(count, 0.9, np.float32),
            np.full((count, 2), 0.25, np.float32),
            np.ones((count, 4), np.float32),
            np.ones((count, 4), np.float32),
        )

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        logits = np.full((len(candidates), SIDE, SIDE), -5, np.float32)
        logits[:, : SIDE // 2, : SIDE // 2] = 5
        return DecodedMasks(logits, np.full(len(candidates), 0.9, np.float32))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        time.sleep(SLOW)
        return [RegionName("thing", 0.9)] * len(logits)


def test_each_step_is_timed_where_it_happens() -> None:
    images = [np.full((48, 64, 3), 200, np.uint8)] * 3
    durations = {duration.step: duration for duration in segment_frames(SlowRuntime(), images)}
    assert {step: duration.count for step, duration in durations.items()} == dict.fromkeys(
        ("encode", "perceive", "decode", "name", "masks and duplicates", "whole frame"), 3
    )
    assert durations["name"].median >= SLOW
    assert durations["whole frame"].median >= durations["name"].median
    assert durations["encode"].median < SLOW


def test_a_step_that_no_frame_needed_is_left_out() -> None:
    steps = [
        duration.step
        for duration in segment_frames(SlowRuntime(), [np.zeros((48, 64, 3), np.uint8)])
    ]
    assert "decode" in steps
    assert "name" not in steps


def test_timing_changes_no_result() -> None:
    image = np.full((48, 64, 3), 200, np.uint8)
    plain = Perceiver(SlowRuntime()).segment(image).segments
    timed = Perceiver(TimedRuntime(SlowRuntime())).segment(image).segments
    assert [s.label for s in timed] == [s.label for s in plain]
    assert [s.area for s in timed] == [s.area for s in plain] == [24 * 32]


def test_durations_are_summarised() -> None:
    duration = summarise("x", [0.1, 0.2, 0.3])
    assert (duration.step, duration.count) == ("x", 3)
    assert duration.median == pytest.approx(0.2)
    assert duration.p95 == pytest.approx(0.29)


def test_scenes_are_rendered_and_timed() -> None:
    images, durations = render_frames(2, 24, 32)
    assert [image.shape for image in images] == [(24, 32, 3)] * 2
    assert [duration.count for duration in durations] == [2, 2]
    assert all(duration.median > 0 for duration in durations)


def test_the_command_writes_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "create_runtime", lambda *_, **__: SlowRuntime())
    file = tmp_path / "bench.json"
    arguments = ["--frames", "1", "--height", "48", "--width", "64", "--json", str(file)]
    assert command.main(arguments) == 0
    written = json.loads(file.read_text())
    assert written["size"] == "64x48"
    assert written["model"]["name"] == "slow"
    assert any(step["step"] == "whole frame" for step in written["model"]["steps"])


def test_the_command_explains_a_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object, **__: object) -> Runtime:
        raise ModelError("model 'x' does not exist")

    monkeypatch.setattr(command, "create_runtime", missing)
    file = tmp_path / "bench.json"
    arguments = ["--frames", "1", "--height", "48", "--width", "64", "--json", str(file)]
    assert command.main(arguments) == 1
    assert "model 'x' does not exist" in capsys.readouterr().err
    assert "tabletop" in json.loads(file.read_text())
