"""Stand-ins for the messages of vision_msgs 4.1, for machines where it is not installed.

They have the fields of the definitions and nothing else, and refuse values of other types, as the
real ones do when field checks are on. They cannot be published.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from std_msgs.msg import Header


class Message:
    """A message with the fields of its class: name -> type, a list for an array of a type."""

    fields: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init__(self, **values: Any) -> None:
        for name, kind in self.fields.items():
            object.__setattr__(self, name, [] if isinstance(kind, list) else kind())
        for name, value in values.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self.fields[name]
        if isinstance(kind, list):
            assert all(type(entry) is kind[0] for entry in value), (name, value)
        else:
            assert type(value) is kind, (name, value)
        object.__setattr__(self, name, value)


def define(name: str, **fields: Any) -> type:
    """Make the class of a message with these fields."""
    return type(name, (Message,), {"fields": MappingProxyType(fields)})


Point2D = define("Point2D", x=float, y=float)
Pose2D = define("Pose2D", position=Point2D, theta=float)
BoundingBox2D = define("BoundingBox2D", center=Pose2D, size_x=float, size_y=float)
BoundingBox3D = define("BoundingBox3D", center=Pose, size=Vector3)
ObjectHypothesis = define("ObjectHypothesis", class_id=str, score=float)
ObjectHypothesisWithPose = define(
    "ObjectHypothesisWithPose", hypothesis=ObjectHypothesis, pose=PoseWithCovariance
)
_RESULTS = [ObjectHypothesisWithPose]
Detection2D = define("Detection2D", header=Header, results=_RESULTS, bbox=BoundingBox2D, id=str)
Detection2DArray = define("Detection2DArray", header=Header, detections=[Detection2D])
Detection3D = define("Detection3D", header=Header, results=_RESULTS, bbox=BoundingBox3D, id=str)
Detection3DArray = define("Detection3DArray", header=Header, detections=[Detection3D])
VisionClass = define("VisionClass", class_id=int, class_name=str)
LabelInfo = define("LabelInfo", header=Header, class_map=[VisionClass], threshold=float)
