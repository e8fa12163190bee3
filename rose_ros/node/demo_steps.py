"""The steps of the demo: each asks something, shows before and after, and checks the reply."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import NOUNS, PARTS, SURFACES
from rose_ros.node.conversions import segment_from_message
from rose_ros.node.demo_view import Report
from rose_ros.node.planner import Planner, View, wait_for
from rose_ros.perception.masks import decode_runs
from rose_ros.perception.segments import LabelSource, Segment, SegmentedFrame, Status

#: Frames in which a segment must have been seen before the planner speaks of it.
_STEADY_FRAMES = 3
#: Later frames in which a renamed object must have kept its name.
HELD_FRAMES = 3
#: A corrected mask differs at least this much from the one before.
_MAX_SAME_IOU = 0.95
_MAX_ATTEMPTS = 16
#: Views of the moving camera in which something to correct is looked for, and s between them.
_MAX_VIEWS, _NEXT_VIEW = 6, 1.5


@dataclass(frozen=True, slots=True)
class Rename:
    """A rename that was answered: ``moment`` is seconds since 1970."""

    segment_id: int
    name: str
    moment: float


@dataclass(frozen=True, slots=True)
class Fix:
    """A correction of a mask to try: how the area may change, as a factor."""

    segment: Segment
    text: str
    least: float
    most: float


def steady_view(planner: Planner, seconds: float) -> View | None:
    """Return a new view with things that were seen a few times; None when time is over."""
    asked = time.time()

    def ready() -> View | None:
        view = planner.view
        fresh = view is not None and view.published > asked
        return view if view is not None and fresh and things(planner, view) else None

    return wait_for(ready, seconds)


def things(planner: Planner, view: View) -> list[Segment]:
    """Return the segments of a view that lasted, without the room's surfaces, largest first."""
    recent = [item.message for item in list(planner.arrivals)[-_STEADY_FRAMES:]]
    if len(recent) < _STEADY_FRAMES:
        return []
    lasting = set.intersection(*({segment.id for segment in array.segments} for array in recent))
    seen = [
        segment
        for segment in view.frame.segments
        if segment.id in lasting and segment.label.text not in SURFACES and not segment.truncated
    ]
    return sorted(seen, key=lambda segment: -segment.area)


def rename(planner: Planner, view: View, report: Report) -> Rename | None:
    """Give a thing another name and check the reply."""
    report.step("1. The planner knows better what something is")
    target = max(things(planner, view), key=lambda one: one.label.score)
    taken = {word for segment in view.frame.segments for word in segment.label.text.split()}
    name = f"spare {next(noun for noun in reversed(NOUNS) if noun not in taken)}"
    text = f"segment {target.id} is a {name}"
    report.say(f'refine: "{text}"')
    reply = planner.refine(view, text)
    moment = time.time()
    if reply is None:
        report.check(False, "refine was answered")
        return None
    after = [segment_from_message(segment) for segment in reply.segments]
    report.compare([target], after)
    right = (
        reply.status == Status.OK
        and [segment.id for segment in after] == [target.id]
        and after[0].label.text == name
        and after[0].label_source is LabelSource.FROM_REFINEMENT
        and reply.header == view.message.header
    )
    report.picture("1_rename_before", view, view.frame.segments)
    report.picture("1_rename_after", view, _replaced(view.frame, after))
    shown = f"{Status(reply.status).name} in {reply.elapsed:.2f} s: {reply.message}"
    return Rename(target.id, name, moment) if report.check(right, shown) else None


def fix_mask(planner: Planner, view: View, report: Report) -> None:
    """Correct a mask in words: try what fits the scene until one changes it as it should.

    Where all masks are right already there is nothing to correct; the camera moves, and shows more.
    """
    report.step("2. The planner corrects a mask")
    for _ in range(_MAX_VIEWS):
        if _fix_mask_in(planner, view, report):
            return
        time.sleep(_NEXT_VIEW)
        view = steady_view(planner, _NEXT_VIEW) or view
    report.check(False, f"one of the corrections in {_MAX_VIEWS} views changed a mask as it should")


