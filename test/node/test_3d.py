"""Segments in space: the messages, and when they are computed."""

from __future__ import annotations

import array
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import PointCloud2
from stand_in_node import DepthStub, NodeStub, make_settings, process, rectangle
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from rose_ros.errors import GeometryError
from rose_ros.msg import Segment3DArray
from rose_ros.node import outputs_3d, spatial
from rose_ros.node.pipeline import ProcessedFrame
from rose_ros.perception.geometry import Intrinsics
from rose_ros.perception.segments import SegmentedFrame

HEIGHT, WIDTH = 120, 160
CAMERA = Intrinsics(150.0, 150.0, 79.5, 59.5)
HEADER = Header(stamp=Time(sec=7, nanosec=8), frame_id="lens")


@pytest.fixture
def frame() -> SegmentedFrame:
    """A mug at 1 m, a plate without depth, and another mug at 2 m."""
    segments = (
        rectangle(3, "red mug", (20, 30, 30, 60), (HEIGHT, WIDTH)),
        rectangle(5, "plate", (70, 30, 20, 20), (HEIGHT, WIDTH)),
        rectangle(9, "red mug", (110, 40, 30, 30), (HEIGHT, WIDTH)),
    )
    return SegmentedFrame("front", 7_000_000_008, 12, HEIGHT, WIDTH, segments)


@pytest.fixture
def metres() -> np.ndarray:
    depth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    depth[30:90, 20:50] = 1.0
    depth[30:50, 70:90] = np.nan
    depth[40:70, 110:140] = 2.0
    return depth


class TestMessages:
    """What is made of a frame and its depth."""

    def test_segments_keep_their_place_and_names(
        self, frame: SegmentedFrame, metres: np.ndarray
    ) -> None:
        geometry = outputs_3d.locate_segments(frame, metres, CAMERA)
        message = outputs_3d.segment_3d_array(
            frame, geometry, HEADER, session_id=77, depth_stamp=Time(sec=7, nanosec=9)
        )
        assert message.header == HEADER
        assert (message.camera, message.session_id, message.sequence) == ("front", 77, 12)
        assert message.depth_stamp == Time(sec=7, nanosec=9)
        assert [(one.index, one.id) for one in message.segments] == [(0, 3), (2, 9)]
        mug, far = message.segments
        assert (mug.label.text, mug.label.score, mug.score) == ("red mug", 0.75, 0.5)
        x = (34.5 - 79.5) / 150
        assert (mug.position.x, mug.position.y, mug.position.z) == pytest.approx((x, 0.0, 1.0))
        assert (far.position.z, far.coverage) == (2.0, 1.0)
        # 28 and 58 px of 1 / 150 m: those at the jump to the background do not count.
        assert (mug.size.x, mug.size.y, mug.size.z) == pytest.approx((0.38, 0.18, 0.0), abs=0.02)
        turned = mug.box.orientation
        norm = turned.x**2 + turned.y**2 + turned.z**2 + turned.w**2
        assert norm == pytest.approx(1.0)
        # The point is seen through a pixel of the mask.
        column = mug.point.x / mug.point.z * CAMERA.fx + CAMERA.cx
        row = mug.point.y / mug.point.z * CAMERA.fy + CAMERA.cy
        assert 20 <= column < 50
        assert 30 <= row < 90

    def test_markers_replace_the_ones_before(
        self, frame: SegmentedFrame, metres: np.ndarray
    ) -> None:
        geometry = outputs_3d.locate_segments(frame, metres, CAMERA)
        first, *others = outputs_3d.marker_array(frame, geometry, HEADER).markers
        assert first.action == Marker.DELETEALL
        assert [(marker.ns, marker.id) for marker in others] == [
            (name, index) for index in (0, 2) for name in ("boxes", "points", "names")
        ]
        assert {marker.action for marker in others} == {Marker.ADD}
        assert all(marker.header == HEADER for marker in others)
        box, ball, name = others[:3]
        assert min(box.scale.x, box.scale.y, box.scale.z) > 0
        assert (box.type, ball.type, name.type) == (
            Marker.CUBE,
            Marker.SPHERE,
            Marker.TEXT_VIEW_FACING,
        )
        assert name.text == "3 red mug"
        assert name.pose.position.y < box.pose.position.y - 0.18, "above the box; y points down"

    def test_the_cloud_has_a_point_for_every_pixel(
        self, frame: SegmentedFrame, metres: np.ndarray
    ) -> None:
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[50, 30] = (1, 2, 3)
        cloud = outputs_3d.point_cloud(frame, image, metres, CAMERA, HEADER)
        assert (cloud.height, cloud.width, cloud.is_dense) == (HEIGHT, WIDTH, False)
        assert len(cloud.data) == cloud.row_step * cloud.height
        assert isinstance(cloud.data, array.array)
        points = read_cloud(cloud)
        assert points["rgb"][50, 30] == 0x010203
        np.testing.assert_array_equal(points["z"], metres)
        x, y, z = (points[name][50, 30] for name in "xyz")
        assert (x, y, z) == pytest.approx(((30 - 79.5) / 150, (50 - 59.5) / 150, 1.0))
        ids = {int(value): int((points["instance"] == value).sum()) for value in (0, 3, 5, 9)}
        assert ids == {0: HEIGHT * WIDTH - 1800 - 400 - 900, 3: 1800, 5: 400, 9: 900}
        nothing = np.isnan(metres)
        assert np.isnan(points["x"][nothing]).all()
        assert np.isfinite(points["x"][~nothing]).all()


