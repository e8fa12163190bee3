"""Identity across frames: which segment is which, and what it is called, steadied over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rose_ros.errors import RequestError
from rose_ros.perception.corrections import Correction
from rose_ros.perception.masks import iou_matrix
from rose_ros.perception.naming import LabelVotes, NameSchedule
from rose_ros.perception.segments import Label, LabelSource

#: Weights of overlap, category and nearness in the similarity of a track and a segment.
_OVERLAP, _CATEGORY, _NEARNESS = 0.5, 0.3, 0.2
#: How much of the last embedding a track keeps at each frame.
_EMBEDDING_DECAY = 0.8
#: Tracks per camera; the longest missing go first.
_MAX_TRACKS = 512
#: Masks of two frames that overlap more are one object, whatever its name.
_SAME_PLACE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """How identities are kept.

    min_iou: masks that overlap at least this much may be one object. min_cosine: without that
    overlap, the category embeddings must be this alike and the name one the track has had.
    reach: and the centre at most this many object sizes away. keep_factor: a tracked object stays
    down to this share of the objectness threshold. max_missed_frames, max_missed_seconds: a track
    ends when it has been missing for more than both; forget_seconds ends it in any case.
    vote_decay: weight of a name when the next one comes. switch_margin: how many times more votes
    another name needs. alternatives: how many other names are published. naming_interval: frames
    after which a steady object is named anew; 1 names everything in every frame.
    """

    min_iou: float = 0.2
    min_cosine: float = 0.8
    reach: float = 2.5
    keep_factor: float = 0.7
    max_missed_frames: int = 10
    max_missed_seconds: float = 3.0
    forget_seconds: float = 60.0
    vote_decay: float = 0.8
    switch_margin: float = 1.5
    alternatives: int = 3
    naming_interval: int = 16

    def __post_init__(self) -> None:
        """Refuse values outside their range with ``RequestError``."""
        for name in ("min_iou", "keep_factor", "vote_decay"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise RequestError(f"{name} is {getattr(self, name)}; allowed are 0 to 1")
        if self.switch_margin < 1.0:
            raise RequestError(f"switch_margin is {self.switch_margin}; allowed is 1 or more")
        if self.naming_interval < 1:
            raise RequestError(f"naming_interval is {self.naming_interval}; allowed is 1 or more")
        for name in ("reach", "max_missed_frames", "max_missed_seconds", "alternatives"):
            if getattr(self, name) < 0:
                raise RequestError(f"{name} is {getattr(self, name)}; allowed is 0 or more")


@dataclass(frozen=True, slots=True)
class Observation:
    """A segment of the newest frame: mask bool (rows, columns), unit embedding, name, score.

    The name is None when the model was not asked for it. waits: it is unsure and waits for a frame
    that has a close-up for it; it does not count where there is a name already.
    """

    mask: NDArray[np.bool_]
    embedding: NDArray[np.float32]
    name: str | None = None
    name_score: float = 0.0
    waits: bool = False

    @property
    def area(self) -> int:
        """Cells of the mask."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, slots=True)
class Match:
    """The track of an observation; ``sure``: whatever the names are."""

    track: Track
    sure: bool


@dataclass(slots=True)
class Track:
    """One object over time.

    mask: bool (rows, columns) at the model's resolution, as last seen by the model alone.
    shown: the same as last published. embedding: float32, unit length. missed: frames since.
    given: what planners corrected in it. inherited: what the session's rules make of it while
    nothing was. revision: refinements that changed it.
    """

    id: int
    mask: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    embedding: NDArray[np.float32]
    votes: LabelVotes
    seen_ns: int
    schedule: NameSchedule = field(default_factory=NameSchedule)
    missed: int = 0
    given: Correction = field(default_factory=Correction)
    inherited: Correction = field(default_factory=Correction)
    revision: int = 0

    @property
    def correction(self) -> Correction:
        """What holds: the planner's words about this track, else the session's rules."""
        return self.given if self.given.is_active else self.inherited

    def inherit(self, inherited: Correction) -> None:
        """Take over what the session's rules say now."""
        before = self.correction
        self.inherited = inherited
        self.revision += self.correction != before

    @property
    def label(self) -> Label:
        """What is published: the planner's name, else the steady one."""
        name = self.correction.name
        return Label(name, 1.0) if name else self.votes.label

    @property
    def label_source(self) -> LabelSource:
        """Who gave the label."""
        named = bool(self.correction.name)
        return LabelSource.FROM_REFINEMENT if named else LabelSource.FROM_MODEL

    def alternatives(self, limit: int) -> tuple[Label, ...]:
        """Return what else it may be called; the model's own name first when a planner renamed."""
        others = self.votes.others(limit)
        if self.correction.name:
            others = (self.votes.label, *others)
        label = self.label.text
        return tuple(other for other in others if other.text not in ("", label))[:limit]


