"""Images in, arrays out: same header, right contents, one array for each processed frame."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from rose_ros.node.images import image_to_rgb
from rose_ros.perception.masks import decode_runs
from rose_ros.perception.segments import RunMask


@pytest.fixture(scope="module", autouse=True)
def process(robot: Any, start: Any) -> Iterator[Any]:
    with start() as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


def mask_of(segment: Any, message: Any) -> np.ndarray:
    roi = segment.mask.roi
    runs = np.asarray(segment.mask.runs, np.uint32)
    mask = RunMask(roi.x_offset, roi.y_offset, roi.width, roi.height, runs)
    return decode_runs(mask, message.height, message.width)


def test_an_image_gives_an_array_with_its_header(robot: Any) -> None:
    image = robot.message(robot.picture("red", "blue"))
    message = robot.see(image)
    assert message.header == image.header
    assert (message.height, message.width) == (120, 160)
    assert message.camera == "camera"
    assert message.model == "fake"
    assert message.session_id > 0
    assert message.sequence > 0
    timing = message.timing
    assert 0 < timing.age < 60
    assert min(timing.queue, timing.preprocess, timing.inference, timing.postprocess) >= 0
    assert [segment.label.text for segment in message.segments] == ["red box", "blue box"]


def test_segments_are_complete_and_exact(robot: Any) -> None:
    picture = robot.picture("red", "blue")
    message = robot.show("red", "blue")
    ids = [segment.id for segment in message.segments]
    assert ids == sorted(set(ids))
    assert min(ids) > 0
    masks = [mask_of(segment, message) for segment in message.segments]
    assert not (masks[0] & masks[1]).any()
    for segment, mask in zip(message.segments, masks, strict=True):
        truth = picture[..., 0 if "red" in segment.label.text else 2] > 100
        assert (mask & truth).sum() / (mask | truth).sum() > 0.85
        assert segment.area == mask.sum()
        assert mask[int(segment.anchor.y), int(segment.anchor.x)]
        assert not segment.truncated
        assert segment.label.score == pytest.approx(0.7)
        assert segment.score == pytest.approx(0.9)
        assert segment.mask_quality == pytest.approx(0.8)
        assert (segment.label_source, segment.revision) == (segment.FROM_MODEL, 0)


def test_identities_hold_while_things_stay(robot: Any) -> None:
    first, second = robot.show("red", "blue"), robot.show("red", "blue")
    assert [s.id for s in first.segments] == [s.id for s in second.segments]
    assert second.sequence > first.sequence
    assert second.session_id == first.session_id


def test_nothing_seen_is_an_empty_array(robot: Any) -> None:
    message = robot.show()
    assert list(message.segments) == []
    assert (message.height, message.width) == (120, 160)


def test_resolution_may_change(robot: Any) -> None:
    robot.show("green")
    big = robot.see(robot.message(robot.picture("green", height=240, width=320)))
    assert (big.height, big.width) == (240, 320)
    assert [segment.label.text for segment in big.segments] == ["green box"]
    small = robot.show("green")
    assert (small.height, small.width) == (120, 160)


def test_compressed_images(robot: Any) -> None:
    bgr = cv2.cvtColor(robot.picture("yellow"), cv2.COLOR_RGB2BGR)
    for extension, name in ((".jpg", "jpeg"), (".png", "png")):
        data = cv2.imencode(extension, bgr)[1].tobytes()
        message = CompressedImage(format=f"rgb8; {name} compressed bgr8")
        message.data = array.array("B", data)
        robot.stamp(message)
        labels = [segment.label.text for segment in robot.see(message).segments]
        assert labels == ["yellow box"]


def test_overlay_and_instances_come_while_subscribed(robot: Any) -> None:
    images: dict[str, list[Image]] = {"overlay": [], "instances": []}
    subscriptions = [
        robot.node.create_subscription(Image, f"/rose/{name}", images[name].append, 5)
        for name in images
    ]
    try:
        robot.wait_until(
            lambda: robot.show("red", "blue") and all(images.values()), "overlay and instances"
        )
    finally:
        for subscription in subscriptions:
            robot.node.destroy_subscription(subscription)
    ids = images["instances"][0]
    message = next(a for a in robot.arrays if a.header == ids.header)
    assert ids.encoding == "16UC1"
    values = np.frombuffer(ids.data, np.uint16).reshape(ids.height, ids.width)
    expected = np.zeros_like(values)
    for index, segment in enumerate(message.segments):
        expected[mask_of(segment, message)] = index + 1
    np.testing.assert_array_equal(values, expected)
    overlay = image_to_rgb(images["overlay"][0])
    plain = robot.picture("red", "blue")
    assert overlay.shape == plain.shape
    assert (overlay != plain).any(axis=2)[expected > 0].mean() > 0.5


def test_diagnostics_count_what_happened(robot: Any) -> None:
    robot.show("red")
    report = robot.diagnostics()
    assert {"node", "model", "camera camera", "requests"} <= report.keys()
    assert report["node"]["state"] == "active"
    assert report["model"]["model"] == "fake"
    values = report["camera camera"]
    assert int(values["frames_processed"]) > 5
    assert int(values["frames_received"]) >= int(values["frames_processed"])
    assert float(values["age_ms_p95"]) >= float(values["age_ms_p50"]) > 0
    assert float(values["inference_ms_p50"]) > 0
    assert values["frames_invalid"] == "0"


def test_stamps_that_go_back_start_identities_anew(robot: Any) -> None:
    before = robot.show("red")
    image = robot.message(robot.picture("red"))
    image.header.stamp.sec -= 100
    after = robot.see(image)
    assert after.session_id != before.session_id
    assert after.sequence == 1
