"""How a training run shows itself: a progress bar and a CSV file of curves."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Curve:
    """Appends the mean losses of every few steps to a CSV file: stage, step, loss, value."""

    EVERY = 20

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sums: dict[str, float] = {}

    def __enter__(self) -> Curve:
        self.file = self.path.open("a", newline="")
        self.writer = csv.writer(self.file)
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, stage: str, step: int, losses: dict[str, float]) -> None:
        """Take in the losses of one step."""
        for key, value in losses.items():
            self.sums[key] = self.sums.get(key, 0.0) + value / self.EVERY
        if step % self.EVERY == 0:
            for key, value in self.sums.items():
                self.writer.writerow([stage, step, key, f"{value:.4f}"])
            self.file.flush()
            self.sums = {}


class Bar:
    """A progress bar on a terminal; a plain line now and then elsewhere."""

    def __init__(self, name: str, steps: int, step: int) -> None:
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task(name, total=steps, completed=step, losses="")
        self.name, self.steps, self.started, self.first = name, steps, time.monotonic(), step

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self, step: int, losses: dict[str, float]) -> None:
        """Show how far training is and the losses of the last step."""
        text = " ".join(f"{key} {value:.3f}" for key, value in losses.items())
        self.progress.update(self.task, completed=step, losses=text)
        if not self.console.is_terminal and step % 50 == 0:
            rate = (step - self.first) / (time.monotonic() - self.started)
            self.console.print(
                f"{self.name} {step}/{self.steps} {rate:.2f} steps/s {text}", soft_wrap=True
            )
