"""Tabletop scenes: the same twice, and image, ids, parts, depth and camera agree."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.data.tabletop import PARTS, SURFACES, Scene, build_world, render
from rose_ros.errors import DataError

SEEDS = range(6)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render(seed, "test", height=120, width=160) for seed in SEEDS]


def points_of(scene: Scene) -> NDArray[np.float64]:
    """Back-project every pixel into the world: (height, width, 3)."""
    height, width = scene.ids.shape
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1).astype(float)
    rays = pixels @ np.linalg.inv(scene.intrinsics).T
    camera = rays * scene.depth[..., None]
    return camera @ scene.camera_to_world[:3, :3].T + scene.camera_to_world[:3, 3]


def test_the_same_arguments_give_the_same_scene() -> None:
    first, second = (render(7, height=48, width=64) for _ in range(2))
    for name in ("image", "ids", "parts", "depth", "normals", "intrinsics", "camera_to_world"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.objects == second.objects


def test_splits_and_seeds_are_different_worlds() -> None:
    scenes = [render(3, split, height=24, width=32) for split in ("train", "test", "novel")]
    scenes.append(render(4, "train", height=24, width=32))
    for k, one in enumerate(scenes):
        for other in scenes[k + 1 :]:
            assert not np.array_equal(one.depth, other.depth)
            assert not np.array_equal(one.image, other.image)


def test_every_pixel_belongs_to_an_object(scenes: list[Scene]) -> None:
    for scene in scenes:
        known = [thing.id for thing in scene.objects]
        assert known == list(range(1, len(known) + 1))
        assert np.isin(scene.ids, known).all()
        assert scene.ids.dtype == np.uint8
        assert scene.image.dtype == np.uint8
        assert scene.image.shape == (120, 160, 3)
        assert scene.depth.dtype == np.float32
        assert 1 <= len(known) - len(SURFACES) <= 12


def test_depth_puts_every_pixel_on_its_object(scenes: list[Scene]) -> None:
    for scene in scenes:
        points = points_of(scene)
        for thing in scene.objects:
            mine = points[scene.ids == thing.id]
            if len(mine) == 0:
                continue
            half = np.array(thing.size) / 2
            inside = np.abs(mine - np.array(thing.position)) <= half + 1e-3
            assert inside.all(), thing.name


def test_normals_face_the_camera_and_the_table_faces_up(scenes: list[Scene]) -> None:
    for scene in scenes:
        towards = scene.camera_to_world[:3, 3] - points_of(scene)
        cosine = np.einsum("yxc,yxc->yx", scene.normals.astype(float), towards)
        assert (cosine > -1e-2).all()
        top = (scene.ids == SURFACES["table"]) & (np.abs(points_of(scene)[..., 2]) < 1e-4)
        np.testing.assert_allclose(scene.normals[top][:, 2], 1.0, atol=1e-2)


def test_parts_lie_in_objects_that_have_them(scenes: list[Scene]) -> None:
    found = set()
    for scene in scenes:
        assert scene.part_names[0] == ""
        by_id = {thing.id: thing for thing in scene.objects}
        named = scene.parts > 0
        pairs = set(zip(scene.ids[named], scene.parts[named], strict=True))
        for identity, part in pairs:
            thing, name = by_id[int(identity)], scene.part_names[part]
            assert name in PARTS[thing.noun]
            assert thing.parts == PARTS[thing.noun]
            found.add(name)
    assert len(found) >= 3


def test_names_are_colour_and_noun() -> None:
    for thing in build_world(0).objects:
        if thing.noun in SURFACES:
            assert thing.name == thing.noun
            assert thing.id == SURFACES[thing.noun]
        else:
            assert thing.name == f"{thing.colour} {thing.noun}"


def test_objects_do_not_run_into_each_other() -> None:
    for seed in range(15):
        world = build_world(seed)
        owner, corners = world._triangles.owner, world._triangles.corners
        clouds = [
            corners[owner == thing.id].reshape(-1, 3)[:, :2]
            for thing in world.objects[len(SURFACES) :]
        ]
        for k, one in enumerate(clouds):
            for other in clouds[k + 1 :]:
                assert _apart(one, other), f"objects of seed {seed} overlap"


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Look for a line between two convex hulls in the plane among 90 directions."""
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    axes = np.stack([np.cos(angles), np.sin(angles)])
    a, b = one @ axes, other @ axes
    gap = np.maximum(a.min(axis=0) - b.max(axis=0), b.min(axis=0) - a.max(axis=0))
    return bool(gap.max() > 0)


def test_most_objects_are_seen_at_a_useful_size(scenes: list[Scene]) -> None:
    seen = [
        np.sqrt((scene.ids == thing.id).sum())
        for scene in scenes
        for thing in scene.objects[len(SURFACES) :]
    ]
    assert np.mean(np.array(seen) > 0) > 0.9
    assert 8 < np.median(seen) < 60


def test_shadows_and_light_are_there(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.std() > 8
        assert 25 < scene.image.mean() < 235


def test_pixel_aspect_squeezes_the_same_view_into_a_square() -> None:
    world = build_world(11)
    wide = world.render(height=96, width=128)
    square = world.render(height=96, width=96, pixel_aspect=4 / 3)
    assert square.intrinsics[0, 0] == pytest.approx(wide.intrinsics[0, 0] * 3 / 4)
    assert square.intrinsics[1, 1] == pytest.approx(wide.intrinsics[1, 1])
    for thing in world.objects:
        share = [(scene.ids == thing.id).mean() for scene in (wide, square)]
        assert share[0] == pytest.approx(share[1], abs=0.01)
    assert np.array_equal(square.camera_to_world, wide.camera_to_world)


def test_an_orbit_is_closed_slow_and_keeps_ids() -> None:
    world = build_world(5)
    views = world.orbit(60, degrees=12)
    assert len(views) == 60
    np.testing.assert_allclose(views[0].position, world.default_view.position, atol=1e-9)
    path = np.array([view.position for view in views])
    steps = np.linalg.norm(np.roll(path, -1, axis=0) - path, axis=1)
    assert 0 < steps.max() < 0.05
    start = world.render(height=60, width=80)
    for view in (views[15], views[45]):
        turned = world.render(view, height=60, width=80)
        assert turned.objects == start.objects
        assert not np.array_equal(turned.depth, start.depth)
        points = points_of(turned)
        for thing in turned.objects[len(SURFACES) :]:
            mine = points[turned.ids == thing.id]
            limit = np.array(thing.size) / 2 + 1e-3
            assert (np.abs(mine - np.array(thing.position)) <= limit).all()


def test_intrinsics_put_the_target_in_the_middle() -> None:
    world = build_world(2)
    scene = world.render(height=61, width=81)
    target = np.array([*world.default_view.target, 1.0])
    camera = np.linalg.inv(scene.camera_to_world) @ target
    pixel = scene.intrinsics @ camera[:3] / camera[2]
    np.testing.assert_allclose(pixel, (40.0, 30.0, 1.0), atol=1e-6)
    rotation = scene.camera_to_world[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert rotation[2, 1] < 0, "the camera's y axis points down"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "negative"),
        ({"seed": 0, "split": "validation"}, "train, test, novel"),
        ({"seed": 0, "height": 0}, "at least 1"),
        ({"seed": 0, "pixel_aspect": 0.0}, "above 0"),
    ],
)
def test_wrong_arguments_are_refused_with_a_reason(
    arguments: dict[str, int | str | float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        render(**arguments)  # type: ignore[arg-type]


def test_a_single_pixel_can_be_rendered() -> None:
    assert render(0, height=1, width=1).ids.shape == (1, 1)
