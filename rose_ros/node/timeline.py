"""Time as stamps and clocks tell it: paused, set back, or not told at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: ns: a stamp or clock that goes back further was set back, by a recording that loops, a
#: simulation that starts over, or by hand.
JUMP_NS = 1_000_000_000
#: s: a simulated clock that stands still for longer is paused.
_PAUSED_SECONDS = 1.5


@dataclass(slots=True)
class Timeline:
    """What the stamps of one camera say; ``moment`` is seconds on the monotonic clock."""

    stamp_ns: int = 0
    time_ns: int = 0
    moment: float = -math.inf

    def went_back(self, stamp_ns: int) -> bool:
        """Say whether a stamp lies clearly before the last one; 0 means that there is no clock."""
        return 0 < stamp_ns < self.stamp_ns - JUMP_NS

    def advance(self, stamp_ns: int, moment: float) -> int:
        """Take the stamp of the next frame and return its time in ns.

        That is the stamp. Where it is 0 the time goes on as fast as the monotonic clock, so that
        identities end after the usual time there, too.
        """
        if stamp_ns:
            self.stamp_ns = self.time_ns = stamp_ns
        elif math.isinf(self.moment):
            self.time_ns = round(moment * 1e9)
        else:
            self.time_ns += round((moment - self.moment) * 1e9)
        self.moment = moment
        return self.time_ns


class ClockWatch:
    """Tells what the node's clock does, from looking at it now and then."""

    def __init__(self) -> None:
        self._now_ns = -1
        self._changed = -math.inf

    def look(self, now_ns: int, moment: float, *, simulated: bool) -> str:
        """Return "system", "simulated", "paused" or "waiting" (for the first time on /clock)."""
        if now_ns != self._now_ns:
            self._now_ns, self._changed = now_ns, moment
        if not simulated:
            return "system"
        if now_ns == 0:
            return "waiting"
        return "paused" if moment - self._changed > _PAUSED_SECONDS else "simulated"
