"""What everything is measured on: scenes of the simulated tabletop, and a camera moving over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import Scene, build_world

Image = NDArray[np.uint8]

#: What the model never saw in training.
SPLIT = "test"
#: Pixels (height, width) of most benchmarks.
SIZE = (480, 640)
#: The world that the camera moves over, and the poses of a whole turn.
ORBIT_SEED, ORBIT_POSES = 7, 60


def scenes(count: int, report: Callable[[int], None]) -> list[Image]:
    """Render one image each of ``count`` worlds; ``report`` takes how many are done."""
    images = []
    for seed in range(count):
        images.append(build_world(seed, SPLIT).render(height=SIZE[0], width=SIZE[1]).image)
        report(seed + 1)
    return images


def orbit(
    poses: int, report: Callable[[int], None], size: tuple[int, int] = SIZE, seed: int = ORBIT_SEED
) -> list[Scene]:
    """Render the first poses of a camera that moves slowly over one world."""
    world = build_world(seed, SPLIT)
    found = []
    for view in world.orbit(ORBIT_POSES)[:poses]:
        found.append(world.render(view, height=size[0], width=size[1]))
        report(len(found))
    return found


def there_and_back(count: int, hold: int) -> Iterator[int]:
    """Walk up and down ``count`` poses for ever, staying ``hold`` frames at each."""
    way = [*range(count), *range(count - 2, 0, -1)]
    while True:
        for pose in way:
            yield from [pose] * hold
