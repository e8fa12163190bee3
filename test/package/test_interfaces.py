"""The public interface: its fields, types, units, numbers and place in the build."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rose_ros.perception.segments import LabelSource, Scope, Status

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")])

# What others depend on: a change here breaks recorded bags and other people's nodes.
FIELDS = {
    "Mask": "sensor_msgs/RegionOfInterest roi, uint32[] runs",
    "Label": "string text, float32 score",
    "Segment": "uint32 id, Label label, Label[] alternatives, uint8 label_source, uint32 revision,"
    " float32 score, float32 mask_quality, Mask mask, uint32 area,"
    " geometry_msgs/Point32 anchor, bool truncated",
    "Segment3D": "uint32 index, uint32 id, Label label, float32 score,"
    " geometry_msgs/Point position, geometry_msgs/Point point, geometry_msgs/Pose box,"
    " geometry_msgs/Vector3 size, uint32 pixels, float32 coverage",
    "Segment3DArray": "std_msgs/Header header, string camera, uint64 session_id, uint64 sequence,"
    " builtin_interfaces/Time depth_stamp, Segment3D[] segments",
    "Refinement": "builtin_interfaces/Time stamp, uint8 kind, string text, string camera,"
    " builtin_interfaces/Time frame_stamp, uint64 sequence, uint8 scope, uint32[] requested_ids,"
    " uint32[] corrected_ids, uint32[] removed_ids, uint8 status, string message, float32 elapsed",
    "FrameTiming": "float32 age, float32 queue, float32 preprocess, float32 inference,"
    " float32 postprocess",
    "SegmentArray": "std_msgs/Header header, string camera, uint32 height, uint32 width,"
    " string model, uint64 session_id, uint64 sequence, uint64 frames_skipped,"
    " FrameTiming timing, Segment[] segments",
    "Refine": "string text, uint32[] segment_ids, string camera, builtin_interfaces/Time stamp,"
    " uint64 session_id, uint8 scope, float32 timeout, ---, uint8 status, string message,"
    " std_msgs/Header header, uint64 sequence, rose_ros/Segment[] segments, uint32[] removed_ids,"
    " float32 elapsed",
    "Find": "string text, string camera, builtin_interfaces/Time stamp, float32 timeout, ---,"
    " uint8 status, string message, std_msgs/Header header, rose_ros/Segment[] segments",
}

CONSTANT = re.compile(r"^uint8 ([A-Z_]+) = (\d+)")
UNIT = re.compile(
    r"^# (px|m|s|s and ns|Share|No unit|Count|Probability|Predicted|Enum|True or false|Stamp|"
    r"px \(x right, y down; z = 0\))\b"
)


def statements(path: Path) -> list[str]:
    """Strip comments and empty lines."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line]


def constants(path: Path) -> dict[str, int]:
    """Read the constants of a definition."""
    found = (CONSTANT.match(line) for line in statements(path))
    return {match[1]: int(match[2]) for match in found if match}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_fields_are_the_published_ones(path: Path) -> None:
    fields = [line for line in statements(path) if not CONSTANT.match(line)]
    assert ", ".join(fields) == FIELDS[path.stem]


def test_no_definition_is_missing() -> None:
    assert sorted(path.stem for path in FILES) == sorted(FIELDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_field_has_a_comment_with_its_unit(path: Path) -> None:
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if not re.match(r"^[a-zA-Z]", line) or CONSTANT.match(line):
            continue
        # The comment block above the field, or above the fields right above it.
        start = number
        while start > 0 and lines[start - 1].strip() and lines[start - 1] != "---":
            start -= 1
        assert UNIT.match(lines[start]), f"{path.name}:{number + 1}: {line!r} lacks its unit"


def test_constants_equal_the_enums_of_perception() -> None:
    assert constants(ROOT / "msg/Segment.msg") == {e.name: e.value for e in LabelSource}
    statuses = {e.name: e.value for e in Status}
    assert constants(ROOT / "srv/Find.srv") == statuses
    scopes = {e.name: e.value for e in Scope}
    assert constants(ROOT / "srv/Refine.srv") == {**scopes, **statuses}


def test_every_definition_is_built() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text()
    listed = re.findall(r'"((?:msg|srv)/\w+\.(?:msg|srv))"', cmake)
    assert sorted(listed) == [str(path.relative_to(ROOT)) for path in FILES]


class TestGenerated:
    """What rosidl made of the definitions."""

    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        pytest.importorskip("rclpy")
        pytest.importorskip("rose_ros.msg", reason="not built: make build")

    def test_an_array_survives_the_wire(self) -> None:
        import array

        from rclpy.serialization import deserialize_message, serialize_message

        from rose_ros.msg import Label, Mask, Segment, SegmentArray

        mask = Mask(runs=array.array("I", [3, 2, 1]))
        mask.roi.width, mask.roi.height = 3, 2
        segment = Segment(id=7, label=Label(text="rote Tasse", score=0.5), mask=mask, area=2)
        sent = SegmentArray(camera="front", session_id=2**63, segments=[segment])
        received = deserialize_message(serialize_message(sent), SegmentArray)
        assert received == sent
        assert isinstance(received.segments[0].mask.runs, array.array)

    def test_types_and_field_order_are_the_written_ones(self) -> None:
        from rose_ros import msg, srv

        for name, written in FIELDS.items():
            request, _, reply = written.partition("---, ")
            if hasattr(msg, name):
                pairs = [(getattr(msg, name), request)]
            else:
                service = getattr(srv, name)
                pairs = [(service.Request, request), (service.Response, reply)]
            for kind, text in pairs:
                names = [field.split()[1] for field in text.split(", ") if " " in field]
                assert list(kind.get_fields_and_field_types()) == names
