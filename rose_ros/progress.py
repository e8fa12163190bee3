"""Progress on the terminal, on stderr, quiet where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.progress import track as rich_track

Item = TypeVar("Item")


def track(items: Sequence[Item] | Iterable[Item], description: str) -> Iterator[Item]:
    """Iterate with a progress bar that shows what is done and what is left."""
    console = Console(stderr=True)
    return iter(rich_track(items, description, console=console, disable=not console.is_terminal))


@contextmanager
def phases() -> Iterator[Callable[[str, int, int], None]]:
    """Show work in phases that are known only when they begin, one bar each.

    Yields a function to call with (phase, done, total), from any thread; a phase that is done
    loses its bar.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def report(phase: str, done: int, total: int) -> None:
            if done >= total and phase in tasks:
                bars.remove_task(tasks.pop(phase))
            elif phase in tasks:
                bars.update(tasks[phase], completed=done)
            elif done < total:
                tasks[phase] = bars.add_task(phase, total=total, completed=done)

        yield report
