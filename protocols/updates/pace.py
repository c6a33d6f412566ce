"""A byte budget: transfers go on no faster than it allows, in the mean over a second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Pace:
    """Bytes that may be spent, growing with time up to those of one second.

    Args:
        bytes_per_s: The budget.
        clock: Monotonic seconds.
        wait: Waits for so many seconds.

    >>> waits = []
    >>> pace = Pace(1000, clock=lambda: sum(waits), wait=waits.append)
    >>> pace.spend(800); pace.spend(700); pace.spend(250)
    >>> waits
    [0.5, 0.25]
    """

    def __init__(
        self,
        bytes_per_s: float = math.inf,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.bytes_per_s = bytes_per_s
        self._clock = clock
        self._wait = wait
        self._left = bytes_per_s
        self._at = clock()

    def spend(self, count: int) -> None:
        """Note that so many bytes came, and wait until they are paid for."""
        if math.isinf(self.bytes_per_s):
            return
        now = self._clock()
        self._left = min(self.bytes_per_s, self._left + (now - self._at) * self.bytes_per_s) - count
        self._at = now
        if self._left < 0:
            self._wait(-self._left / self.bytes_per_s)

    def portion(self, bytes_max: int) -> int:
        """How many bytes to ask for at once: a quarter of a second's, so that the line is shared evenly."""
        if math.isinf(self.bytes_per_s):
            return bytes_max
        return max(1024, min(bytes_max, int(self.bytes_per_s / 4)))
