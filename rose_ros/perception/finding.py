"""What a planner's description means in one frame: names and places first, then the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import RequestError
from rose_ros.perception.following import SAME_IOU
from rose_ros.perception.history import Record, mask_of, with_identity
from rose_ros.perception.masks import bounding_box, content_cells
from rose_ros.perception.perceiver import Perceiver, clean_name
from rose_ros.perception.referring import (
    LIKELY,
    Scene,
    bare_name,
    make_thing,
    phrases,
)
from rose_ros.perception.refinement import normalise_name
from rose_ros.perception.sampling import to_odds
from rose_ros.perception.segments import LabelSource, Segment
from rose_ros.perception.selection import Detections
from rose_ros.runtime.base import Encoding

#: Logit of what lies beyond the image.
_OUTSIDE = -10.0


def find(
    perceiver: Perceiver, record: Record, known: Sequence[Segment], text: str
) -> list[Segment]:
    """Return what a clean text describes in a frame whose segments are ``known``.

    A published name is an address: what bears it letter for letter is the answer, also when a
    planner made it up. What names and places cannot tell goes to the model, which may see what no
    segment is.
    """
    addressed = _called(known, text)
    if addressed:
        return addressed
    meant = scene_of(perceiver, record, known).refer(text)
    if meant:
        return [known[i] for i in meant]
    found = look(perceiver, record.encoding, text, meant)
    fresh = perceiver.to_segments(record.encoding, found)
    return with_identity(fresh, known, record, SAME_IOU)


def look(
    perceiver: Perceiver, encoding: Encoding, text: str, meant: Sequence[int] | None
) -> Detections:
    """Let the model look for what ``Scene.refer`` did not find: none, or None when it cannot tell.

    A thing that is asked for by its name alone may be one that no segment is. It must then pass
    for that name, too.
    """
    name = bare_name(text)
    if meant is not None and not name:
        return Detections.none(perceiver.runtime.mask_side)
    found = perceiver.find(encoding, text)
    if not name or not len(found):
        return found
    return found.take(np.flatnonzero(_may_be(perceiver, encoding, found, name)))


def other_meant(
    perceiver: Perceiver, encoding: Encoding, scene: Scene, found: Detections, text: str
) -> list[int] | None:
    """Return which things of a scene a correction means that was answered with another thing.

    What the text calls it counts more than where the model looked. Empty when nothing here is what
    it speaks of; None when it is what the model found.
    """
    spoken = scene.refer_within(text)
    if spoken == []:
        for name in filter(None, map(bare_name, phrases(text))):
            if _may_be(perceiver, encoding, found, name).any():
                return None
    return spoken


def _may_be(
    perceiver: Perceiver, encoding: Encoding, found: Detections, name: str
) -> NDArray[np.bool_]:
    """Return which detections, bool (n,), may be called ``name``."""
    return perceiver.likelihood(encoding, found.logits, found.embeddings, name) >= LIKELY


def scene_of(
    perceiver: Perceiver, record: Record, known: Sequence[Segment], it: int | None = None
) -> Scene:
    """Describe the segments of a frame to ``Scene``; a correction is about the one at ``it``."""
    size = record.frame.height, record.frame.width
    return _make_scene(
        perceiver,
        record.encoding,
        [segment.label.text for segment in known],
        np.array([mask_of(segment, record) for segment in known], bool).reshape(-1, *size),
        np.array([segment.embedding for segment in known], np.float32),
        np.array([s.label_source is LabelSource.FROM_MODEL for s in known], bool),
        it,
    )


def detected_scene(
    perceiver: Perceiver, encoding: Encoding, found: Detections, it: int | None = None
) -> Scene:
    """Describe named detections to ``Scene``: every name is the model's own guess."""
    names = [clean_name(name.text) for name in found.names]
    masks = perceiver.masks(encoding, found)
    guesses = np.ones(len(names), bool)
    return _make_scene(perceiver, encoding, names, masks, found.embeddings, guesses, it)


def _make_scene(
    perceiver: Perceiver,
    encoding: Encoding,
    names: Sequence[str],
    masks: NDArray[np.bool_],
    embeddings: NDArray[np.float32],
    is_guess: NDArray[np.bool_],
    it: int | None,
) -> Scene:
    """Describe segments to ``Scene``: masks (n, height, width), category embeddings (n, width).

    is_guess: bool (n,), False where a name is known, so that nothing else can be meant.
    """
    size = encoding.height, encoding.width
    things = []
    for name, mask in zip(names, masks, strict=True):
        x0, y0, x1, y1 = bounding_box(mask)
        things.append(make_thing(name, mask[y0:y1, x0:x1], (x0, y0), size))

    def likelihood(name: str) -> NDArray[np.float32]:
        side = perceiver.runtime.mask_side
        rows, columns = content_cells(side, encoding.content)
        logits = np.full((len(masks), side, side), _OUTSIDE, np.float32)
        for row, mask in zip(logits, masks, strict=True):
            row[:rows, :columns] = to_odds(mask, rows, columns)
        return perceiver.likelihood(encoding, logits, embeddings, name) * is_guess

    return Scene(things, likelihood, it)


def _called(segments: Sequence[Segment], text: str) -> list[Segment]:
    """Return the segments that bear a name letter for letter; none when it cannot be a name."""
    try:
        name = normalise_name(text)
    except RequestError:
        return []
    return [segment for segment in segments if segment.label.text == name]
