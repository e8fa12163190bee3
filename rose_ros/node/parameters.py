"""Every parameter of the perception node, in one table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from rose_ros.errors import RequestError
from rose_ros.perception.session import SessionOptions
from rose_ros.runtime import RUNTIMES

TRANSPORTS = ("auto", "raw", "compressed")

_DEFAULTS = SessionOptions()
#: Parameters that are options of perception: by name in the dataclass that holds the default.
_PERCEIVER = (
    "text",
    "objectness_threshold",
    "find_threshold",
    "refine_threshold",
    "quality_threshold",
    "duplicate_iou",
    "min_share",
    "max_segments",
)
_TRACKER = ("min_iou", "max_missed_seconds", "forget_seconds", "switch_margin")
_SESSION = ("history_frames", "history_seconds", "max_mask_corrections")
_TRACKING = "tracking."


class Change(Enum):
    """When a parameter may change."""

    NEVER = "fixed when the node starts"
    UNCONFIGURED = "can change while the node is unconfigured"
    ALWAYS = "can change at any time, takes effect with the next frame"


@dataclass(frozen=True, slots=True)
class Spec:
    """One parameter: its default, what it is for, when it may change and what it may be."""

    name: str
    default: bool | int | float | str | list[str]
    description: str
    change: Change
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """Describe the parameter to ROS."""
        descriptor = ParameterDescriptor(
            description=f"{self.description} ({self.change.value})",
            additional_constraints=f"one of {', '.join(self.choices)}" if self.choices else "",
            read_only=self.change is Change.NEVER,
        )
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(self.minimum), to_value=float(self.maximum))
                ]
            else:
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum))
                ]
        return descriptor

    def problem(self, value: Any) -> str | None:
        """Say what is wrong with a value; ROS itself has checked its type and range."""
        if value is None:  # what an empty list in YAML becomes
            return f"{self.name} is empty; give at least one value"
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}; choose one of {', '.join(self.choices)}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} is {value}; give a finite number"
        if self.name in ("cameras", "image_topics") and not _distinct_names(value):
            return f"{self.name} is {list(value)}; give distinct names, none of them empty"
        return None


def _distinct_names(values: Iterable[str]) -> bool:
    names = list(values)
    return bool(names) and all(names) and len(set(names)) == len(names)


def _option(
    name: str, description: str, minimum: float | None = None, maximum: float | None = None
) -> Spec:
    """Describe an option of perception, which has its default there."""
    if name.startswith(_TRACKING):
        default = getattr(_DEFAULTS.tracker, name.removeprefix(_TRACKING))
    else:
        default = getattr(_DEFAULTS if name in _SESSION else _DEFAULTS.perceiver, name)
    return Spec(name, default, description, Change.ALWAYS, minimum, maximum)


SPECS: tuple[Spec, ...] = (
    Spec(
        "autostart",
        True,
        "Configure and activate by itself; set to false when a lifecycle manager does it.",
        Change.NEVER,
    ),
    Spec(
        "model",
        "rose-tiny",
        "Name of a shipped model, or the path of a checkpoint folder.",
        Change.UNCONFIGURED,
    ),
    Spec(
        "runtime",
        "auto",
        "What runs the network.",
        Change.UNCONFIGURED,
        choices=RUNTIMES,
    ),
    Spec(
        "device",
        "auto",
        'Where the network runs: "auto", "cpu" or a CUDA device such as "cuda:0".',
        Change.UNCONFIGURED,
    ),
    Spec(
        "cameras",
        ["camera"],
        "Names of the cameras, as published; one for each entry of image_topics.",
        Change.UNCONFIGURED,
    ),
    Spec(
        "image_topics",
        ["image"],
        "Image topic of each camera; compressed images come on <topic>/compressed.",
        Change.UNCONFIGURED,
    ),
    Spec(
        "transport",
        "auto",
        'Which topics to subscribe: "raw", "compressed", or "auto" for both; '
        "compressed images are then ignored while raw ones come.",
        Change.UNCONFIGURED,
        choices=TRANSPORTS,
    ),
    Spec(
        "max_rate",
        0.0,
        "Frames per second and camera to process at most; 0 means as many as the model can.",
        Change.ALWAYS,
        0.0,
        1000.0,
    ),
    Spec(
        "max_age",
        0.0,
        "Seconds; older frames are dropped and counted as stale. 0 means any age.",
        Change.ALWAYS,
        0.0,
        3600.0,
    ),
    Spec(
        "refine_timeout_default",
        5.0,
        "Seconds until a refine or find is answered at the latest when it does not say.",
        Change.ALWAYS,
        0.05,
        60.0,
    ),
    Spec(
        "refine_timeout_max",
        15.0,
        "Seconds; a refine or find that asks for more is given this much.",
        Change.ALWAYS,
        0.05,
        60.0,
    ),
    Spec(
        "max_waiting_requests",
        4,
        "Requests that may wait for the model; more are answered with BUSY.",
        Change.NEVER,
        1,
        32,
    ),
    _option("text", "Instruction that says what to segment; empty means everything."),
    _option("objectness_threshold", "Probability from which on something is one instance.", 0, 1),
    _option("find_threshold", "The same for what find looks for.", 0, 1),
    _option("refine_threshold", "The same for the result of a correction.", 0, 1),
    _option("quality_threshold", "Predicted IoU from which on a mask is kept.", 0, 1),
    _option("duplicate_iou", "Of masks that overlap by more than this IoU the best is kept.", 0, 1),
    _option("min_share", "Smallest segment, as a share of the image's area.", 0, 1),
    _option("max_segments", "Segments per frame at most.", 1, 1024),
    _option("tracking.min_iou", "Masks that overlap this much may be one object.", 0, 1),
    _option("tracking.max_missed_seconds", "How long an object may be out of sight.", 0, 3600),
    _option("tracking.forget_seconds", "The same, however slow the frames are.", 0, 3600),
    _option("tracking.switch_margin", "How many times more votes another name needs.", 1, 100),
    _option("history_frames", "Frames per camera that requests may speak of.", 1, 1000),
    _option("history_seconds", "Seconds of frames that requests may speak of.", 0, 3600),
    _option("max_mask_corrections", "Mask corrections that are kept up in each frame.", 0, 100),
)

_BY_NAME = {spec.name: spec for spec in SPECS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of all parameters at one moment; times are seconds."""

    autostart: bool
    model: str
    runtime: str
    device: str
    cameras: tuple[str, ...]
    image_topics: tuple[str, ...]
    transport: str
    max_rate: float
    max_age: float
    refine_timeout_default: float
    refine_timeout_max: float
    max_waiting_requests: int
    options: SessionOptions

    def check(self) -> None:
        """Check what no single parameter can show; raise ``RequestError``."""
        if len(self.cameras) != len(self.image_topics):
            raise RequestError(
                f"cameras names {len(self.cameras)} and image_topics {len(self.image_topics)} "
                f"({list(self.cameras)}, {list(self.image_topics)}); give one topic per camera"
            )