def _fix_mask_in(planner: Planner, view: View, report: Report) -> bool:
    """Try corrections in one view; say whether one did what it should."""
    for attempt in fixes(things(planner, view))[:_MAX_ATTEMPTS]:
        target = attempt.segment
        report.say(f'refine {target.id} ({target.label.text}): "{attempt.text}"')
        reply = planner.refine(view, attempt.text, target.id)
        if reply is None:
            report.say("no answer", "yellow")
            return False
        after = [segment_from_message(segment) for segment in reply.segments]
        changed = next((segment for segment in after if segment.id == target.id), None)
        if reply.status == Status.OK and changed is not None:
            factor, overlap = _change(view.frame, target, changed)
            report.compare([target], [changed])
            if attempt.least <= factor <= attempt.most and overlap < _MAX_SAME_IOU:
                report.picture("2_fix_before", view, view.frame.segments)
                report.picture("2_fix_after", view, _replaced(view.frame, after))
                report.check(True, f"area x {factor:.2f}, IoU {overlap:.2f}: {reply.message}")
                return True
            report.say(f"not what was meant: area x {factor:.2f}, IoU {overlap:.2f}", "yellow")
            planner.refine(view, "undo", target.id)
        else:
            report.say(f"{Status(reply.status).name}: {reply.message}", "yellow")
    return False


def fixes(candidates: list[Segment]) -> list[Fix]:
    """List corrections that make sense for what is seen, of the least trusted masks first."""
    listed = []
    for segment in sorted(candidates, key=lambda one: one.mask_quality):
        noun = segment.label.text.split()[-1]
        parts = PARTS.get(noun, ())
        listed += [Fix(segment, f"include the {part}", 1.04, 1.6) for part in parts]
        listed += [Fix(segment, f"only the {part}", 0.02, 0.85) for part in parts]
        # By a name the model is sure of: what it calls something else it will not complete.
        if segment.label_source is LabelSource.FROM_MODEL:
            listed.append(Fix(segment, f"the whole {noun}", 1.04, 1.6))
    return listed


def find(planner: Planner, view: View, report: Report) -> None:
    """Look for a thing by the name it was published with."""
    report.step("3. The planner looks for something")
    labels = [segment.label.text for segment in view.frame.segments]
    candidates = [
        segment
        for segment in things(planner, view)
        if segment.label_source is LabelSource.FROM_MODEL
    ]
    # One whose name nothing else has, if there is one: then there is only one right answer.
    candidates.sort(key=lambda segment: (labels.count(segment.label.text), -segment.label.score))
    if not candidates:
        report.check(False, "something with a name of the model's own is in view")
        return
    target = candidates[0]
    text = f"the {target.label.text}"
    report.say(f'find: "{text}"')
    reply = planner.find(view, text)
    if reply is None:
        report.check(False, "find was answered")
        return
    found = [segment_from_message(segment) for segment in reply.segments]
    report.compare([target], found)
    right = reply.status == Status.OK and any(
        segment.id == target.id or _change(view.frame, target, segment)[1] > 0.5
        for segment in found
    )
    report.picture("3_find_before", view, view.frame.segments)
    report.picture("3_find_after", view, found)
    report.check(right, f"{Status(reply.status).name}: {reply.message}")


def check_name_held(planner: Planner, renamed: Rename, report: Report) -> None:
    """Check that a renamed object has its name in the frames since."""
    report.step("4. The new name holds")
    sightings = [
        segment
        for message in planner.since(renamed.moment)
        for segment in message.segments
        if segment.id == renamed.segment_id
    ]
    kept = sum(segment.label.text == renamed.name for segment in sightings)
    report.check(
        len(sightings) >= HELD_FRAMES and kept == len(sightings),
        f'segment {renamed.segment_id} is a "{renamed.name}" in {kept} of {len(sightings)} '
        "later frames that show it",
    )


def _replaced(frame: SegmentedFrame, changed: list[Segment]) -> list[Segment]:
    """Return the segments of a frame with those of a reply in their place."""
    segments = {segment.id: segment for segment in frame.segments}
    segments.update({segment.id: segment for segment in changed})
    return list(segments.values())


def _change(frame: SegmentedFrame, before: Segment, after: Segment) -> tuple[float, float]:
    """Return the factor of the area and the IoU of two masks."""
    old, new = (_mask(frame, segment) for segment in (before, after))
    union = int((old | new).sum())
    overlap = int((old & new).sum()) / union if union else 1.0
    return int(new.sum()) / max(int(old.sum()), 1), overlap


def _mask(frame: SegmentedFrame, segment: Segment) -> NDArray[np.bool_]:
    return decode_runs(segment.mask, frame.height, frame.width)
