"""One frame of a session: what the model sees, whose it is, and what planners made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rose_ros.model.prompts import EVERYTHING
from rose_ros.perception.corrections import MaskCorrection
from rose_ros.perception.history import Memory
from rose_ros.perception.masks import (
    Shape,
    content_cells,
    crop_content,
    exclusive_shapes,
    iou_matrix,
    resize_logits,
)
from rose_ros.perception.perceiver import Perceiver, clean_name
from rose_ros.perception.redrawing import redraw
from rose_ros.perception.segments import Segment
from rose_ros.perception.selection import Detections, PerceiverOptions
from rose_ros.perception.tracking import Observation, Track, Tracker, TrackerOptions, unit
from rose_ros.runtime.base import Encoding, RegionName

#: Added to the logits of a corrected mask where it competes: the planner's word counts more.
_CORRECTED_BONUS = 1e4
#: Factor by which the growth of a mask may differ from when the correction was given.
_GROWTH_TOLERANCE = 2.0
#: Share of the overlap with the uncorrected mask that must remain.
_OVERLAP_TOLERANCE = 0.5
#: A found mask that overlaps a known one more is the same thing.
SAME_IOU = 0.5


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session perceives, tracks and remembers.

    perceiver: as for single images, but with one close-up in a frame, for the next comes soon.
    history_frames, history_seconds: frames per camera that planners may still ask about.
    max_mask_corrections: mask corrections, the newest, that are applied anew to each frame; each
    costs a pass of the model, one of a part alone four, one of an outline three in a close-up.
    """

    perceiver: PerceiverOptions = field(default_factory=lambda: PerceiverOptions(close_ups=1))
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    history_frames: int = 32
    history_seconds: float = 10.0
    max_mask_corrections: int = 3


@dataclass(slots=True)
class Seen:
    """A tracked segment of the frame in work; logits (side, side), the rest as in Detections."""

    track: Track
    objectness: float
    quality: float
    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]
    bonus: float = 0.0