def declare(node: Node) -> Settings:
    """Declare all parameters; raise rclpy's ``ParameterException`` with what is wrong."""
    for spec in SPECS:
        value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
        problem = spec.problem(value)
        if problem is not None:
            raise InvalidParameterValueException(spec.name, value, problem)
    return read(node)


def read(node: Node) -> Settings:
    """Read the values that hold now."""
    values = {spec.name: node.get_parameter(spec.name).value for spec in SPECS}
    perceiver = {name: values.pop(name) for name in _PERCEIVER}
    tracker = {name: values.pop(_TRACKING + name) for name in _TRACKER}
    session = {name: values.pop(name) for name in _SESSION}
    options = SessionOptions(
        perceiver=replace(_DEFAULTS.perceiver, **perceiver),
        tracker=replace(_DEFAULTS.tracker, **tracker),
        **session,
    )
    values["cameras"] = tuple(values["cameras"])
    values["image_topics"] = tuple(values["image_topics"])
    return Settings(**values, options=options)


def review(parameters: Iterable[Parameter], *, configured: bool) -> SetParametersResult:
    """Say whether new values are allowed now, with the reason when not; change nothing."""
    for parameter in parameters:
        spec = _BY_NAME.get(parameter.name)
        if spec is None:
            continue
        if configured and spec.change is Change.UNCONFIGURED:
            reason = f"{spec.name} {spec.change.value}; clean up the node first"
            return SetParametersResult(successful=False, reason=reason)
        problem = spec.problem(parameter.value)
        if problem is not None:
            return SetParametersResult(successful=False, reason=problem)
    return SetParametersResult(successful=True)
