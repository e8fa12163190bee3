"""The baseline segments with points and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from rose_ros.cli import main
from rose_ros.data.tabletop import render
from rose_ros.evaluation.points import PointPerceiver
from rose_ros.paths import find_model
from rose_ros.runtime.torch import TorchRuntime


def test_points_find_things_and_names_them() -> None:
    perceiver = PointPerceiver(TorchRuntime(find_model("rose-tiny"), device="cpu"))
    image = render(3, "test", height=120, width=160).image
    frame = perceiver.segment(image)
    assert frame.segments
    assert all(segment.label.text for segment in frame.segments)
    scores = [segment.score for segment in frame.segments]
    assert np.all(np.diff(scores) <= 0)


def test_points_only_segment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--points", "--task", "find", "--scenes", "1"]) != 0
    assert "--points" in capsys.readouterr().err
