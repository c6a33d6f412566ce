"""How far something is, how fast, and how long it will take.

>>> told = []
>>> meter = Meter(told.append, clock=iter([0.0, 1.0, 4.0]).__next__)
>>> meter.begin("copy", 1000)
>>> meter.add(100); meter.add(300)
>>> told[-1]
Progress(what='copy', done=400, total=1000, rate=100.0, remaining_s=6.0)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

EVERY_S = 0.5
"""How often somebody is told."""


class Progress(NamedTuple):
    """Where something is.

    Args:
        what: `copy`, `verify`, `restore`.
        done: Bytes.
        total: Bytes.
        rate: Bytes a second since it began.
        remaining_s: Seconds at this rate; `None` while there is none.
    """

    what: str
    done: int
    total: int
    rate: float
    remaining_s: float | None


class Meter:
    """Counts bytes and tells of them; safe between threads.

    Args:
        tell: Told at most every `EVERY_S`, and at the end.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        tell: Callable[[Progress], None] = lambda progress: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._what = ""
        self._done = self._total = 0
        self._began_at = self._told_at = 0.0

    def begin(self, what: str, total: int) -> None:
        """Something of so many bytes begins."""
        with self._lock:
            self._what, self._total, self._done = what, total, 0
            self._began_at = self._told_at = self._clock()

    def add(self, count: int) -> None:
        """So many bytes more are done."""
        with self._lock:
            self._done += count
            now = self._clock()
            is_due = now - self._told_at >= EVERY_S or self._done >= self._total
            if is_due:
                self._told_at = now
                self._tell(self._progress(now))

    def _progress(self, now: float) -> Progress:
        elapsed = now - self._began_at
        rate = self._done / elapsed if elapsed > 0 else 0.0
        remaining = (self._total - self._done) / rate if rate else None
        return Progress(self._what, self._done, self._total, rate, remaining)
