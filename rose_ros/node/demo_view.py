"""What the demo shows: a live table, the steps before and after, and pictures of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rose_ros.node.planner import Arrival, Planner, View
from rose_ros.perception.overlay import colour_of, draw_overlay
from rose_ros.perception.segments import LabelSource, Segment

#: Rows of the live table.
_MAX_ROWS = 16


def live_table(planner: Planner) -> RenderableType:
    """Show the newest array."""
    arrival = planner.latest
    if arrival is None:
        return Text("waiting for the first segments: the model is being loaded ...", style="dim")
    table = Table(title=_headline(planner, arrival), title_justify="left", expand=False)
    for name, justify in (
        ("id", "right"),
        ("name", "left"),
        ("name score", "right"),
        ("score", "right"),
        ("area px", "right"),
        ("by", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    segments = list(arrival.message.segments)
    for segment in segments[:_MAX_ROWS]:
        refined = segment.label_source == segment.FROM_REFINEMENT
        table.add_row(
            Text(str(segment.id), style=f"bold {_hex(segment.id)}"),
            Text(segment.label.text, style="bold" if refined else ""),
            f"{segment.label.score:.2f}",
            f"{segment.score:.2f}",
            str(segment.area),
            "planner" if refined else "model",
        )
    if len(segments) > _MAX_ROWS:
        table.add_row("", f"and {len(segments) - _MAX_ROWS} more", "", "", "", "")
    return table


def _headline(planner: Planner, arrival: Arrival) -> str:
    message = arrival.message
    return (
        f"/rose/segments  {message.model}  frame {message.sequence}  {planner.rate():.1f}/s  "
        f"age {message.timing.age:.2f} s  skipped {message.frames_skipped}"
    )


def _hex(segment_id: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour_of(segment_id))


def describe(segment: Segment) -> str:
    """Say in a few words what a segment is."""
    source = "planner" if segment.label_source is LabelSource.FROM_REFINEMENT else "model"
    return (
        f'{segment.id} "{segment.label.text}" ({source}, {segment.label.score:.2f}), '
        f"{segment.area} px, revision {segment.revision}"
    )


class Report:
    """Prints each step and saves its pictures."""

    def __init__(self, console: Console, folder: Path) -> None:
        """Print to ``console``; the pictures go to ``folder``."""
        self._console = console
        self._folder = folder
        self.failures: list[str] = []

    def step(self, title: str) -> None:
        """Begin a step."""
        self._console.rule(Text(title, style="bold"), align="left")

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(f"  {text}", style=style))

    def check(self, passed: bool, text: str) -> bool:
        """Print the result of a check and remember a failure."""
        self.say(f"{'ok  ' if passed else 'FAIL'} {text}", "green" if passed else "bold red")
        if not passed:
            self.failures.append(text)
        return passed

    def compare(self, before: Iterable[Segment], after: Iterable[Segment]) -> None:
        """Print segments before and after a step."""
        rows = Group(
            *(Text(f"  before  {describe(segment)}") for segment in before),
            *(Text(f"  after   {describe(segment)}", style="bold") for segment in after),
        )
        self._console.print(rows)

    def picture(self, name: str, view: View, segments: Iterable[Segment]) -> None:
        """Save an overlay of ``segments`` on the image of a view."""
        drawn = draw_overlay(view.image, replace(view.frame, segments=tuple(segments)))
        path = self._folder / f"{name}.png"
        self._folder.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)):
            self.check(False, f"cannot write {path}")
            return
        self.say(f"saved {path}", "dim")
