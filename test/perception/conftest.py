"""A scripted runtime that sees plainly coloured shapes, so that tests are about perception."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime

#: Colour -> (RGB, name).
COLOURS = {
    "red": ((200, 0, 0), "red mug"),
    "green": ((0, 200, 0), "green bowl"),
    "blue": ((0, 0, 200), "blue box"),
    "yellow": ((200, 200, 0), "yellow ball"),
    "pink": ((250, 100, 150), "handle"),
}
SIDE = 128
GRID = 16

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Thing:
    """A connected region of one colour: mask bool (height, width)."""

    colour: str
    mask: Mask


class FakeRuntime(Runtime):
    """Sees connected regions of plain colour exactly; a mask embedding is the mask itself.

    It understands "Segment everything.", "Segment every part." (what is pink), "Segment the red
    mug." and, with a previous mask,
    "include the X", "without the X", "split it" and "not that, X", where X is a colour or a noun.
    Colours in ``blind_to`` are seen only when asked for. ``names`` and ``objectness`` replace
    what it says about a colour; ``answers``, which text it takes another for; ``parts``, what any
    region may be. ``calls`` are the texts so far.
    """

    kind = "fake"
    model_name = "fake"
    device = "cpu"
    mask_side = SIDE

    def __init__(self) -> None:
        self.blind_to: set[str] = set()
        self.names: dict[str, RegionName] = {}
        self.objectness: dict[str, float] = {}
        self.answers: dict[str, str] = {}
        self.parts: set[str] = {"handle"}
        self.calls: list[str] = []

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        things = []
        for colour, (rgb, _) in COLOURS.items():
            count, labels = cv2.connectedComponents((image == rgb).all(axis=2).astype(np.uint8))
            things += [Thing(colour, labels == i) for i in range(1, count)]
        height, width = image.shape[:2]
        longest = max(height, width)
        content = width / longest, height / longest
        return Encoding(height, width, content, tuple(things), image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: Mask | None = None
    ) -> Candidates:
        self.calls.append(text)
        things: tuple[Thing, ...] = encoding.features
        if previous_mask is not None:
            asked = text.split(". ", 1)[1]
            found = edit(things, previous_mask, self.answers.get(asked, asked))
        elif text == "Segment everything.":
            found = [thing for thing in things if thing.colour not in self.blind_to]
        elif text == "Segment every part.":
            found = [thing for thing in things if thing.colour == "pink"]
        else:
            found = [thing for thing in things if says(text, thing.colour)]
        rows = [row for thing in found for row in self._super_patches(thing)]
        return Candidates(
            np.array([row[0] for row in rows], np.float32),
            np.array([row[1] for row in rows], np.float32).reshape(-1, 2),
            np.array([row[2] for row in rows], np.float32).reshape(-1, SIDE * SIDE),
            np.array([row[3] for row in rows], np.float32).reshape(-1, len(COLOURS)),
        )

    def _super_patches(
        self, thing: Thing
    ) -> Iterable[tuple[float, tuple[float, float], NDArray[np.float32], NDArray[np.float32]]]:
        """Yield a peak at the middle of a thing and soft heat around it."""
        longest = max(thing.mask.shape)
        square = np.zeros((longest, longest), np.float32)
        square[: thing.mask.shape[0], : thing.mask.shape[1]] = thing.mask
        small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()
        ys, xs = np.nonzero(thing.mask)
        x, y = int(xs.mean() / longest * GRID), int(ys.mean() / longest * GRID)
        peak = self.objectness.get(thing.colour, 0.9)
        category = np.eye(len(COLOURS), dtype=np.float32)[list(COLOURS).index(thing.colour)]
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                centre = (x + dx + 0.5) / GRID, (y + dy + 0.5) / GRID
                yield (peak if dx == dy == 0 else 0.7 * peak), centre, small, category

    def decode(
        self, encoding: Encoding, candidates: Candidates, previous_mask: Mask | None = None
    ) -> DecodedMasks:
        logits = 8 * (candidates.mask_embeddings.reshape(-1, SIDE, SIDE) - 0.5)
        return DecodedMasks(logits, np.full(len(candidates), 0.95, np.float32))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        colours = [list(COLOURS)[int(i)] for i in category_embeddings.argmax(axis=1)]
        return [self.names.get(c, RegionName(COLOURS[c][1], 0.9)) for c in colours]

    def likelihood(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
        name: str,
    ) -> NDArray[np.float32]:
        if name in self.parts:
            return np.ones(len(logits), np.float32)
        return super().likelihood(encoding, logits, category_embeddings, name)


def says(text: str, colour: str) -> bool:
    """Return whether a text speaks of a colour or its noun."""
    noun = COLOURS[colour][1].split()[-1]
    return re.search(rf"\b({colour}|{noun})\b", text.lower()) is not None


def edit(things: tuple[Thing, ...], previous: Mask, text: str) -> list[Thing]:
    """Return what a corrected mask is to be; its colour is the one it mostly shows."""
    colour = max(things, key=lambda thing: np.count_nonzero(thing.mask & previous)).colour
    meant = [thing for thing in things if says(text, thing.colour)]
    near = cv2.dilate(previous.astype(np.uint8), np.ones((7, 7))) > 0
    touching = [thing.mask for thing in meant if (thing.mask & near).any()]
    if "include" in text:
        return [Thing(colour, np.logical_or.reduce([previous, *touching]))] if touching else []
    if "without" in text:
        return [Thing(colour, previous & ~np.logical_or.reduce([previous & False, *touching]))]
    if "split" in text:
        count, labels = cv2.connectedComponents(previous.astype(np.uint8))
        return [Thing(colour, labels == i) for i in range(1, count)]
    return meant if text.startswith("not that") else []


Shape = tuple[str, int, int, int, int]
Painter = Callable[..., NDArray[np.uint8]]


@pytest.fixture
def paint() -> Painter:
    """Return a function that paints (colour, x, y, width, height) boxes on grey, later on top."""

    def draw(*boxes: Shape, size: tuple[int, int] = (240, 320)) -> NDArray[np.uint8]:
        image = np.full((*size, 3), 128, np.uint8)
        for colour, x, y, width, height in boxes:
            image[max(0, y) : y + height, max(0, x) : x + width] = COLOURS[colour][0]
        return image

    return draw


@pytest.fixture
def runtime() -> FakeRuntime:
    """Return a runtime that sees plainly coloured shapes."""
    return FakeRuntime()


@pytest.fixture
def session(runtime: FakeRuntime) -> PerceptionSession:
    """Return a session with session_id 77 on that runtime."""
    return PerceptionSession(runtime, SessionOptions(), session_id=77)
