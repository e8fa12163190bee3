"""Every parameter of the perception node, in one table, and what may be said of one camera."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from rose_ros.perception.session import SessionOptions
from rose_ros.runtime import RUNTIMES

TRANSPORTS = ("auto", "raw", "compressed")
RELIABILITIES = ("auto", "reliable", "best_effort")
#: What is set for one camera alone is called "camera.<name>.<key>".
CAMERA_PREFIX = "camera."

#: A camera's name is part of its topics' names.
_CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

_DEFAULTS = SessionOptions()
#: Parameters that are options of perception: by name in the dataclass that holds the default.
PERCEIVER = (
    "text",
    "objectness_threshold",
    "find_threshold",
    "refine_threshold",
    "quality_threshold",
    "duplicate_iou",
    "min_share",
    "max_segments",
    "close_ups",
)
TRACKER = (
    "min_iou",
    "max_missed_seconds",
    "forget_seconds",
    "switch_margin",
    "naming_interval",
)
SESSION = ("history_frames", "history_seconds", "max_mask_corrections")
#: Groups of parameters begin with these.
TRACKING, DIAGNOSTICS = "tracking.", "diagnostics."


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
            allowed = ", ".join(choice or '""' for choice in self.choices)
            return f"{self.name} is {value!r}; choose one of {allowed}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} is {value}; give a finite number"
        if self.name in ("cameras", "image_topics") and not _distinct_names(value):
            return f"{self.name} is {list(value)}; give distinct names, none of them empty"
        if self.name == "cameras":
            return next((_name_problem(name) for name in value if _name_problem(name)), None)
        return None


def _distinct_names(values: Iterable[str]) -> bool:
    names = list(values)
    return bool(names) and all(names) and len(set(names)) == len(names)


def _name_problem(name: str) -> str | None:
    if _CAMERA_NAME.fullmatch(name):
        return None
    return f"camera name {name[:80]!r} cannot be part of a topic; use letters, digits and _"


def _option(
    name: str, description: str, minimum: float | None = None, maximum: float | None = None
) -> Spec:
    """Describe an option of perception, which has its default there."""
    if name.startswith(TRACKING):
        default = getattr(_DEFAULTS.tracker, name.removeprefix(TRACKING))
    else:
        default = getattr(_DEFAULTS if name in SESSION else _DEFAULTS.perceiver, name)
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
        "threads",
        0,
        "CPU threads of the network, with onnx or torch; 0: as many as the node may use cores.",
        Change.UNCONFIGURED,
        0,
        256,
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
        "reliability",
        "auto",
        'QoS to ask for: "reliable", "best_effort", or "auto": reliable while all publishers of '
        "the topic offer it.",
        Change.UNCONFIGURED,
        choices=RELIABILITIES,
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
        "depth_tolerance",
        0.02,
        "Seconds that the stamps of a depth image and its image may be apart.",
        Change.ALWAYS,
        0.0,
        10.0,
    ),
    Spec(
        "depth_wait",
        0.05,
        "Seconds to wait at most for the depth of an image that is segmented already.",
        Change.ALWAYS,
        0.0,
        1.0,
    ),
    Spec(
        "max_depth",
        10.0,
        "Metres; depth beyond is taken as not measured.",
        Change.ALWAYS,
        0.1,
        1000.0,
    ),
    Spec(
        "vision_msgs",
        True,
        "Publish detections and label images, too, where the package vision_msgs is installed.",
        Change.UNCONFIGURED,
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
    Spec(
        "max_refine_rate",
        10.0,
        "Refinements per second at most, a second's worth at once; more are answered with BUSY. "
        "0 means any number.",
        Change.ALWAYS,
        0.0,
        1000.0,
    ),
    Spec(
        "watchdog_seconds",
        60.0,
        "Seconds on one frame or request after which the process ends with code 1, to be started "
        "anew; loading the model does not count. 0 means never.",
        Change.ALWAYS,
        0.0,
        86400.0,
    ),
    Spec(
        "max_failures",
        100,
        "Frames in a row that the model may fail on before the process ends with code 1. "
        "0 means any number.",
        Change.ALWAYS,
        0,
        1000000,
    ),
    _option("text", "Instruction that says what to segment; empty means everything."),
    _option("objectness_threshold", "Probability from which on something is one instance.", 0, 1),
    _option("find_threshold", "The same for what find looks for.", 0, 1),
    _option("refine_threshold", "The same for the result of a correction.", 0, 1),
    _option("quality_threshold", "Predicted IoU from which on a mask is kept.", 0, 1),
    _option("duplicate_iou", "Of masks that overlap by more than this IoU the best is kept.", 0, 1),
    _option("min_share", "Smallest segment, as a share of the image's area.", 0, 1),
    _option("max_segments", "Segments per frame at most.", 1, 1024),
    _option(
        "close_ups",
        "Things with unsure names that are looked at again in a close-up, per frame at most; each "
        "takes about as long as a frame.",
        0,
        64,
    ),
    _option("tracking.min_iou", "Masks that overlap this much may be one object.", 0, 1),
    _option("tracking.max_missed_seconds", "How long an object may be out of sight.", 0, 3600),
    _option("tracking.forget_seconds", "The same, however slow the frames are.", 0, 3600),
    _option("tracking.switch_margin", "How many times more votes another name needs.", 1, 100),
    _option(
        "tracking.naming_interval",
        "Frames after which a steady object is named anew; 1 names everything in every frame.",
        1,
        1000,
    ),
    _option("history_frames", "Frames per camera that requests may speak of.", 1, 1000),
    _option("history_seconds", "Seconds of frames that requests may speak of.", 0, 3600),
    _option("max_mask_corrections", "Mask corrections that are kept up in each frame.", 0, 100),
    Spec(
        "diagnostics.silent_seconds",
        2.0,
        "Seconds without a frame after which a camera is reported.",
        Change.ALWAYS,
        0.1,
        3600.0,
    ),
    Spec(
        "diagnostics.age_budget",
        0.0,
        "Seconds; a camera is reported when 5 % of its arrays are older. 0 means any age.",
        Change.ALWAYS,
        0.0,
        3600.0,
    ),
    Spec(
        "diagnostics.max_skipped",
        0.5,
        "Share of the frames to be processed; a camera is reported when more are skipped. "
        "Frames above max_rate do not count.",
        Change.ALWAYS,
        0.0,
        1.0,
    ),
    Spec(
        "diagnostics.stuck_seconds",
        30.0,
        "Seconds on one frame or request after which the model is reported as stuck.",
        Change.ALWAYS,
        1.0,
        3600.0,
    ),
)

#: What can be said of one camera alone; the defaults mean "as the parameter for all cameras says".
CAMERA_SPECS: tuple[Spec, ...] = (
    Spec(
        "image_topic",
        "",
        "Its image topic; empty: its entry in image_topics.",
        Change.UNCONFIGURED,
    ),
    Spec(
        "depth_topic",
        "",
        "Depth that is aligned to its image, in millimetres (16UC1) or metres (32FC1); empty: "
        "nothing is published in 3D.",
        Change.UNCONFIGURED,
    ),
    Spec(
        "camera_info_topic",
        "",
        "Calibration of the depth image; empty: camera_info beside depth_topic.",
        Change.UNCONFIGURED,
    ),
    Spec(
        "transport",
        "",
        "As transport, for this camera; empty: as transport says.",
        Change.UNCONFIGURED,
        choices=("", *TRANSPORTS),
    ),
    Spec(
        "reliability",
        "",
        "As reliability, for this camera; empty: as reliability says.",
        Change.UNCONFIGURED,
        choices=("", *RELIABILITIES),
    ),
    Spec(
        "max_rate",
        -1.0,
        "As max_rate, for this camera; 0: no limit, negative: as max_rate says.",
        Change.ALWAYS,
        -1.0,
        1000.0,
    ),
)

_BY_NAME = {spec.name: spec for spec in SPECS}
_BY_KEY = {spec.name: spec for spec in CAMERA_SPECS}


def camera_parameter(camera: str, key: str) -> str:
    """Return the name of a parameter of one camera."""
    return f"{CAMERA_PREFIX}{camera}.{key}"


def unknown_key(name: str, cameras: Sequence[str]) -> str | None:
    """Say what is wrong with the name of a camera's parameter; None for any other name."""
    if not name.startswith(CAMERA_PREFIX):
        return None
    camera, _, key = name.removeprefix(CAMERA_PREFIX).partition(".")
    if camera not in cameras:
        return f"{name}: there is no camera {camera!r}; cameras are {', '.join(cameras)}"
    if key not in _BY_KEY:
        close = difflib.get_close_matches(key, _BY_KEY, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{name}: a camera has no key {key!r}; keys are {', '.join(_BY_KEY)}{hint}"
    return None


def spec_of(name: str) -> Spec | None:
    """Return what is known of a parameter, also of one of a camera."""
    if name.startswith(CAMERA_PREFIX):
        return _BY_KEY.get(name.rpartition(".")[2])
    return _BY_NAME.get(name)
