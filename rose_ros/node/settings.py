"""The values of all parameters at one moment: declare them, read them, review changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from rose_ros.errors import RequestError
from rose_ros.node.parameters import (
    CAMERA_PREFIX,
    CAMERA_SPECS,
    DIAGNOSTICS,
    PERCEIVER,
    SESSION,
    SPECS,
    TRACKER,
    TRACKING,
    Change,
    Spec,
    camera_parameter,
    spec_of,
    unknown_key,
)
from rose_ros.perception.session import SessionOptions

_DEFAULTS = SessionOptions()


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """How one camera is read; ``max_rate`` is frames per second, 0 means no limit.

    image_topic, depth_topic, camera_info_topic: "" when none was given.
    """

    name: str
    image_topic: str
    transport: str
    reliability: str
    max_rate: float
    depth_topic: str = ""
    camera_info_topic: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on diagnostics warn; seconds, and a share of frames. Age 0 means any."""

    silent_seconds: float = 2.0
    age_budget: float = 0.0
    max_skipped: float = 0.5
    stuck_seconds: float = 30.0


_LIMITS = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of all parameters at one moment; times are seconds."""

    autostart: bool
    model: str
    runtime: str
    device: str
    threads: int
    cameras: tuple[CameraSettings, ...]
    max_age: float
    depth_tolerance: float
    depth_wait: float
    max_depth: float
    vision_msgs: bool
    refine_timeout_default: float
    refine_timeout_max: float
    max_waiting_requests: int
    max_refine_rate: float
    watchdog_seconds: float
    max_failures: int
    options: SessionOptions
    limits: Limits

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return tuple(camera.name for camera in self.cameras)

    def check(self) -> None:
        """Check what no single parameter can show; raise ``RequestError``."""
        topics = [camera.image_topic for camera in self.cameras]
        missing = [camera.name for camera in self.cameras if not camera.image_topic]
        if missing:
            raise RequestError(
                f"no image topic for camera {', '.join(missing)} of {', '.join(self.names)}; "
                "give one topic per camera in image_topics, or camera.<name>.image_topic"
            )
        if len(set(topics)) != len(topics):
            raise RequestError(f"image topics are {topics}; give each camera a topic of its own")

    def output(self, camera: str, name: str) -> str:
        """Return the name of an output topic: with several cameras it begins with the camera's."""
        return name if len(self.cameras) == 1 else f"{camera}/{name}"


def declare(node: Node) -> Settings:
    """Declare all parameters; raise rclpy's ``ParameterException`` with what is wrong."""
    for spec in SPECS:
        _declare(node, spec, spec.name)
    declare_cameras(node)
    cameras = node.get_parameter("cameras").value
    for name in sorted(node._parameter_overrides):
        # What else is in a file may be meant for other nodes; a camera's keys cannot be.
        problem = unknown_key(name, cameras)
        if problem is not None:
            value = node._parameter_overrides[name].value
            raise InvalidParameterValueException(name, value, problem)
    return read(node)


def declare_cameras(node: Node) -> None:
    """Declare what can be said of each camera; forget it for cameras that are not named any more.

    Raises rclpy's ``ParameterException`` with what is wrong.
    """
    cameras = node.get_parameter("cameras").value
    wanted = {camera_parameter(name, spec.name): spec for name in cameras for spec in CAMERA_SPECS}
    known = {f"{CAMERA_PREFIX}{name}" for name in node.get_parameters_by_prefix("camera")}
    for name in known - wanted.keys():
        node.undeclare_parameter(name)
    for name in sorted(wanted.keys() - known):
        _declare(node, wanted[name], name)


def _declare(node: Node, spec: Spec, name: str) -> None:
    value = node.declare_parameter(name, spec.default, spec.descriptor()).value
    problem = spec.problem(value)
    if problem is not None:
        raise InvalidParameterValueException(name, value, problem)


def read(node: Node) -> Settings:
    """Read the values that hold now."""
    values = {spec.name: node.get_parameter(spec.name).value for spec in SPECS}
    perceiver = {name: values.pop(name) for name in PERCEIVER}
    tracker = {name: values.pop(TRACKING + name) for name in TRACKER}
    session = {name: values.pop(name) for name in SESSION}
    options = SessionOptions(
        perceiver=replace(_DEFAULTS.perceiver, **perceiver),
        tracker=replace(_DEFAULTS.tracker, **tracker),
        **session,
    )
    limits = Limits(**{name: values.pop(DIAGNOSTICS + name) for name in _LIMITS})
    names, topics = values.pop("cameras"), values.pop("image_topics")
    common = {key: values.pop(key) for key in ("transport", "reliability", "max_rate")}
    if len(topics) != len(names):
        topics = [""] * len(names)
    cameras = tuple(
        _read_camera(node, name, {"image_topic": topic, **common})
        for name, topic in zip(names, topics, strict=True)
    )
    return Settings(**values, cameras=cameras, options=options, limits=limits)


def _read_camera(node: Node, name: str, common: dict[str, Any]) -> CameraSettings:
    """Read one camera's settings; ``common`` holds what is true of those that do not differ."""
    values = dict(common)
    for spec in CAMERA_SPECS:
        parameter = camera_parameter(name, spec.name)
        # While the list of cameras changes, the parameters of a new one come a moment later.
        value = node.get_parameter_or(parameter, Parameter(parameter, value=spec.default)).value
        if value != "" and not (isinstance(value, float) and value < 0.0):
            values[spec.name] = value
    return CameraSettings(name=name, **values)


def undeclared(node: Node, names: Iterable[str]) -> str | None:
    """Say of the first name that is no parameter of the node what is wrong with it."""
    for name in names:
        if not node.has_parameter(name):
            problem = unknown_key(name, node.get_parameter("cameras").value)
            return problem or f"there is no parameter {name}"
    return None


def review(parameters: Iterable[Parameter], *, configured: bool) -> SetParametersResult:
    """Say whether new values are allowed now, with the reason when not; change nothing."""
    for parameter in parameters:
        spec = spec_of(parameter.name)
        if spec is None:
            continue
        if configured and spec.change is Change.UNCONFIGURED:
            reason = f"{parameter.name} {spec.change.value}; clean up the node first"
            return SetParametersResult(successful=False, reason=reason)
        problem = spec.problem(parameter.value)
        if problem is not None:
            return SetParametersResult(successful=False, reason=problem)
    return SetParametersResult(successful=True)
