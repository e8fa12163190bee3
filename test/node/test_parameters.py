"""The table of parameters and the file that documents it say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from rclpy.exceptions import ParameterException
from rclpy.parameter import Parameter

from rose_ros.errors import RequestError
from rose_ros.node.parameters import SPECS, Change
from rose_ros.node.settings import Settings, declare, declare_cameras, review, undeclared

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


class Declared:
    """Of a node, what parameters need: overrides go before defaults."""

    def __init__(self, overrides: dict[str, object]) -> None:
        self._parameter_overrides = {
            name: Parameter(name, value=value) for name, value in overrides.items()
        }
        self._values: dict[str, Parameter] = {}

    def declare_parameter(self, name: str, default: object, _: object) -> Parameter:
        given = self._parameter_overrides.get(name, Parameter(name, value=default))
        return self._values.setdefault(name, given)

    def undeclare_parameter(self, name: str) -> None:
        del self._values[name]

    def has_parameter(self, name: str) -> bool:
        return name in self._values

    def get_parameter(self, name: str) -> Parameter:
        return self._values[name]

    def get_parameter_or(self, name: str, other: Parameter) -> Parameter:
        return self._values.get(name, other)

    def get_parameters_by_prefix(self, prefix: str) -> dict[str, Parameter]:
        start = f"{prefix}."
        return {n[len(start) :]: p for n, p in self._values.items() if n.startswith(start)}


def read(**overrides: object) -> Settings:
    """Declare and read the parameters of a node that is given ``overrides``."""
    return declare(Declared({name.replace("__", "."): v for name, v in overrides.items()}))


def test_parameters_of_cameras_follow_the_list() -> None:
    node = Declared({})
    declare(node)
    assert undeclared(node, ["max_rate", "camera.camera.max_rate"]) is None
    node._values["cameras"] = Parameter("cameras", value=["front", "left"])
    declare_cameras(node)
    assert undeclared(node, ["camera.front.max_rate", "camera.left.transport"]) is None
    assert "there is no camera 'camera'" in str(undeclared(node, ["camera.camera.max_rate"]))
    assert undeclared(node, ["nothing"]) == "there is no parameter nothing"


def test_what_differs_for_one_camera() -> None:
    settings = read(
        cameras=["front", "left"],
        image_topics=["a", "b"],
        transport="raw",
        max_rate=5.0,
        camera__left__image_topic="c",
        camera__left__max_rate=0.0,
        camera__left__reliability="best_effort",
    )
    settings.check()
    front, left = settings.cameras
    assert (front.name, front.image_topic, front.transport) == ("front", "a", "raw")
    assert (front.reliability, front.max_rate) == ("auto", 5.0)
    assert (left.name, left.image_topic, left.transport) == ("left", "c", "raw")
    assert (left.reliability, left.max_rate) == ("best_effort", 0.0)
    assert settings.output("left", "segments") == "left/segments"
    assert read().output("camera", "segments") == "segments"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"cameras": ["a", "b"]}, "no image topic for camera a, b"),
        ({"cameras": ["a", "b"], "camera__a__image_topic": "x"}, "no image topic for camera b"),
        (
            {"cameras": ["a", "b"], "image_topics": ["x", "y"], "camera__a__image_topic": "y"},
            "a topic of its own",
        ),
    ],
)
def test_cameras_without_a_topic_of_their_own(overrides: dict, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        read(**overrides).check()


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"camera__camera__max_rat": 1.0}, "did you mean max_rate?"),
        ({"camera__top__max_rate": 1.0}, "there is no camera 'top'"),
        ({"camera__camera__transport": "pigeon"}, "choose one of"),
        ({"cameras": ["a/b"]}, "cannot be part of a topic"),
        ({"cameras": ["2nd"]}, "cannot be part of a topic"),
    ],
)
def test_wrong_cameras_are_refused(overrides: dict, reason: str) -> None:
    with pytest.raises(ParameterException, match=re.escape(reason)):
        read(**overrides)
