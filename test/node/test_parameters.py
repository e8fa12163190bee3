"""The table of parameters and the file that documents it say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rclpy.parameter import Parameter

from rose_ros.node.parameters import SPECS, Change
from rose_ros.node.settings import review

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_file_has_every_parameter_with_its_default() -> None:
    text = (ROOT / "config" / "perception.yaml").read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert values == {spec.name: spec.default for spec in SPECS}
    for spec in SPECS:
        assert type(values[spec.name]) is type(spec.default), spec.name


def test_the_shipped_file_says_when_each_may_change() -> None:
    lines = (ROOT / "config" / "perception.yaml").read_text().splitlines()
    for spec in SPECS:
        row = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{spec.name}:"))
        above = row
        while lines[above - 1].strip().startswith("#"):
            above -= 1
        comment = lines[above]
        assert above < row, f"{spec.name} has no comment"
        assert ("# fixed" in comment) == (spec.change is Change.NEVER), comment
        assert ("# unconfigured" in comment) == (spec.change is Change.UNCONFIGURED), comment


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_defaults_are_allowed_and_described(spec: object) -> None:
    assert spec.problem(spec.default) is None
    descriptor = spec.descriptor()
    assert len(descriptor.description) > 20
    if isinstance(spec.default, float):
        bounds = descriptor.floating_point_range[0]
        assert bounds.from_value <= spec.default <= bounds.to_value
    elif type(spec.default) is int:
        bounds = descriptor.integer_range[0]
        assert bounds.from_value <= spec.default <= bounds.to_value


@pytest.mark.parametrize(
    ("name", "value", "configured", "reason"),
    [
        ("transport", "pigeon", False, "choose one of auto, raw, compressed"),
        ("runtime", "abacus", False, "choose one of"),
        ("max_rate", float("inf"), True, "finite"),
        ("cameras", ["left", "left"], False, "distinct"),
        ("image_topics", [""], False, "distinct"),
        ("model", "other", True, "clean up the node first"),
        ("model", "other", False, ""),
        ("max_rate", 5.0, True, ""),
        ("use_sim_time", True, True, ""),
    ],
)
def test_review(name: str, value: object, configured: bool, reason: str) -> None:
    result = review([Parameter(name, value=value)], configured=configured)
    assert result.successful == (not reason)
    assert reason in result.reason
