"""Where segments are in space: against known shapes, and against the tabletop's exact depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from rose_ros.data.tabletop import SURFACES, Scene, render
from rose_ros.errors import GeometryError
from rose_ros.perception.boxes import oriented_box, quaternion
from rose_ros.perception.geometry import (
    MIN_PIXELS,
    Intrinsics,
    SegmentGeometry,
    back_project,
    depth_jumps,
    locate,
    usable_depth,
)

CAMERA = Intrinsics(300.0, 300.0, 159.5, 119.5)
SCENES = range(6)


def rotation(*angles: float) -> np.ndarray:
    """Turn around x, then y, then z; radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    return matrix


def measured(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Measure exact depth (h, w) like a structured-light camera, with everything that goes wrong.

    Pixels at jumps fall between the surfaces; noise grows with the square of the distance; whole
    millimetres; nine pixels of a hundred are zero, NaN, infinite or negative.
    """
    values = depth.astype(np.float64)
    neighbour = np.roll(values, 1, axis=1)
    share = rng.random(depth.shape)
    values = np.where(depth_jumps(depth), share * values + (1 - share) * neighbour, values)
    values += rng.standard_normal(depth.shape) * (0.0012 + 0.0019 * (values - 0.4) ** 2)
    values = np.round(values, 3)
    fate = rng.random(depth.shape)
    for low, wrong in ((0.0, 0.0), (0.05, np.nan), (0.08, np.inf), (0.085, -np.inf), (0.088, -1.0)):
        values[(fate >= low) & (fate < 0.09)] = wrong
    return values.astype(np.float32)


def look(mask: np.ndarray, depth: np.ndarray, camera: Intrinsics) -> SegmentGeometry | None:
    """Measure a mask (h, w) in depth (h, w) as it came from a camera."""
    usable = usable_depth(depth)
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(distance.argmax()), mask.shape)
    inside = mask[y : y + height, x : x + width]
    anchor = (float(column), float(row))
    return locate(inside, (x, y), anchor, usable, depth_jumps(usable), camera)


@dataclass(frozen=True)
class Case:
    """One visible object: what noisy depth gives, and all of its visible points from exact depth.

    exact: float64 (n, 3), metres, camera frame.
    """

    found: SegmentGeometry
    found_in_a_wide_mask: SegmentGeometry
    exact: np.ndarray


def cases_of(scene: Scene, seed: int) -> list[Case]:
    """Measure every object of a scene that shows at least 150 px."""
    k = scene.intrinsics
    camera = Intrinsics(k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    depth = measured(scene.depth, np.random.default_rng(seed))
    assert (depth == 0).any()
    assert np.isnan(depth).any()
    assert np.isposinf(depth).any()
    assert np.isneginf(depth).any()
    cases = []
    for item in scene.objects:
        mask = scene.ids == item.id
        if item.noun in SURFACES or mask.sum() < 150:
            continue
        y, x = np.nonzero(mask)
        wide = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        found, found_wide = look(mask, depth, camera), look(wide, depth, camera)
        assert found is not None
        assert found_wide is not None
        cases.append(Case(found, found_wide, back_project(x, y, scene.depth[mask], camera)))
    return cases


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """All objects of several scenes."""
    return [
        case
        for seed in SCENES
        for case in cases_of(render(seed, "test", height=240, width=320), seed)
    ]


def errors(found: list[SegmentGeometry], cases: list[Case]) -> np.ndarray:
    """Distances, metres, to the middle of exactly what is visible: (n,). ``-s`` shows them."""
    exact = np.array([np.median(case.exact, axis=0) for case in cases])
    error = np.linalg.norm(np.array([one.position for one in found]) - exact, axis=1)
    median, most, worst = (1000 * value for value in np.percentile(error, (50, 90, 100)))
    print(f"\n{len(error)} objects: median {median:.1f} mm, 90 % {most:.1f} mm, max {worst:.1f} mm")
    return np.asarray(error)


class TestTabletop:
    """The middle of what is visible, compared with the same of exact depth and exact masks."""

    def test_there_is_enough_to_measure_at_about_one_metre(self, cases: list[Case]) -> None:
        distances = [np.linalg.norm(np.median(case.exact, axis=0)) for case in cases]
        assert len(cases) >= 25
        assert 0.5 < np.median(distances) < 1.5

    def test_positions(self, cases: list[Case]) -> None:
        error = errors([case.found for case in cases], cases)
        assert np.median(error) < 0.01
        assert np.percentile(error, 90) < 0.02

    def test_positions_in_masks_that_bleed_two_pixels_into_the_background(
        self, cases: list[Case]
    ) -> None:
        error = errors([case.found_in_a_wide_mask for case in cases], cases)
        assert np.median(error) < 0.01
        assert np.percentile(error, 90) < 0.04

    def test_without_robust_statistics_positions_would_be_far_off(self, cases: list[Case]) -> None:
        # What the test above guards against: the background, and 9 % of nonsense.
        scene = render(0, "test", height=240, width=320)
        k = scene.intrinsics
        camera = Intrinsics(k[0, 0], k[1, 1], k[0, 2], k[1, 2])
        depth = measured(scene.depth, np.random.default_rng(0))
        item = next(one for one in scene.objects if one.noun not in SURFACES)
        mask = scene.ids == item.id
        y, x = np.nonzero(mask)
        plain = back_project(x, y, depth[mask], camera).mean(axis=0)
        assert not np.isfinite(plain).all()

    def test_points_lie_on_the_visible_surface(self, cases: list[Case]) -> None:
        nearest = [
            np.linalg.norm(case.exact - np.array(case.found.point), axis=1).min() for case in cases
        ]
        assert np.median(nearest) < 0.003
        assert max(nearest) < 0.015

    def test_boxes_hold_what_is_visible_and_not_much_more(self, cases: list[Case]) -> None:
        ratios = []
        for case in cases:
            box = case.found.box
            local = (case.exact - np.array(box.centre)) @ box.rotation
            inside = (np.abs(local) <= np.array(box.size) / 2 + 0.005).all(axis=1)
            assert inside.mean() > 0.55
            ratios.append([inside.mean(), *(np.array(box.size) / oriented_box(case.exact).size)])
        middle = np.median(ratios, axis=0)
        assert middle[0] > 0.9
        np.testing.assert_allclose(middle[1:], 1.0, atol=0.15)

    def test_coverage_is_the_share_that_was_measured(self, cases: list[Case]) -> None:
        covered = [case.found.coverage for case in cases]
        assert np.median(covered) == pytest.approx(0.91, abs=0.03)
        assert all(case.found.pixels <= len(case.exact) for case in cases)


def plane(mask: np.ndarray, distance: float, behind: float) -> np.ndarray:
    """A plate facing the camera in front of a wall; metres."""
    return np.where(mask, distance, behind).astype(np.float32)


@pytest.fixture
def mask() -> np.ndarray:
    """60 x 30 px in the middle of the image."""
    mask = np.zeros((240, 320), bool)
    mask[105:135, 130:190] = True
    return mask


def test_a_plate_is_where_it_is_and_as_large_as_it_is(mask: np.ndarray) -> None:
    found = look(mask, plane(mask, 1.0, 2.0), CAMERA)
    assert found is not None
    np.testing.assert_allclose(found.position, (0.0, 0.0, 1.0), atol=1e-6)
    # Pixels at the jump are left out, and 1 % at either end: 57 of 60 px.
    np.testing.assert_allclose(found.box.size, (0.2, 0.1, 0.0), atol=0.011)
    np.testing.assert_allclose(np.abs(found.box.rotation), np.eye(3), atol=1e-3)
    assert found.box.rotation[2, 2] < 0, "z shows towards the camera"
    assert found.coverage == 1.0


def test_flying_pixels_and_the_wall_do_not_count(mask: np.ndarray) -> None:
    depth = plane(mask, 1.0, 3.0)
    depth[105:135, 189] = 1.8  # between plate and wall
    wide = mask.copy()
    wide[100:140, 185:196] = True  # 8 % wall
    found = look(wide, depth, CAMERA)
    assert found is not None
    assert found.position[2] == pytest.approx(1.0)
    assert found.box.size[2] < 1e-3
    assert found.point[2] == pytest.approx(1.0)


def test_thin_things_keep_their_pixels(mask: np.ndarray) -> None:
    line = np.zeros_like(mask)
    line[40:200, 160] = True
    found = look(line, plane(line, 1.0, 2.0), CAMERA)
    assert found is not None
    assert found.pixels == 160
    assert found.box.size[0] == pytest.approx(160 / 300, rel=0.05)


@pytest.mark.parametrize("nothing", [0.0, np.nan, np.inf, -np.inf, -2.0, 0.01])
def test_no_depth_no_position(mask: np.ndarray, nothing: float) -> None:
    depth = plane(mask, nothing, 1.0)
    assert look(mask, depth, CAMERA) is None
    rows, columns = np.nonzero(mask)
    depth[rows[:MIN_PIXELS], columns[:MIN_PIXELS]] = 1.0
    found = look(mask, depth, CAMERA)
    assert found is not None
    assert found.coverage == pytest.approx(MIN_PIXELS / mask.sum())


def test_far_depth_can_be_left_out() -> None:
    depth = np.array([[0.5, 9.0, 11.0, np.nan]], np.float32)
    np.testing.assert_array_equal(np.isnan(usable_depth(depth, 10.0)), [[False, False, True, True]])
    assert np.isnan(depth).sum() == 1, "the input is not changed"


def test_large_masks_are_thinned_out_evenly() -> None:
    mask = np.ones((1080, 1920), bool)
    camera = Intrinsics(1000.0, 1000.0, 959.5, 539.5)
    found = look(mask, np.full(mask.shape, 2.0, np.float32), camera)
    assert found is not None
    assert 5_000 < found.pixels < 20_000
    np.testing.assert_allclose(found.position, (0.0, 0.0, 2.0), atol=0.02)
    np.testing.assert_allclose(found.box.size, (3.84, 2.16, 0.0), rtol=0.03, atol=1e-6)


def test_masks_outside_the_depth_image_are_refused() -> None:
    depth = np.ones((10, 10), np.float32)
    with pytest.raises(GeometryError, match="outside"):
        locate(np.ones((5, 5), bool), (8, 0), (9.0, 2.0), depth, depth > 2, CAMERA)


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.3, -0.7, 1.1), (2.0, 0.4, -2.5)])
def test_a_solid_box_is_found_at_any_angle(angles: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(1)
    size = np.array([0.3, 0.18, 0.06])
    turned = rotation(*angles)
    points = rng.uniform(-0.5, 0.5, (4000, 3)) * size @ turned.T + (0.1, 0.2, 1.0)
    box = oriented_box(points)
    np.testing.assert_allclose(box.centre, (0.1, 0.2, 1.0), atol=0.005)
    np.testing.assert_allclose(box.size, size, rtol=0.08, atol=0.003)
    np.testing.assert_allclose(np.abs(box.rotation.T @ turned), np.eye(3), atol=0.08)


def test_three_faces_of_a_box_give_the_box() -> None:
    # The principal axes alone would give one that is much too large.
    rng = np.random.default_rng(2)
    size = np.array([0.2, 0.2, 0.2])
    faces = []
    for axis in range(3):
        face = rng.uniform(-0.5, 0.5, (700, 3))
        face[:, axis] = -0.5
        faces.append(face)
    turned = rotation(0.5, 0.6, 0.2)
    box = oriented_box(np.concatenate(faces) * size @ turned.T + (0.0, 0.0, 1.0))
    np.testing.assert_allclose(box.size, size, atol=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_axes_are_a_rotation_ordered_by_length(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((200, 3)) * rng.uniform(0.01, 0.3, 3) + (0.0, 0.0, 2.0)
    box = oriented_box(points)
    np.testing.assert_allclose(box.rotation @ box.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(box.rotation) == pytest.approx(1.0)
    assert list(box.size) == sorted(box.size, reverse=True)
    assert box.rotation[:, 2] @ np.array(box.centre) <= 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_points_have_a_box_too(count: int) -> None:
    box = oriented_box(np.arange(3.0 * count).reshape(count, 3) + 1.0)
    assert np.isfinite(box.size).all()
    assert np.isfinite(box.rotation).all()


@pytest.mark.parametrize("seed", range(10))
def test_quaternions_turn_as_their_matrices_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rotation(*rng.uniform(-np.pi, np.pi, 3))
    x, y, z, w = quaternion(matrix)
    assert w >= 0
    assert x * x + y * y + z * z + w * w == pytest.approx(1.0)
    vector, axis = rng.standard_normal(3), np.array([x, y, z])
    turned = vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)
    np.testing.assert_allclose(turned, matrix @ vector, atol=1e-9)


@pytest.mark.parametrize(
    "values", [(0.0, 0.0, 0.0, 0.0), (300.0, np.nan, 1.0, 1.0), (-300.0, 300.0, 1.0, 1.0)]
)
def test_uncalibrated_cameras_are_refused(values: tuple[float, float, float, float]) -> None:
    with pytest.raises(GeometryError, match="not calibrated"):
        Intrinsics(*values)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="shape"):
        usable_depth(np.ones((2, 2, 1), np.float32))
    with pytest.raises(GeometryError, match="shape"):
        oriented_box(np.zeros((0, 3)))
