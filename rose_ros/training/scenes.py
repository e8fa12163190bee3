"""Scenes rendered ahead into shards on disk, so that training never waits for rays."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import render
from rose_ros.data.views import LabelledView
from rose_ros.errors import DataError
from rose_ros.progress import track

SHARD = 200
# Fields of view squeezed into the square, as the processor squeezes camera images.
ASPECTS = (4 / 3, 4 / 3, 4 / 3, 1.0, 16 / 9)


@dataclass(frozen=True, slots=True)
class CachedObject:
    """One object of a cached scene; enough for names and descriptions."""

    id: int
    noun: str
    colour: str
    name: str


@dataclass(frozen=True, slots=True)
class CachedScene:
    """A rendered scene: RGB image (size, size, 3) and what ``LabelledView`` is made of."""

    image: NDArray[np.uint8]
    ids: NDArray[np.int32]
    parts: NDArray[np.uint8]
    part_names: tuple[str, ...]
    objects: tuple[CachedObject, ...]


class SceneCache:
    """Read access to rendered scenes: square images with instance and part labels."""

    def __init__(self, folder: Path) -> None:
        self._shards = sorted(folder.glob("shard-*.json"))
        if not self._shards:
            raise DataError(f"no rendered scenes in {folder}; render them first")
        self._starts = np.cumsum([0] + [len(json.loads(one.read_text())) for one in self._shards])
        self._open: dict[int, tuple[list[dict[str, Any]], NDArray[np.uint8]]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], LabelledView]:
        """Return the RGB image (size, size, 3) and the labels of scene ``index``."""
        scene = self.scene(index)
        return scene.image, LabelledView(scene.ids, scene.parts, scene.part_names, scene.objects)

    def scene(self, index: int) -> CachedScene:
        """Return scene ``index`` as it was rendered."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        scenes, pixels = self._load(shard)
        scene, layers = scenes[index - self._starts[shard]], pixels[index - self._starts[shard]]
        return CachedScene(
            image=layers[:3].transpose(1, 2, 0),
            ids=layers[3].astype(np.int32),
            parts=layers[4],
            part_names=tuple(scene["part_names"]),
            objects=tuple(CachedObject(**fields) for fields in scene["objects"]),
        )

    def _load(self, shard: int) -> tuple[list[dict[str, Any]], NDArray[np.uint8]]:
        if shard not in self._open:
            path = self._shards[shard]
            pixels = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            self._open[shard] = json.loads(path.read_text()), pixels
        return self._open[shard]


def render_ahead(folder: Path, scenes: int, size: int, seed: int, workers: int) -> SceneCache:
    """Render ``scenes`` training scenes of (size, size) pixels; finished shards are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (folder / f"shard-{first // SHARD:05d}.json", range(first, min(first + SHARD, scenes)))
        for first in range(0, scenes, SHARD)
    ]
    todo = [(path, numbers) for path, numbers in jobs if not path.exists()]
    if todo:
        # Spawned, not forked: the caller may hold threads that a fork would leave behind locked.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            running = [pool.submit(_render_shard, *job, size, seed) for job in todo]
            for job in track(running, f"rendering {sum(len(one[1]) for one in todo)} scenes"):
                job.result()
    return SceneCache(folder)


def _render_shard(path: Path, numbers: range, size: int, seed: int) -> None:
    pixels = np.empty((len(numbers), 5, size, size), np.uint8)
    scenes = []
    for index, number in enumerate(numbers):
        aspect = ASPECTS[number % len(ASPECTS)]
        scene = render(seed + number, "train", height=size, width=size, pixel_aspect=aspect)
        pixels[index, :3] = scene.image.transpose(2, 0, 1)
        pixels[index, 3] = scene.ids
        pixels[index, 4] = scene.parts
        objects = [
            asdict(CachedObject(one.id, one.noun, one.colour, one.name)) for one in scene.objects
        ]
        scenes.append({"objects": objects, "part_names": list(scene.part_names)})
    np.save(path.with_suffix(".npy"), pixels, allow_pickle=False)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(scenes))
    os.replace(temporary, path)
