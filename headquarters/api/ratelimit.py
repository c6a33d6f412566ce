"""How many requests one may make: a bucket for everybody, which fills as time passes. Pure.

>>> limiter = RateLimiter(per_minute=60, burst=2)
>>> [limiter.take("anna", now=0.0).is_allowed for _ in range(3)]
[True, True, False]
>>> limiter.take("anna", now=1.0).is_allowed, limiter.take("li", now=1.0).remaining
(True, 1)

Source: draft-ietf-httpapi-ratelimit-headers-10 for the headers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

CALLERS_MAX = 10_000
"""Callers remembered; one that is forgotten begins with a full bucket."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request for one more.

    Args:
        is_allowed: Whether there was one.
        remaining: How many are left.
        reset_s: When the bucket is full again; of one refused, when there is one again.
        per_minute: How many a minute fills in.
    """

    is_allowed: bool
    remaining: int
    reset_s: float
    per_minute: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """For the answer."""
        return [
            (b"ratelimit-policy", f'"default";q={self.per_minute};w=60'.encode()),
            (b"ratelimit", f'"default";r={self.remaining};t={max(0, round(self.reset_s))}'.encode()),
        ]


class RateLimiter:
    """Buckets by caller; safe between threads.

    Args:
        per_minute: How fast a bucket fills.
        burst: How many it holds.
    """

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_minute = per_minute
        self._burst = burst
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> Taken:
        """One request of a caller.

        Args:
            caller: Whose bucket.
            now: Seconds that never jump.
        """
        per_s = self._per_minute / 60.0
        with self._lock:
            left, at = self._buckets.pop(caller, (float(self._burst), now))
            left = min(float(self._burst), left + (now - at) * per_s)
            is_allowed = left >= 1.0
            left -= 1.0 if is_allowed else 0.0
            self._buckets[caller] = (left, now)
            while len(self._buckets) > CALLERS_MAX:
                self._buckets.popitem(last=False)
        reset_s = (self._burst - left) / per_s if is_allowed else (1.0 - left) / per_s
        return Taken(is_allowed, int(left), reset_s, self._per_minute)
