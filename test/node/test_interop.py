"""vision_msgs: on stand-ins everywhere, and over DDS where vision_msgs is installed."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import stand_in_vision
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from stand_in_node import DepthStub, NodeStub, make_settings, process, rectangle
from std_msgs.msg import Header

from rose_ros.node import interop, spatial
from rose_ros.node.images import array_to_image
from rose_ros.node.interop import UNLABELLED, NameTable, VisionMessages, label_image
from rose_ros.node.outputs_3d import locate_segments
from rose_ros.perception.geometry import Intrinsics
from rose_ros.perception.segments import Segment, SegmentedFrame

HEIGHT, WIDTH = 100, 120
HEADER = Header(stamp=Time(sec=7, nanosec=8), frame_id="lens")
#: s: far above what anything takes, also on a machine that is busy with something else.
PATIENCE = 200.0


def segment(number: int, name: str, left: int, top: int) -> Segment:
    """A rectangle of 30 x 20 px."""
    return rectangle(number, name, (left, top, 30, 20), (HEIGHT, WIDTH))


@pytest.fixture
def frame() -> SegmentedFrame:
    segments = (
        segment(0, "red mug", 5, 10),
        segment(3, "plate", 50, 40),
        segment(9, "red mug", 80, 70),
    )
    return SegmentedFrame("front", 7_000_000_008, 12, HEIGHT, WIDTH, segments)


@pytest.fixture(params=["stand-ins", "installed"])
def vision(request: pytest.FixtureRequest) -> VisionMessages:
    if request.param == "stand-ins":
        return VisionMessages(stand_in_vision)
    return VisionMessages(
        pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    )


def test_detections_carry_names_boxes_and_identities(
    frame: SegmentedFrame, vision: VisionMessages
) -> None:
    message = vision.detections(frame, HEADER)
    assert message.header == HEADER
    assert [one.id for one in message.detections] == ["", "3", "9"]
    mug = message.detections[0]
    assert mug.header == HEADER
    assert [(one.hypothesis.class_id, one.hypothesis.score) for one in mug.results] == [
        ("red mug", 0.75),
        ("cup", 0.125),
    ]
    assert (mug.bbox.center.position.x, mug.bbox.center.position.y) == (20.0, 20.0)
    assert (mug.bbox.size_x, mug.bbox.size_y, mug.bbox.center.theta) == (30.0, 20.0, 0.0)


def test_detections_in_space_are_those_with_depth(
    frame: SegmentedFrame, vision: VisionMessages
) -> None:
    metres = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    metres[40:60, 50:80] = np.nan  # the plate
    geometry = locate_segments(frame, metres, Intrinsics(100.0, 100.0, 60.0, 50.0))
    message = vision.detections_3d(frame, geometry, HEADER)
    assert [one.id for one in message.detections] == ["", "9"]
    mug = message.detections[1]
    assert mug.bbox.center.position.z == pytest.approx(2.0)
    assert (mug.bbox.size.x, mug.bbox.size.y) == pytest.approx((0.58, 0.38), abs=0.03)
    assert mug.results[0].pose.pose == mug.bbox.center
    assert mug.results[0].hypothesis.class_id == "red mug"


def test_the_label_image_is_explained_by_its_info(
    frame: SegmentedFrame, vision: VisionMessages
) -> None:
    names = NameTable()
    info = vision.label_info(frame, names, HEADER, 0.25)
    image = label_image(frame, names)
    meaning = {one.class_id: one.class_name for one in info.class_map}
    assert sorted(meaning.values()) == ["plate", "red mug"]
    assert (info.header, info.threshold) == (HEADER, 0.25)
    assert meaning[int(image[15, 10])] == meaning[int(image[75, 85])] == "red mug"
    assert meaning[int(image[45, 55])] == "plate"
    assert (image == UNLABELLED).sum() == HEIGHT * WIDTH - 3 * 600
    assert UNLABELLED not in meaning
    assert array_to_image(image, HEADER).encoding == "16UC1"


def test_numbers_of_names_hold(frame: SegmentedFrame, vision: VisionMessages) -> None:
    names = NameTable()
    before = {c.class_name: c.class_id for c in _info(vision, frame, names).class_map}
    other = replace(frame, segments=(segment(4, "kettle", 5, 10), frame.segments[1]))
    after = {c.class_name: c.class_id for c in _info(vision, other, names).class_map}
    assert after["plate"] == before["plate"]
    assert after["kettle"] not in before.values()


def _info(vision: VisionMessages, frame: SegmentedFrame, names: NameTable) -> Any:
    return vision.label_info(frame, names, HEADER, 0.25)


def test_a_full_table_begins_anew() -> None:
    names = NameTable(capacity=3)
    assert names.numbers(["a", "b", "a"]) == [0, 1, 0]
    assert names.numbers(["c"]) == [2]
    assert names.numbers(["d", "c"]) == [0, 1]


def test_without_vision_msgs_nothing_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    assert interop.find_messages() is None


def test_with_vision_msgs_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vision_msgs", stand_in_vision)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", stand_in_vision)
    assert interop.find_messages() is stand_in_vision


class TestOutputs:
    """What a node publishes, on stand-ins for node, depth and messages."""

    @pytest.fixture(autouse=True)
    def _stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "vision_msgs", stand_in_vision)
        monkeypatch.setitem(sys.modules, "vision_msgs.msg", stand_in_vision)

    @pytest.fixture
    def stubs(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Outputs on stand-ins, with depth 2 m away everywhere."""
        metres = np.full((HEIGHT, WIDTH), 2.0, np.float32)
        self.depth = DepthStub(metres, Intrinsics(100.0, 100.0, 60.0, 50.0))
        monkeypatch.setattr(spatial, "DepthInputs", lambda node: self.depth)
        self.node = NodeStub()
        return spatial.SpatialOutputs(self.node)  # type: ignore[arg-type]

    def test_everything_is_published_while_subscribed(
        self, stubs: Any, frame: SegmentedFrame
    ) -> None:
        wanted = replace(make_settings(), vision_msgs=True)
        stubs.create(wanted)
        stubs.open(wanted)
        names = {"detections", "detections_3d", "label_image", "label_info"}
        assert set(self.node.publishers) == names | {"segments_3d", "markers", "points"}
        processed = process(frame, HEADER)
        stubs.publish(processed, wanted)
        assert not any(one.sent for one in self.node.publishers.values())
        for name in names:
            self.node.publishers[name].subscribers = 1
        stubs.publish(processed, wanted)
        sent = {name: one.sent for name, one in self.node.publishers.items() if one.sent}
        assert set(sent) == names
        assert all(message.header == HEADER for (message,) in sent.values())
        assert self.depth.warned == []

    def test_without_depth_there_are_labels_all_the_same(
        self, stubs: Any, frame: SegmentedFrame
    ) -> None:
        wanted = replace(make_settings(), vision_msgs=True)
        wanted = replace(wanted, cameras=(replace(wanted.cameras[0], depth_topic=""),))
        stubs.create(wanted)
        assert set(self.node.publishers) == {"detections", "label_image", "label_info"}

    def test_it_can_be_switched_off(self, stubs: Any) -> None:
        stubs.create(replace(make_settings(), vision_msgs=False))
        assert set(self.node.publishers) == {"segments_3d", "markers", "points"}
        assert self.node.log == []


