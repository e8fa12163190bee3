"""What passes between the rooms: segments, frames, requests and replies."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class LabelSource(IntEnum):
    """Who named a segment; the values of rose_ros/msg/Segment."""

    FROM_MODEL = 0
    FROM_REFINEMENT = 1


class Scope(IntEnum):
    """How long a correction holds; the values of rose_ros/srv/Refine."""

    FRAME = 0
    TRACK = 1
    SESSION = 2


class Status(IntEnum):
    """How a request ended; the values of rose_ros/srv/Refine and Find."""

    OK = 0
    NO_CHANGE = 1
    NOT_UNDERSTOOD = 2
    NO_TARGET = 3
    AMBIGUOUS = 4
    STALE_FRAME = 5
    BUSY = 6
    NOT_ACTIVE = 7
    INVALID_REQUEST = 8
    TIMEOUT = 9
    INTERNAL_ERROR = 10


@dataclass(frozen=True, slots=True)
class RunMask:
    """A mask as run lengths of its box: small on the wire, exact.

    x, y, width, height: the box in pixels of the received image, half-open.
    runs: uint32, row-major over the box, alternating background and foreground; the first run is
    background (possibly 0) and the sum is width * height.
    """

    x: int
    y: int
    width: int
    height: int
    runs: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Label:
    """A lower-case noun phrase of at most 128 bytes and its probability in [0, 1]."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Segment:
    """One instance in one frame.

    id: stable while tracked, unique in the session; 0 = untracked.
    score: probability that it is one thing [0, 1]; mask_quality: predicted IoU in [0, 1].
    area: pixels; anchor: (x, y) pixels, a point inside the mask; truncated: touches the border.
    embedding: the category embedding, float32 (language_width,), for tracking.
    """

    id: int
    label: Label
    alternatives: tuple[Label, ...]
    label_source: LabelSource
    revision: int
    score: float
    mask_quality: float
    mask: RunMask
    area: int
    anchor: tuple[float, float]
    truncated: bool
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds spent on one frame inside perception; waiting: on requests that were let in."""

    preprocess: float = 0.0
    inference: float = 0.0
    postprocess: float = 0.0
    waiting: float = 0.0


@dataclass(frozen=True, slots=True)
class SegmentedFrame:
    """What came out of one frame; segments in ascending id, masks do not overlap."""

    camera: str
    stamp_ns: int
    sequence: int
    height: int
    width: int
    segments: tuple[Segment, ...]
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class RefineRequest:
    """A correction in words. ``stamp_ns`` 0 means the latest frame; ``session_id`` 0 unchecked."""

    text: str
    segment_ids: tuple[int, ...] = ()
    camera: str = ""
    stamp_ns: int = 0
    session_id: int = 0
    scope: Scope = Scope.TRACK


@dataclass(frozen=True, slots=True)
class RefineReply:
    """The corrected segments only (all candidates when AMBIGUOUS), in the frame meant."""

    status: Status
    message: str
    frame: SegmentedFrame | None = None
    segments: tuple[Segment, ...] = ()
    removed_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FindRequest:
    """A description to look for. ``stamp_ns`` 0 means the latest frame."""

    text: str
    camera: str = ""
    stamp_ns: int = 0


@dataclass(frozen=True, slots=True)
class FindReply:
    """The segments that fit the description; those already tracked keep their id."""

    status: Status
    message: str
    frame: SegmentedFrame | None = None
    segments: tuple[Segment, ...] = ()
