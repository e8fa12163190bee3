"""Say a thing once in a while instead of every time, each thing on its own."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

#: Things that are remembered; the longest unsaid are forgotten first.
_MAX_KEYS = 256


class Throttle:
    """Allows each key once per period, on the monotonic clock; safe to use from any thread.

    rclpy's own throttling counts by line of code, so that one camera would silence the others.
    """

    def __init__(self, seconds: float) -> None:
        """Keep the period in seconds."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._said: OrderedDict[str, float] = OrderedDict()

    def allows(self, key: str) -> bool:
        """Say whether ``key`` may be said now; if so it counts as said."""
        now = time.monotonic()
        with self._lock:
            last = self._said.get(key)
            if last is not None and now - last < self._seconds:
                return False
            self._said[key] = now
            self._said.move_to_end(key)
            while len(self._said) > _MAX_KEYS:
                self._said.popitem(last=False)
            return True
