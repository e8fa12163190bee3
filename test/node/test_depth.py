"""Depth images and calibrations: what is read of them, what is refused, which belong together."""

from __future__ import annotations

import array
import threading
import time

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from rose_ros.errors import GeometryError
from rose_ros.node.depth import DepthBuffer, DepthError, depth_to_metres, intrinsics_of

SECOND = 1_000_000_000


def depth_image(values: np.ndarray, encoding: str, step: int = 0, big: bool = False) -> Image:
    """Make a depth message of raw values (height, width); ``step`` pads the rows."""
    height, width = values.shape
    ordered = values.astype(values.dtype.newbyteorder(">" if big else "<"))
    row = width * values.itemsize
    rows = np.full((height, step or row), 0xAB, np.uint8)
    rows[:, :row] = np.ascontiguousarray(ordered).view(np.uint8).reshape(height, row)
    message = Image(height=height, width=width, encoding=encoding, step=step or row)
    message.is_bigendian = int(big)
    message.data = array.array("B", rows.tobytes())
    return message


class TestDepthToMetres:
    """16UC1 in millimetres, 32FC1 in metres."""

    @pytest.mark.parametrize("big", [False, True])
    @pytest.mark.parametrize("step", [0, 16])
    def test_both_encodings(self, big: bool, step: int) -> None:
        metres = np.array([[0.5, 1.0, 1.234], [2.0, 9.999, 0.06]], np.float32)
        millimetres = depth_image((metres * 1000).round().astype(np.uint16), "16UC1", step, big)
        np.testing.assert_allclose(depth_to_metres(millimetres), metres, atol=1e-6)
        floats = depth_image(metres, "32FC1", step, big)
        np.testing.assert_array_equal(depth_to_metres(floats), metres)

    def test_what_was_not_measured_is_nan(self) -> None:
        nothing = np.array([[0.0, np.nan, np.inf, -np.inf, -1.0, 1.0, 11.0]], np.float32)
        found = depth_to_metres(depth_image(nothing, "32FC1"), 10.0)
        np.testing.assert_array_equal(np.isfinite(found), [[False] * 5 + [True, False]])
        found = depth_to_metres(depth_image(np.array([[0, 1, 65535]], np.uint16), "16UC1"), 10.0)
        assert np.isnan(found).all()

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"encoding": "rgb8"}, "encoding 'rgb8'"),
            ({"encoding": "16UC1; compressedDepth png"}, "not compressed"),
            ({"height": 0}, "2 x 0 px"),
            ({"width": 2**31, "height": 2**31}, "allowed are"),
            ({"step": 3}, "step of 3 bytes"),
            ({"height": 3}, "8 bytes of data"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, changes: dict[str, object], reason: str) -> None:
        message = depth_image(np.ones((2, 2), np.uint16), "16UC1")
        for name, value in changes.items():
            setattr(message, name, value)
        with pytest.raises(DepthError, match=reason):
            depth_to_metres(message)


def info(**changes: object) -> CameraInfo:
    """Describe a camera of 640 x 480 px."""
    message = CameraInfo(height=480, width=640)
    message.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    message.p = [600.0, 0.0, 321.0, 0.0, 0.0, 610.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


class TestIntrinsics:
    """From camera_info, as for everything that makes points of depth in ROS."""

    def test_the_projection_matrix_counts(self) -> None:
        camera = intrinsics_of(info(), 480, 640)
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (600.0, 610.0, 321.0, 241.0)

    def test_without_one_the_camera_matrix_does(self) -> None:
        camera = intrinsics_of(info(p=[0.0] * 12), 480, 640)
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500.0, 510.0, 320.0, 240.0)

    def test_binning_and_region(self) -> None:
        message = info(binning_x=2, binning_y=2)
        message.roi.x_offset, message.roi.y_offset = 100, 40
        message.roi.width, message.roi.height = 320, 240
        camera = intrinsics_of(message, 120, 160)
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (300.0, 305.0, 110.5, 100.5)

    def test_an_uncalibrated_camera_is_refused(self) -> None:
        with pytest.raises(GeometryError, match="not calibrated"):
            intrinsics_of(info(p=[0.0] * 12, k=[0.0] * 9), 480, 640)

    def test_another_size_is_refused(self) -> None:
        with pytest.raises(GeometryError, match="640 x 480 px, the image has 320 x 240"):
            intrinsics_of(info(), 240, 320)


class TestBuffer:
    """Which depth belongs to an image, by stamp."""

    def test_the_nearest_is_taken_whenever_it_comes(self) -> None:
        buffer = DepthBuffer()
        buffer.add(1 * SECOND, b"early")
        buffer.expect(2 * SECOND)
        buffer.add(2 * SECOND + 5, b"right")
        for index in range(20):
            buffer.add((3 + index) * SECOND, b"late")
        assert buffer.take(10, 0.0) == (2 * SECOND + 5, b"right")

    def test_one_that_came_before_its_image_counts(self) -> None:
        buffer = DepthBuffer()
        for index in range(5):
            buffer.add(index * SECOND, b"%d" % index)
        buffer.expect(2 * SECOND)
        assert buffer.take(0, 0.0)[1] == b"2"

    def test_of_equal_stamps_the_latest_counts(self) -> None:
        # Cameras without a clock stamp everything with zero.
        buffer = DepthBuffer()
        buffer.add(0, b"old")
        buffer.add(0, b"new")
        buffer.expect(0)
        assert buffer.take(0, 0.0)[1] == b"new"

    def test_nothing_near_enough_is_refused_with_the_distance(self) -> None:
        buffer = DepthBuffer()
        buffer.expect(SECOND)
        with pytest.raises(DepthError, match="no depth image has come"):
            buffer.take(SECOND, 0.0)
        buffer.add(3 * SECOND, b"late")
        with pytest.raises(DepthError, match=r"2\.000 s away"):
            buffer.take(SECOND, 0.0)

    def test_one_that_is_under_way_is_waited_for(self) -> None:
        buffer = DepthBuffer()
        buffer.add(0, b"before")
        buffer.expect(SECOND)
        timer = threading.Timer(0.2, lambda: buffer.add(SECOND, b"right"))
        timer.start()
        assert buffer.take(0, 30.0)[1] == b"right"
        timer.join()

    def test_one_that_cannot_come_any_more_is_not_waited_for(self) -> None:
        buffer = DepthBuffer()
        buffer.add(2 * SECOND, b"beyond")
        buffer.expect(SECOND)
        started = time.monotonic()
        with pytest.raises(DepthError):
            buffer.take(0, 30.0)
        assert time.monotonic() - started < 10.0

    def test_a_camera_that_sends_no_depth_is_not_waited_for(self) -> None:
        buffer = DepthBuffer()
        buffer.expect(SECOND)
        started = time.monotonic()
        with pytest.raises(DepthError):
            buffer.take(0, 30.0)
        assert time.monotonic() - started < 10.0

    def test_stamps_that_go_back_find_their_own(self) -> None:
        buffer = DepthBuffer()
        for stamp in (100, 101, 102, 1, 2):
            buffer.add(stamp * SECOND, b"%d" % stamp)
        buffer.expect(1 * SECOND)
        assert buffer.take(0, 0.0)[1] == b"1"
