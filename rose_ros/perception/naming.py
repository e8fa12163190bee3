"""What a track is called: votes over time, and when the model is asked again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rose_ros.perception.segments import Label

#: A share of votes below this is forgotten.
_LEAST_SHARE = 0.01
#: An object whose category embedding turned further since it was named looks different now.
_SAME_COSINE = 0.7
#: And one whose mask grew or shrank by more.
_SAME_AREA = 1.5
#: Frames after the first question, and the fewest between two: frames much alike say the same.
_SOON = 4


class LabelVotes:
    """The names a track was given, weighted by probability, older ones less."""

    def __init__(self, decay: float, margin: float) -> None:
        """Start without a name."""
        self._decay = decay
        self._margin = margin
        self._votes: dict[str, float] = {}
        self._weight = 0.0
        self._current = ""

    def add(self, name: str, score: float) -> None:
        """Count one name; the label changes only when another is clearly ahead."""
        self._weight = self._weight * self._decay + 1.0
        self._votes = {text: vote * self._decay for text, vote in self._votes.items()}
        if name:
            self._votes[name] = self._votes.get(name, 0.0) + max(score, 1e-3)
        least = _LEAST_SHARE * sum(self._votes.values())
        self._votes = {text: vote for text, vote in self._votes.items() if vote >= least}
        if not self._votes:
            return
        best = max(self._votes, key=lambda text: self._votes[text])
        if self._votes[best] > self._margin * self._votes.get(self._current, 0.0):
            self._current = best

    def __contains__(self, name: str) -> bool:
        return name in self._votes

    @property
    def label(self) -> Label:
        """The steady name and its share of what could have been voted."""
        return self._label(self._current)

    def others(self, limit: int) -> tuple[Label, ...]:
        """Return the other names, most votes first."""
        names = sorted(self._votes, key=lambda text: -self._votes[text])
        return tuple(self._label(name) for name in names if name != self._current)[:limit]

    def _label(self, name: str) -> Label:
        return Label(name, min(1.0, self._votes.get(name, 0.0) / max(self._weight, 1.0)))


class NameSchedule:
    """When the model is asked what a track is: less and less often while its answers are no news.

    The frames between two questions double with each answer that the track has had before, up to a
    limit, and halve with each new one. They are powers of two, and so the tracks of a camera are
    asked about in the same frames: a batch of names costs less than one at a time.
    """

    def __init__(self) -> None:
        """Start with a track that was never asked about."""
        self._interval = 0
        self._area = 0
        self._embedding = np.zeros(0, np.float32)

    def is_due(self, frame: int, area: int, embedding: NDArray[np.float32], longest: int) -> bool:
        """Return whether to ask in a frame, given by number.

        area: of the mask, in cells. embedding: (width,), unit length. longest: frames between two
        questions at most; 1 asks in every frame.
        """
        if not self._interval:
            return True
        if not 1 / _SAME_AREA <= area / max(1, self._area) <= _SAME_AREA:
            return True
        if float(embedding @ self._embedding) < _SAME_COSINE:
            return True
        return frame % min(self._interval, longest) == 0

    def note(
        self, area: int, embedding: NDArray[np.float32], longest: int, *, is_news: bool
    ) -> None:
        """Remember an answer, whether it is new, and what the track looked like."""
        interval = self._interval // 2 if is_news else self._interval * 2
        self._interval = min(max(interval, _SOON), longest)
        self._area = area
        self._embedding = embedding
