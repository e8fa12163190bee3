"""What stamps and clocks tell, without ROS running."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import Image

from rose_ros.node.pipeline import Pipeline
from rose_ros.node.timeline import ClockWatch, Timeline
from rose_ros.node.worker import CameraFrame
from rose_ros.perception.session import SessionOptions

SECOND = 1_000_000_000
fake = runpy.run_path(str(Path(__file__).with_name("fake_perception.py")))


def test_only_a_clear_step_back_is_a_jump() -> None:
    line = Timeline()
    assert not line.went_back(5 * SECOND)
    line.advance(10 * SECOND, 0.0)
    assert not line.went_back(9 * SECOND)
    assert line.went_back(9 * SECOND - 1)
    assert not line.went_back(0)
    assert not line.went_back(100 * SECOND)
    line.advance(0, 1.0)
    assert line.went_back(5 * SECOND)


def test_time_goes_on_where_stamps_do_not() -> None:
    line = Timeline()
    first = line.advance(0, 100.0)
    assert line.advance(0, 100.5) - first == SECOND // 2
    assert line.advance(7 * SECOND, 101.0) == 7 * SECOND
    assert line.advance(0, 101.25) == 7 * SECOND + SECOND // 4


def test_the_watch_tells_a_paused_clock() -> None:
    watch = ClockWatch()
    assert watch.look(5, 0.0, simulated=False) == "system"
    assert watch.look(0, 1.0, simulated=True) == "waiting"
    assert watch.look(10, 2.0, simulated=True) == "simulated"
    assert watch.look(10, 3.0, simulated=True) == "simulated"
    assert watch.look(10, 3.6, simulated=True) == "paused"
    assert watch.look(11, 3.7, simulated=True) == "simulated"
    assert watch.look(3, 9.0, simulated=True) == "simulated"


@pytest.fixture
def pipeline() -> Pipeline:
    pipeline = Pipeline(fake["open_fake"])
    pipeline.load("fake", "auto", "cpu")
    pipeline.open(SessionOptions())
    return pipeline


def frame(camera: str, seconds: float, moment: float, skipped: int = 0) -> CameraFrame:
    image = Image(height=64, width=64, encoding="rgb8", step=192)
    image.data = np.zeros(64 * 192, np.uint8).tobytes()
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(round(seconds * 1e9), SECOND)
    return CameraFrame(camera, image, moment, skipped)


def test_cameras_that_go_back_together_are_one_jump(pipeline: Pipeline) -> None:
    now = time.monotonic()
    for camera in ("a", "b"):
        pipeline.process(frame(camera, 100.0, now))
    jump = pipeline.process(frame("a", 10.0, now + 0.1))
    assert jump.clock_jumped
    # The other camera's last frame of before comes late, then it goes back, too.
    late = pipeline.process(frame("b", 100.1, now + 0.1))
    back = pipeline.process(frame("b", 10.1, now + 0.2))
    assert not late.clock_jumped
    assert not back.clock_jumped
    assert back.session_id == jump.session_id
    # The same camera once more is another jump, however soon.
    pipeline.process(frame("a", 12.0, now + 0.3))
    again = pipeline.process(frame("a", 10.0, now + 0.4))
    assert again.clock_jumped
    assert again.session_id != jump.session_id


def test_the_clock_and_the_stamps_are_one_jump(pipeline: Pipeline) -> None:
    now = time.monotonic()
    first = pipeline.process(frame("a", 100.0, now))
    assert pipeline.restart("", now)
    second = pipeline.process(frame("a", 100.1, now))
    third = pipeline.process(frame("a", 10.0, now + 0.1))
    assert not third.clock_jumped
    assert first.session_id != second.session_id == third.session_id
    assert pipeline.restart("", now + 1.5)


def test_skipped_frames_count_from_the_jump(pipeline: Pipeline) -> None:
    now = time.monotonic()
    assert pipeline.process(frame("a", 100.0, now, skipped=3)).frames_skipped == 3
    assert pipeline.process(frame("a", 10.0, now, skipped=5)).frames_skipped == 0
    assert pipeline.process(frame("a", 10.1, now, skipped=9)).frames_skipped == 4
    pipeline.open(SessionOptions())
    assert pipeline.process(frame("a", 10.2, now, skipped=1)).frames_skipped == 1


def test_the_pipeline_says_what_it_runs_on(pipeline: Pipeline) -> None:
    description = pipeline.description
    assert (description["model"], description["runtime"], description["device"]) == (
        "fake",
        "fake",
        "cpu",
    )
    assert {"engine_sha256", "tensorrt", "gpu_name", "gpu_mem_used_mb"} <= description.keys()