class Tracker:
    """The tracks of one camera; per frame ``start``, ``assign`` as often as needed, ``finish``.

    ``frame`` is the number of the frame in work, from 1.
    """

    def __init__(self, ids: Iterator[int], options: TrackerOptions) -> None:
        """Take the ids of new tracks from ``ids``, which cameras share."""
        self.tracks: dict[int, Track] = {}
        self.options = options
        self._ids = ids
        self._stamp_ns = 0
        self.frame = 0
        self._seen: set[int] = set()

    def start(self, stamp_ns: int, shape: tuple[int, int] | None) -> None:
        """Begin a frame whose masks have ``shape``; end the tracks that were missing too long.

        ``shape`` None: nothing was seen. Tracks with masks of another shape cannot go on.
        """
        self._stamp_ns = stamp_ns
        self.frame += 1
        self._seen = set()
        for track in list(self.tracks.values()):
            changed = shape is not None and track.mask.shape != shape
            if changed or self._is_over(track):
                del self.tracks[track.id]
        longest_missing = sorted(self.tracks.values(), key=lambda track: -track.missed)
        for track in longest_missing[: max(0, len(self.tracks) - _MAX_TRACKS)]:
            del self.tracks[track.id]

    def _is_over(self, track: Track) -> bool:
        options = self.options
        seconds = (self._stamp_ns - track.seen_ns) / 1e9
        missing = track.missed > options.max_missed_frames and seconds > options.max_missed_seconds
        return missing or seconds > options.forget_seconds

    @property
    def unseen(self) -> list[Track]:
        """The tracks that nothing in this frame was assigned to so far."""
        return [track for track in self.tracks.values() if track.id not in self._seen]

    def assign(
        self, observations: Sequence[Observation], among: Sequence[Track] | None = None
    ) -> list[Match | None]:
        """Return the track of each observation, None for a new object; best total similarity.

        An observation without a name is taken for whatever its track was called.
        """
        tracks = self.unseen if among is None else list(among)
        matches: list[Match | None] = [None] * len(observations)
        if not tracks or not observations:
            return matches
        similarity, overlap = _similarity(tracks, observations, self.options)
        for row, column in zip(*linear_sum_assignment(-similarity), strict=True):
            if similarity[row, column] > 0:
                sure = bool(overlap[row, column] > _SAME_PLACE_IOU)
                matches[column] = Match(tracks[row], sure)
        return matches

    def is_due(self, track: Track, observation: Observation) -> bool:
        """Return whether to ask the model what a track that was observed again is called."""
        longest = self.options.naming_interval
        return track.schedule.is_due(self.frame, observation.area, observation.embedding, longest)

    def observe(self, track: Track, observation: Observation) -> None:
        """Bring a track up to date with what was seen of it."""
        blend = _EMBEDDING_DECAY * track.embedding
        track.embedding = unit(blend + (1 - _EMBEDDING_DECAY) * observation.embedding)
        self._vote(track, observation)
        track.mask = track.shown = observation.mask
        track.seen_ns = self._stamp_ns
        track.missed = 0
        self._seen.add(track.id)

    def create(self, observation: Observation) -> Track:
        """Begin a track with a new id."""
        votes = LabelVotes(self.options.vote_decay, self.options.switch_margin)
        mask = observation.mask
        track = Track(next(self._ids), mask, mask, observation.embedding, votes, self._stamp_ns)
        self._vote(track, observation)
        self.tracks[track.id] = track
        self._seen.add(track.id)
        return track

    def _vote(self, track: Track, observation: Observation) -> None:
        """Count what the model called a track, if it was asked."""
        if observation.name is None:
            return
        counts = not (observation.waits and track.votes.label.text)
        is_news = counts and observation.name not in track.votes
        if counts:
            track.votes.add(observation.name, observation.name_score)
        longest = self.options.naming_interval
        track.schedule.note(observation.area, observation.embedding, longest, is_news=is_news)

    def finish(self) -> None:
        """End a frame: count it as missed for the tracks that were not seen."""
        for track in self.unseen:
            track.missed += 1


def unit(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an embedding (width,) with length 1."""
    scaled: NDArray[np.float32] = embedding / max(float(np.linalg.norm(embedding)), 1e-12)
    return scaled.astype(np.float32)


def _similarity(
    tracks: Sequence[Track], observations: Sequence[Observation], options: TrackerOptions
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return similarity and mask IoU (tracks, observations), both in [0, 1].

    The similarity is 0 where they cannot be the same object.
    """
    old = np.stack([track.mask for track in tracks])
    new = np.stack([observation.mask for observation in observations])
    overlap = iou_matrix(old, new)
    cosine = (
        np.stack([track.embedding for track in tracks])
        @ np.stack([observation.embedding for observation in observations]).T
    )
    distance = np.linalg.norm(_centres(old)[:, None] - _centres(new)[None], axis=2)
    sizes = np.sqrt(np.maximum(old.sum(axis=(1, 2)), 1.0))[:, None]
    nearness = np.exp(-0.5 * (distance / sizes) ** 2)
    names = [observation.name for observation in observations]
    had = np.array([[n is None or n in track.votes for n in names] for track in tracks])
    jumped = (cosine >= options.min_cosine) & had & (distance <= options.reach * sizes)
    possible = (overlap >= options.min_iou) | jumped
    similarity = _OVERLAP * overlap + _CATEGORY * np.maximum(cosine, 0) + _NEARNESS * nearness
    return np.where(possible, similarity, 0.0).astype(np.float32), overlap


def _centres(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the centres of mass (n, 2), (x, y) in cells, of masks (n, rows, columns)."""
    areas = np.maximum(masks.sum(axis=(1, 2)), 1)
    rows = masks.sum(axis=2) @ np.arange(masks.shape[1]) / areas
    columns = masks.sum(axis=1) @ np.arange(masks.shape[2]) / areas
    return np.stack([columns, rows], axis=1).astype(np.float32)
