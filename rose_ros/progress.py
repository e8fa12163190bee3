"""Progress on the terminal, on stderr, quiet where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

Item = TypeVar("Item")


def track(items: Sequence[Item] | Iterable[Item], description: str) -> Iterator[Item]:
    """Iterate with a progress bar that shows what is done and what is left."""
    console = Console(stderr=True)
    return iter(rich_track(items, description, console=console, disable=not console.is_terminal))
