"""Messages that say where segments are in space: segments_3d, markers and points."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from rose_ros.msg import Label, Segment3D, Segment3DArray
from rose_ros.perception.boxes import OrientedBox, Vector, quaternion
from rose_ros.perception.geometry import Intrinsics, SegmentGeometry, depth_jumps, locate
from rose_ros.perception.masks import decode_box, instance_image
from rose_ros.perception.overlay import colour_of
from rose_ros.perception.segments import Segment, SegmentedFrame

#: RViz refuses edges of no length.
_THINNEST = 0.001
_BOX_OPACITY = 0.35
#: m: height of the letters, diameter of the balls.
_LETTERS = 0.03
_BALL = 0.012

#: One point: position in metres, colour as 0xRRGGBB, id of the segment (0: none).
_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("instance", "<u4")])
#: The same for PointCloud2; by convention the bits of the colour are declared to be a float.
_FIELDS = [
    PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name="y", offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name="z", offset=8, datatype=PointField.FLOAT32, count=1),
    PointField(name="rgb", offset=12, datatype=PointField.FLOAT32, count=1),
    PointField(name="instance", offset=16, datatype=PointField.UINT32, count=1),
]


def locate_segments(
    frame: SegmentedFrame, metres: NDArray[np.float32], intrinsics: Intrinsics
) -> list[SegmentGeometry | None]:
    """Measure each segment in depth of the frame's size; None for those without enough depth."""
    jumps = depth_jumps(metres)
    return [
        locate(
            decode_box(segment.mask, frame.height, frame.width),
            (segment.mask.x, segment.mask.y),
            segment.anchor,
            metres,
            jumps,
            intrinsics,
        )
        for segment in frame.segments
    ]


def box_pose(box: OrientedBox) -> Pose:
    """Convert centre and orientation of a box."""
    x, y, z, w = quaternion(box.rotation)
    return Pose(position=_point(box.centre), orientation=Quaternion(x=x, y=y, z=z, w=w))


def segment_3d_array(
    frame: SegmentedFrame,
    geometry: Sequence[SegmentGeometry | None],
    header: Header,
    *,
    session_id: int,
    depth_stamp: Time,
) -> Segment3DArray:
    """Make the array of one frame; ``header`` is that of the image."""
    return Segment3DArray(
        header=header,
        camera=frame.camera,
        session_id=session_id,
        sequence=frame.sequence,
        depth_stamp=depth_stamp,
        segments=[
            _segment_3d(index, segment, where)
            for index, (segment, where) in enumerate(zip(frame.segments, geometry, strict=True))
            if where is not None
        ],
    )


def _segment_3d(index: int, segment: Segment, where: SegmentGeometry) -> Segment3D:
    return Segment3D(
        index=index,
        id=int(segment.id),
        label=Label(text=segment.label.text, score=float(segment.label.score)),
        score=float(segment.score),
        position=_point(where.position),
        point=_point(where.point),
        box=box_pose(where.box),
        size=_vector3(where.box.size),
        pixels=where.pixels,
        coverage=where.coverage,
    )


def marker_array(
    frame: SegmentedFrame, geometry: Sequence[SegmentGeometry | None], header: Header
) -> MarkerArray:
    """Draw a box, a ball on the surface and a name for each segment, in place of the last ones."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for index, (segment, where) in enumerate(zip(frame.segments, geometry, strict=True)):
        if where is not None:
            markers += _markers_of(index, segment, where, header)
    return MarkerArray(markers=markers)


def _markers_of(
    index: int, segment: Segment, where: SegmentGeometry, header: Header
) -> list[Marker]:
    red, green, blue = (value / 255.0 for value in colour_of(segment.id))
    box = Marker(header=header, ns="boxes", id=index, type=Marker.CUBE, action=Marker.ADD)
    box.pose = box_pose(where.box)
    x, y, z = (max(edge, _THINNEST) for edge in where.box.size)
    box.scale = _vector3((x, y, z))
    box.color = ColorRGBA(r=red, g=green, b=blue, a=_BOX_OPACITY)

    ball = Marker(header=header, ns="points", id=index, type=Marker.SPHERE, action=Marker.ADD)
    ball.pose.position = _point(where.point)
    ball.scale = _vector3((_BALL, _BALL, _BALL))
    ball.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)

    name = Marker(header=header, ns="names", id=index, type=Marker.TEXT_VIEW_FACING)
    name.action = Marker.ADD
    # y points down: above the highest corner of the box.
    centre_x, centre_y, centre_z = where.box.centre
    half_height = float(np.abs(where.box.rotation[1]) @ np.array(where.box.size)) / 2.0
    name.pose.position = _point((centre_x, centre_y - half_height - _LETTERS, centre_z))
    name.scale.z = _LETTERS
    name.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    name.text = f"{segment.id} {segment.label.text}" if segment.id else segment.label.text
    return [box, ball, name]


def point_cloud(
    frame: SegmentedFrame,
    image: NDArray[np.uint8],
    metres: NDArray[np.float32],
    intrinsics: Intrinsics,
    header: Header,
) -> PointCloud2:
    """Make an organised cloud: one point for each pixel, NaN where nothing was measured.

    image: uint8 (height, width, 3), RGB. metres: float32 (height, width).
    """
    height, width = metres.shape
    points = np.empty((height, width), _POINT)
    x = ((np.arange(width) - intrinsics.cx) / intrinsics.fx).astype(np.float32)
    y = ((np.arange(height) - intrinsics.cy) / intrinsics.fy).astype(np.float32)
    points["x"] = x * metres
    points["y"] = y[:, None] * metres
    points["z"] = metres
    red, green, blue = np.moveaxis(image.astype(np.uint32), 2, 0)
    points["rgb"] = red << 16 | green << 8 | blue
    ids = np.array([0, *(segment.id for segment in frame.segments)], np.uint32)
    points["instance"] = ids[instance_image(frame.segments, height, width)]
    cloud = PointCloud2(header=header, height=height, width=width, is_bigendian=False)
    cloud.fields = _FIELDS
    cloud.point_step = _POINT.itemsize
    cloud.row_step = _POINT.itemsize * width
    cloud.is_dense = bool(np.isfinite(metres).all())
    data = array.array("B")
    data.frombytes(points.reshape(-1).view(np.uint8).data)
    cloud.data = data
    return cloud


def _point(values: Vector) -> Point:
    x, y, z = values
    return Point(x=x, y=y, z=z)


def _vector3(values: Vector) -> Vector3:
    x, y, z = values
    return Vector3(x=x, y=y, z=z)