class FrameFollower:
    """Carries the identities and corrections of one camera into one new frame."""

    def __init__(
        self,
        perceiver: Perceiver,
        encoding: Encoding,
        memory: Memory,
        tracker: Tracker,
        options: SessionOptions,
    ) -> None:
        """Work on one encoded frame."""
        self._perceiver = perceiver
        self._encoding = encoding
        self._memory = memory
        self._tracker = tracker
        self._options = options
        self._seen: list[Seen] = []

    def detect(self) -> Detections:
        """Run the dense pass; what is too weak to be new may still be a track."""
        options = self._options.perceiver
        least = options.objectness_threshold * self._options.tracker.keep_factor
        return self._perceiver.detect(self._encoding, options.text or EVERYTHING, least)

    def follow(self, found: Detections, stamp_ns: int) -> tuple[Segment, ...]:
        """Return the frame's segments in ascending id, from what ``detect`` returned."""
        side = found.logits.shape[-1]
        shape = content_cells(side, self._encoding.content) if len(found) else None
        self._tracker.start(stamp_ns, shape)
        self._take_unnamed(found, self._options.perceiver.objectness_threshold)
        for seen in self._seen:
            self._memory.inherit(seen.track, self._options.tracker.min_cosine)
        self._apply_corrections()
        self._tracker.finish()
        return self._publish()

    def _take_unnamed(self, found: Detections, least_for_new: float) -> None:
        """Give detections to tracks, and names to those that need one.

        A detection in the place of a track is that track, and is named when the track's schedule
        says so. The others are named first, since names tell which tracks they may be; what no
        track can be and is too weak to begin one is left out.
        """
        observations = observe(found, self._encoding.content)
        matches = self._tracker.assign(observations)
        sure, asked = {}, []
        for i, match in enumerate(matches):
            if match is not None and match.sure:
                sure[i] = match.track
                if self._tracker.is_due(match.track, observations[i]):
                    asked.append(i)
            elif match is not None or found.objectness[i] >= least_for_new:
                asked.append(i)
        names, waiting = self._names(found, asked)
        for i, track in sure.items():
            named = with_name(observations[i], names.get(i), waits=i in waiting)
            self._see(track, found, i, named)
        rest = [i for i in asked if i not in sure]
        unclear = found.take(np.array(rest, np.int64))
        self._take(replace(unclear, names=tuple(names[i] for i in rest)), least_for_new)

    def _names(
        self, found: Detections, asked: Sequence[int]
    ) -> tuple[dict[int, RegionName], set[int]]:
        """Ask for the names of some detections, by index, as one batch.

        Returns them, and those that are unsure and wait for a frame that has a close-up for them.
        """
        index = np.array(asked, np.int64)
        named, waiting = self._perceiver.with_sure_names(
            self._encoding, found.take(index), self._tracker.frame
        )
        return dict(zip(asked, named.names, strict=True)), {asked[i] for i in waiting}

    def _take(
        self,
        found: Detections,
        least_for_new: float,
        among: Sequence[Track] | None = None,
    ) -> None:
        """Give named detections to tracks; those sure enough begin one when none fits."""
        observations = observe(found, self._encoding.content)
        for i, match in enumerate(self._tracker.assign(observations, among)):
            if match is not None:
                self._see(match.track, found, i, observations[i])
            elif found.objectness[i] >= least_for_new:
                self._add(self._tracker.create(observations[i]), found, i)

    def _see(self, track: Track, found: Detections, index: int, observation: Observation) -> None:
        """Take a detection for what is seen of a track."""
        self._tracker.observe(track, observation)
        self._add(track, found, index)

    def _add(self, track: Track, found: Detections, index: int) -> None:
        """Note what this frame shows of a track that is up to date."""
        self._seen.append(
            Seen(
                track,
                float(found.objectness[index]),
                float(found.quality[index]),
                found.logits[index],
                found.embeddings[index],
            )
        )

    def _apply_corrections(self) -> None:
        """Apply the newest mask corrections anew, then look for what planners added."""
        jobs = [(c, seen) for seen in self._seen for c in seen.track.correction.masks]
        jobs.sort(key=lambda job: (job[0].serial, -job[1].track.id))
        newest = jobs[max(0, len(jobs) - self._options.max_mask_corrections) :]
        for correction, seen in newest:
            self._correct(seen, correction)
        wanted = [track for track in self._tracker.unseen if track.correction.wanted]
        for track in wanted[: self._options.max_mask_corrections - len(newest)]:
            self._find(track)

    def _correct(self, seen: Seen, correction: MaskCorrection) -> None:
        """Apply one mask correction to this frame if it does what it did when it was given."""
        size = self._encoding.height, self._encoding.width
        content = self._encoding.content
        before = resize_logits(seen.logits[None], content, *size)[0] > 0
        found = redraw(self._perceiver, self._encoding, before, correction.label, correction.text)
        if not len(found):
            return
        if correction.several and len(found) > 1:
            masks = crop_content(found.logits, content) > 0
            best = int(iou_matrix(seen.track.shown[None], masks)[0].argmax())
            others = np.delete(np.arange(len(found)), best)
            self._replace(seen, found, best)
            pieces = self._perceiver.with_names(self._encoding, found.take(others))
            self._take(pieces, least_for_new=0.0)
            return
        after = self._perceiver.masks(self._encoding, found.take(np.arange(1)))[0]
        if is_consistent(before, after, correction):
            self._replace(seen, found, 0)

    def _replace(self, seen: Seen, found: Detections, index: int) -> None:
        seen.logits = found.logits[index]
        seen.quality = float(found.quality[index])
        seen.bonus = _CORRECTED_BONUS

    def _find(self, track: Track) -> None:
        """Look again for a segment that a planner added and the dense pass does not see."""
        found = self._perceiver.find(self._encoding, track.correction.wanted)
        if not len(found):
            return
        content = self._encoding.content
        if self._seen:
            known = crop_content(np.stack([seen.logits for seen in self._seen]), content) > 0
            overlap = iou_matrix(crop_content(found.logits, content) > 0, known)
            found = found.take(np.flatnonzero(overlap.max(axis=1) <= SAME_IOU))
        self._take(found, least_for_new=np.inf, among=[track])

    def _publish(self) -> tuple[Segment, ...]:
        """Give every pixel to one segment and put the segments together."""
        shown = [seen for seen in self._seen if not seen.track.correction.removed]
        if not shown:
            return ()
        height, width = self._encoding.height, self._encoding.width
        logits = np.stack([seen.logits for seen in shown])
        bonus = np.array([seen.bonus for seen in shown], np.float32)
        shapes = exclusive_shapes(logits, self._encoding.content, height, width, bonus)
        least = self._options.perceiver.min_share * height * width
        masks = crop_content(logits, self._encoding.content) > 0
        segments = []
        for seen, shape, mask in zip(shown, shapes, masks, strict=True):
            seen.track.shown = mask
            if shape is not None and shape.area >= least:
                segments.append(self._segment(seen, shape))
        return tuple(sorted(segments, key=lambda segment: segment.id))

    def _segment(self, seen: Seen, shape: Shape) -> Segment:
        track = seen.track
        return Segment(
            id=track.id,
            label=track.label,
            alternatives=track.alternatives(self._options.tracker.alternatives),
            label_source=track.label_source,
            revision=track.revision,
            score=self._perceiver.score(seen.objectness),
            mask_quality=seen.quality,
            mask=shape.mask,
            area=shape.area,
            anchor=shape.anchor,
            truncated=shape.truncated,
            embedding=seen.embedding,
        )


def observe(found: Detections, content: tuple[float, float]) -> list[Observation]:
    """Return detections, named or not, as a tracker sees them."""
    masks = crop_content(found.logits, content) > 0
    seen = [
        Observation(mask, unit(embedding))
        for mask, embedding in zip(masks, found.embeddings, strict=True)
    ]
    if not found.names:
        return seen
    return [with_name(*pair) for pair in zip(seen, found.names, strict=True)]


def with_name(
    observation: Observation, name: RegionName | None, *, waits: bool = False
) -> Observation:
    """Return an observation with what the model called it, if it was asked."""
    if name is None:
        return observation
    score = float(name.score)
    return replace(observation, name=clean_name(name.text), name_score=score, waits=waits)


def is_consistent(
    before: NDArray[np.bool_], after: NDArray[np.bool_], correction: MaskCorrection
) -> bool:
    """Return whether a correction changes a mask (h, w) much as it did when it was given."""
    growth = growth_of(before, after)
    overlap = float(iou_matrix(before[None], after[None])[0, 0])
    lowest, highest = 1 / _GROWTH_TOLERANCE, _GROWTH_TOLERANCE
    return (
        lowest <= growth / correction.growth <= highest
        and overlap >= _OVERLAP_TOLERANCE * correction.overlap
    )


def growth_of(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> float:
    """Return the area after divided by the area before, at least 1e-6."""
    area_before, area_after = int(np.count_nonzero(before)), int(np.count_nonzero(after))
    return max(1e-6, area_after / max(1, area_before))