def read_cloud(cloud: PointCloud2) -> np.ndarray:
    """Read a cloud as its fields say, (height, width)."""
    kinds = {7: "<f4", 6: "<u4"}  # FLOAT32 and UINT32 of sensor_msgs/PointField
    kind = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [
                "<u4" if field.name == "rgb" else kinds[field.datatype] for field in cloud.fields
            ],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, kind).reshape(cloud.height, cloud.width)


@pytest.fixture
def processed(frame: SegmentedFrame) -> ProcessedFrame:
    return process(frame, HEADER)


@pytest.fixture
def stub() -> NodeStub:
    return NodeStub()


@pytest.fixture
def outputs(stub: NodeStub, metres: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Outputs of a camera with depth, on stand-ins."""
    depth = DepthStub(metres, CAMERA)
    monkeypatch.setattr(spatial, "DepthInputs", lambda node: depth)
    made = spatial.SpatialOutputs(stub)  # type: ignore[arg-type]
    made.create(make_settings())
    made.depth = depth  # for the tests
    return made


class TestOnlyWhileSubscribed:
    """Depth is not even looked at while nobody wants it."""

    def test_nothing_is_computed_for_nobody(
        self, outputs: Any, processed: ProcessedFrame, stub: NodeStub
    ) -> None:
        outputs.publish(processed, make_settings())
        assert outputs.depth.taken == 0
        assert not any(one.sent for one in stub.publishers.values())

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("segments_3d", Segment3DArray), ("markers", MarkerArray), ("points", PointCloud2)],
    )
    def test_only_what_is_wanted_is_published(
        self, outputs: Any, processed: ProcessedFrame, stub: NodeStub, name: str, kind: type
    ) -> None:
        stub.publishers[name].subscribers = 1
        outputs.publish(processed, make_settings())
        assert outputs.depth.taken == 1
        assert [type(message) for message in stub.publishers[name].sent] == [kind]
        assert not any(one.sent for other, one in stub.publishers.items() if other != name)

    def test_segments_are_measured_once_for_all(
        self,
        outputs: Any,
        processed: ProcessedFrame,
        stub: NodeStub,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        calls = []
        measure_all = outputs_3d.locate_segments
        monkeypatch.setattr(
            outputs_3d,
            "locate_segments",
            lambda *given: calls.append(1) or measure_all(*given),
        )
        stub.publishers["points"].subscribers = 1
        outputs.publish(processed, make_settings())
        assert calls == []
        stub.publishers["markers"].subscribers = stub.publishers["segments_3d"].subscribers = 1
        outputs.publish(processed, make_settings())
        assert calls == [1]

    @pytest.mark.parametrize("error", [GeometryError("not calibrated"), ValueError("odd")])
    def test_what_goes_wrong_stays_inside(
        self, outputs: Any, processed: ProcessedFrame, stub: NodeStub, error: Exception
    ) -> None:
        stub.publishers["markers"].subscribers = 1
        outputs.depth.error = error
        outputs.publish(processed, make_settings())
        assert outputs.depth.warned == [f"front: {error}"]
        assert stub.publishers["markers"].sent == []

    def test_topics_are_those_of_the_camera(self, outputs: Any, stub: NodeStub) -> None:
        assert set(stub.publishers) == {"segments_3d", "markers", "points"}
        outputs.destroy()
        assert stub.publishers == {}
        two = make_settings()
        front = two.cameras[0]
        two = replace(two, cameras=(front, replace(front, name="left", depth_topic="")))
        outputs.create(two)
        assert set(stub.publishers) == {"front/segments_3d", "front/markers", "front/points"}
