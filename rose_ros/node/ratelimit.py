"""How often something may be asked for: so many times a second, a second's worth at once."""

from __future__ import annotations

import threading
import time


class RateLimit:
    """A bucket of tokens that fills steadily; safe to use from any thread."""

    def __init__(self, rate: float = 0.0) -> None:
        """Allow ``rate`` events per second; 0 means any number."""
        self._lock = threading.Lock()
        self._rate = rate
        self._tokens = self._size
        self._filled = time.monotonic()

    @property
    def rate(self) -> float:
        """Events per second; 0 means any number."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        with self._lock:
            if rate != self._rate:
                self._rate = rate
                self._tokens = self._size

    def take(self) -> bool:
        """Say whether one more event is allowed now; if so it counts."""
        with self._lock:
            if self._rate <= 0:
                return True
            now = time.monotonic()
            self._tokens = min(self._size, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    @property
    def _size(self) -> float:
        """Events that may come at once."""
        return max(1.0, self._rate)
