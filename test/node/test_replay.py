"""A recording made without ROS plays into a live network as if a node had published it."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader, Writer
from rosbags.typesys import Stores, get_typestore

from rose_ros.msg import SegmentArray
from rose_ros.node.conversions import frame_from_message
from rose_ros.perception.masks import decode_runs
from rose_ros.recording.segmenting import Job, segment_recording

FAKE = Path(__file__).with_name("fake_perception.py")
STORE = get_typestore(Stores.ROS2_JAZZY)
COLOURS = ("red", "green", "blue")


def record(path: Path, pictures: list[np.ndarray]) -> None:
    """Write pictures as rgb8 images, ten a second."""
    types = STORE.types
    with Writer(path, version=9) as writer:
        topic = writer.add_connection("/camera/image", "sensor_msgs/msg/Image", typestore=STORE)
        for i, picture in enumerate(pictures):
            stamp = types["builtin_interfaces/msg/Time"](sec=100, nanosec=i * 100_000_000)
            image = types["sensor_msgs/msg/Image"](
                header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="lens"),
                height=picture.shape[0],
                width=picture.shape[1],
                encoding="rgb8",
                is_bigendian=0,
                step=picture.shape[1] * 3,
                data=picture.reshape(-1),
            )
            data = STORE.serialize_cdr(image, "sensor_msgs/msg/Image")
            writer.write(topic, (100 * 10 + i) * 100_000_000, data)


def test_a_recorded_result_arrives_as_it_was_made(robot: Any, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("fake_perception", FAKE)
    assert spec is not None
    assert spec.loader is not None
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)

    record(tmp_path / "in", [robot.picture(*COLOURS[:i]) for i in range(4)])
    out = tmp_path / "out"
    job = Job(tmp_path / "in", "/camera/image", out, "/rose/segments", "front", "fake")
    assert segment_recording(job, lambda: fake.FakeRuntime("fake")).segments == 0 + 1 + 2 + 3

    publisher = robot.node.create_publisher(SegmentArray, "/rose/segments", 20)
    robot.wait_until(publisher.get_subscription_count, "the subscriber")
    robot.arrays.clear()
    with Reader(out) as reader:
        for _, _, data in reader.messages():
            publisher.publish(data)
    robot.wait_until(lambda: len(robot.arrays) == 4, "four arrays")
    robot.node.destroy_publisher(publisher)

    for i, array in enumerate(robot.arrays):
        assert (array.header.stamp.sec, array.header.frame_id) == (100, "lens")
        assert (array.camera, array.sequence, array.session_id) == ("front", i + 1, 1)
        assert math.isnan(array.timing.age)
        frame = frame_from_message(array)
        names = {segment.label.text for segment in frame.segments}
        assert names == {f"{colour} box" for colour in COLOURS[:i]}
        for segment in frame.segments:
            mask = decode_runs(segment.mask, frame.height, frame.width)
            assert mask.sum() == segment.area > 0
