"""The gallery: what a model makes of scenes, where it fails, what corrections do, photographs.

Nothing is picked by hand: every sheet says by which rule its pictures were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rose_ros.data.corrections import KINDS, Correction, correct
from rose_ros.data.tabletop import Scene, render
from rose_ros.data.views import LabelledView
from rose_ros.errors import DataError
from rose_ros.evaluation.corrector import apply_correction
from rose_ros.evaluation.evaluate import HEIGHT, WIDTH
from rose_ros.evaluation.metrics import SegmentScores, set_iou
from rose_ros.evaluation.pictures import Picture, Tile, draw, frame_of, make_sheet
from rose_ros.perception.masks import instance_image
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.segments import SegmentedFrame

SPLIT = "test"
#: Scenes shown, and failures shown.
SHOWN, FAILURES = 12, 6
#: Corrections shown: one of every kind.
CORRECTIONS = KINDS
#: Photographs of everyday things that lie in scikit-image's wheel: no download.
PHOTOS = (
    "coffee.png",
    "coins.png",
    "chelsea.png",
    "astronaut.png",
    "camera.png",
    "rocket.jpg",
)
#: Scenes tried for one correction before giving up.
_TRIES = 20

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of pictures, RGB (height, width, 3), and what to say of it."""

    picture: Picture
    caption: str


@dataclass(frozen=True, slots=True)
class _Tried:
    """One scene, what was made of it and how good that is."""

    quality: float
    seed: int
    scene: Scene
    frame: SegmentedFrame


def scenes_sheet(perceiver: Perceiver, seed: int, done: Step) -> Sheet:
    """Show the first ``SHOWN`` test scenes from ``seed`` on."""
    tiles = []
    for number in range(seed, seed + SHOWN):
        image = _scene(number).image
        frame = perceiver.segment(image)
        tiles.append(Tile(draw(image, frame, 480), (f"seed {number}",)))
        done()
    last = seed + SHOWN - 1
    return Sheet(make_sheet(tiles, 3), f"The {SPLIT} scenes of seeds {seed} to {last}, all of them")


def failures_sheet(perceiver: Perceiver, seed: int, scenes: int, done: Step) -> Sheet:
    """Show the ``FAILURES`` scenes of lowest panoptic quality among ``scenes``."""
    worst: list[_Tried] = []
    for number in range(seed, seed + scenes):
        worst.append(_try(perceiver, number))
        worst.sort(key=lambda tried: (tried.quality, tried.seed))
        del worst[FAILURES:]
        done()
    tiles = []
    for tried in worst:
        scene = tried.scene
        objects = [obj for obj in scene.objects if (scene.ids == obj.id).any()]
        masks = np.stack([scene.ids == obj.id for obj in objects])
        truth = frame_of(masks, [obj.name for obj in objects])
        picture = draw(scene.image, truth, 360, names_only=True)
        tiles.append(Tile(picture, (f"seed {tried.seed}: what is there",)))
        made = f"what was seen, PQ {tried.quality:.2f}"
        tiles.append(Tile(draw(scene.image, tried.frame, 360), (made,)))
    caption = (
        f"The {len(worst)} of {scenes} {SPLIT} scenes (seeds {seed} to {seed + scenes - 1}) with "
        "the lowest panoptic quality: what is there, and what was seen"
    )
    return Sheet(make_sheet(tiles, 4), caption)


def corrections_sheet(perceiver: Perceiver, seed: int, done: Step) -> Sheet:
    """Show one correction of every kind, in words that training did not use."""
    tiles = []
    for index, kind in enumerate(CORRECTIONS):
        scene, correction = _correction(kind, seed + index)
        encoding = perceiver.encode(scene.image)
        everything = perceiver.everything(encoding)
        outcome = apply_correction(perceiver, encoding, correction, everything)
        wanted, before = correction.target_masks, correction.previous_mask[None]
        labels = (correction.label,)
        after_iou = set_iou(outcome.masks, wanted)
        pair = (frame_of(before, labels), frame_of(outcome.masks, outcome.names))
        left, right = (draw(scene.image, frame, 320, wanted, names_only=True) for frame in pair)
        said = f'{kind}: "{correction.text}"'
        tiles.append(Tile(left, (said, f"before: IoU {set_iou(before, wanted):.2f}")))
        tiles.append(Tile(right, (f"after: IoU {after_iou:.2f}", _named(outcome.names))))
        done()
    caption = (
        "One correction of every kind, before and after, outlined in white what was wanted; "
        "phrasings that training did not use, previous masks made up; each kind in the "
        f"{SPLIT} scene of the next seed from {seed} on, or the first after it that has the means"
    )
    return Sheet(make_sheet(tiles, 4), caption)


def photos_sheet(perceiver: Perceiver, done: Step) -> Sheet:
    """Show what the model makes of photographs, which it was never trained on."""
    tiles = []
    for path in find_photos():
        image = read_photo(path)
        width = min(480, round(360 * image.shape[1] / image.shape[0]))
        frame = perceiver.segment(image)
        tiles.append(Tile(draw(image, frame, width), (path.stem.replace("_", " "),)))
        done()
    caption = "Photographs that come with scikit-image; nothing of the kind was learned"
    return Sheet(make_sheet(tiles, 3), caption)


def find_photos() -> list[Path]:
    """Return the files of ``PHOTOS``; raises ``DataError`` that says how to get them."""
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise DataError(
            "the photographs come with scikit-image, which is not installed; "
            "pip install scikit-image, or choose other --sheets"
        )
    folder = Path(found.submodule_search_locations[0]) / "data"
    missing = [name for name in PHOTOS if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"this version of scikit-image comes without {', '.join(missing)}; "
            "pip install scikit-image==0.26.0, or choose other --sheets"
        )
    return [folder / name for name in PHOTOS]


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read an image file as RGB (height, width, 3), at most 960 pixels wide or high."""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise DataError(f"{path} cannot be read as an image")
    scale = min(1.0, 960 / max(pixels.shape[:2]))
    if scale < 1.0:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[..., ::-1], np.uint8)


def _scene(seed: int) -> Scene:
    """Render what ``evaluate`` measures on."""
    return render(seed, SPLIT, height=HEIGHT, width=WIDTH)


def _try(perceiver: Perceiver, seed: int) -> _Tried:
    scene = _scene(seed)
    frame = perceiver.segment(scene.image)
    scores = SegmentScores()
    scores.add(
        instance_image(frame.segments, frame.height, frame.width),
        {i: segment.label.text for i, segment in enumerate(frame.segments, start=1)},
        scene.ids,
        {obj.id: obj.name for obj in scene.objects},
    )
    quality = scores.result()["pq"]
    return _Tried(1.0 if quality is None else quality, seed, scene, frame)


def _correction(kind: str, first: int) -> tuple[Scene, Correction]:
    """Return the first scene from a seed on that can make a correction, and the correction."""
    for scene, seed in _scenes_from(first):
        rng = np.random.default_rng(seed)
        correction = correct(LabelledView.from_scene(scene), rng, kind, held_out=True)
        if correction is not None:
            return scene, correction
    raise DataError(f"none of {_TRIES} scenes from seed {first} on can make a {kind} correction")


def _scenes_from(first: int) -> Iterator[tuple[Scene, int]]:
    for seed in range(first, first + _TRIES):
        yield _scene(seed), seed


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names) if names else "(nothing is left)"
