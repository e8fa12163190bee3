"""Results as vision_msgs, for tools that know nothing of rose_ros; where vision_msgs is installed.

A name is its own class: ``class_id`` of a detection is the name itself, and the numbers in a label
image are explained by the LabelInfo of the same stamp.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from geometry_msgs.msg import Pose, Vector3
from numpy.typing import NDArray
from std_msgs.msg import Header

from rose_ros.node.outputs_3d import box_pose
from rose_ros.perception.geometry import SegmentGeometry
from rose_ros.perception.masks import instance_image
from rose_ros.perception.segments import Label, Segment, SegmentedFrame

#: What vision_msgs reserves for pixels that belong to nothing, in 16 bits.
UNLABELLED = 65535


def find_messages() -> ModuleType | None:
    """Return vision_msgs' messages, or None where it is not installed."""
    try:
        return importlib.import_module("vision_msgs.msg")
    except ImportError:
        return None


class NameTable:
    """Gives every name a number that holds while the table lives."""

    def __init__(self, capacity: int = UNLABELLED) -> None:
        """Number at most ``capacity`` names, from 0; when they are used up begin anew."""
        self._capacity = capacity
        self._numbers: dict[str, int] = {}

    def numbers(self, names: Sequence[str]) -> list[int]:
        """Return the number of each name; at most ``capacity`` different ones."""
        new = set(names) - self._numbers.keys()
        if len(self._numbers) + len(new) > self._capacity:
            self._numbers = {}
        return [self._numbers.setdefault(name, len(self._numbers)) for name in names]


class VisionMessages:
    """Makes the messages of vision_msgs 4 (ROS 2 Humble and later)."""

    def __init__(self, messages: ModuleType | Any) -> None:
        """Keep the module vision_msgs.msg."""
        self._messages = messages

    def detections(self, frame: SegmentedFrame, header: Header) -> Any:
        """Make a Detection2DArray: boxes in pixels, ``header`` that of the image."""
        detections = [
            self._messages.Detection2D(
                header=header,
                results=self._hypotheses(segment, Pose()),
                bbox=self._box(segment),
                id=_identity(segment),
            )
            for segment in frame.segments
        ]
        return self._messages.Detection2DArray(header=header, detections=detections)

    def detections_3d(
        self, frame: SegmentedFrame, geometry: Sequence[SegmentGeometry | None], header: Header
    ) -> Any:
        """Make a Detection3DArray of the segments with depth: boxes in metres."""
        detections = []
        for segment, where in zip(frame.segments, geometry, strict=True):
            if where is None:
                continue
            pose = box_pose(where.box)
            x, y, z = where.box.size
            box = self._messages.BoundingBox3D(center=pose, size=Vector3(x=x, y=y, z=z))
            detections.append(
                self._messages.Detection3D(
                    header=header,
                    results=self._hypotheses(segment, pose),
                    bbox=box,
                    id=_identity(segment),
                )
            )
        return self._messages.Detection3DArray(header=header, detections=detections)

    def label_info(
        self, frame: SegmentedFrame, names: NameTable, header: Header, threshold: float
    ) -> Any:
        """Make a LabelInfo of the names in this frame; ``threshold``: objectness of a segment."""
        texts = sorted({segment.label.text for segment in frame.segments})
        classes = [
            self._messages.VisionClass(class_id=number, class_name=text)
            for text, number in zip(texts, names.numbers(texts), strict=True)
        ]
        return self._messages.LabelInfo(header=header, class_map=classes, threshold=threshold)

    def _hypotheses(self, segment: Segment, pose: Pose) -> list[Any]:
        return [self._hypothesis(label, pose) for label in (segment.label, *segment.alternatives)]

    def _hypothesis(self, label: Label, pose: Pose) -> Any:
        result = self._messages.ObjectHypothesisWithPose()
        result.hypothesis.class_id = label.text
        result.hypothesis.score = float(label.score)
        result.pose.pose = pose
        return result

    def _box(self, segment: Segment) -> Any:
        mask = segment.mask
        box = self._messages.BoundingBox2D(size_x=float(mask.width), size_y=float(mask.height))
        box.center.position.x = mask.x + mask.width / 2.0
        box.center.position.y = mask.y + mask.height / 2.0
        return box


def label_image(frame: SegmentedFrame, names: NameTable) -> NDArray[np.uint16]:
    """Paint (height, width): the number of the name, ``UNLABELLED`` where there is no segment."""
    numbers = names.numbers([segment.label.text for segment in frame.segments])
    values = np.array([UNLABELLED, *numbers], np.uint16)
    return values[instance_image(frame.segments, frame.height, frame.width)]


def _identity(segment: Segment) -> str:
    """Write the identity; empty while untracked."""
    return str(segment.id) if segment.id else ""