@pytest.fixture(scope="module")
def active(robot: Any, start: Any) -> Iterator[Any]:
    pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    with start() as node:
        robot.wait_for_state("active", node)
        yield node
        assert node.running, node.output


@pytest.mark.usefixtures("active")
def test_detections_and_labels_arrive(robot: Any) -> None:
    from vision_msgs.msg import Detection2DArray, LabelInfo

    kinds = {"detections": Detection2DArray, "label_image": Image, "label_info": LabelInfo}
    received: dict[str, list[Any]] = {name: [] for name in kinds}
    subscriptions = [
        robot.node.create_subscription(kind, f"/rose/{name}", received[name].append, 5)
        for name, kind in kinds.items()
    ]

    def complete() -> Any:
        message = robot.show("red", "blue")
        found = {
            name: one for name in kinds for one in received[name] if one.header == message.header
        }
        return (message, found) if len(found) == len(kinds) else None

    try:
        message, found = robot.wait_until(complete, "detections and labels", PATIENCE)
    finally:
        for subscription in subscriptions:
            robot.node.destroy_subscription(subscription)
    detections = found["detections"].detections
    assert [one.id for one in detections] == [str(one.id) for one in message.segments]
    assert [one.results[0].hypothesis.class_id for one in detections] == ["red box", "blue box"]
    meaning = {one.class_id: one.class_name for one in found["label_info"].class_map}
    labels = found["label_image"]
    assert isinstance(labels.data, array.array)
    values = np.frombuffer(labels.data, np.uint16).reshape(labels.height, labels.width)
    for one in message.segments:
        assert meaning[int(values[int(one.anchor.y), int(one.anchor.x)])] == one.label.text
