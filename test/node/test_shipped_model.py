"""The node as users run it: the shipped model on a picture of the tabletop world."""

from __future__ import annotations

import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from sensor_msgs.msg import CompressedImage

from rose_ros.data.tabletop import render
from rose_ros.perception.segments import Status

MODEL = Path(__file__).resolve().parents[2] / "models" / "rose-tiny"
pytestmark = pytest.mark.skipif(
    not (MODEL / "config.json").is_file(), reason=f"no checkpoint at {MODEL}"
)


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, launch: Any) -> Iterator[Any]:
    arguments = ["-r", "__ns:=/rose", "-r", "image:=/camera/image", "-p", "device:=cpu"]
    process = launch(["-m", "rose_ros.node.perception_node"], arguments)
    try:
        robot.wait_for_state("active", process)
        yield process
        assert process.stop() == 0, process.output
    finally:
        process.kill()


def jpeg(seed: int) -> CompressedImage:
    """Render a scene of 640x480 as JPEG: small enough that best effort loses nothing."""
    pixels = render(seed, "test", height=480, width=640).image
    done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    message = CompressedImage(format="jpeg")
    message.data = array.array("B", data.tobytes())
    return message


def test_a_table_is_seen_named_and_corrected(robot: Any) -> None:
    image = jpeg(7)

    def see() -> Any:
        robot.stamp(image)
        return robot.see(image)

    first = see()
    assert (first.height, first.width, first.model) == (480, 640, "rose-tiny")
    assert len(first.segments) >= 3
    assert all(segment.label.text for segment in first.segments)
    assert all(segment.area > 0 for segment in first.segments)
    second = see()
    assert [s.id for s in second.segments] == [s.id for s in first.segments]
    assert [s.label.text for s in second.segments] == [s.label.text for s in first.segments]
    target = second.segments[-1].id
    reply = robot.refine(f"segment {target} is a sugar pot", timeout=15.0)
    assert reply.status == Status.OK, reply.message
    third = see()
    assert {s.id: s.label.text for s in third.segments}[target] == "sugar pot"
    found = robot.find(f"the {first.segments[0].label.text}", timeout=15.0)
    assert found.status in (Status.OK, Status.NO_TARGET), found.message
