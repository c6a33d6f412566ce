"""When to try again: two pure machines that are told the time.

>>> backoff = Backoff(first_s=1.0, longest_s=8.0, random=lambda: 1.0)
>>> [backoff.next_s() for _ in range(5)]
[1.0, 2.0, 4.0, 8.0, 8.0]
>>> breaker = CircuitBreaker(failures=2, open_s=5.0)
>>> breaker.failed(10.0); breaker.allows(10.0)
True
>>> breaker.failed(11.0); breaker.allows(12.0), breaker.allows(16.0)
(False, True)
"""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Growing, jittered waits between attempts.

    Each wait is drawn from the upper half of its range, so that many clients of one device
    do not come back together and yet none comes back at once.

    Args:
        first_s: Longest first wait, seconds.
        longest_s: Longest wait of all, seconds.
        random: Numbers from 0 to 1.

    Source: M. Brooker, "Exponential Backoff and Jitter" (2015), "equal jitter".
    """

    def __init__(self, first_s: float, longest_s: float, random: Callable[[], float]) -> None:
        assert 0 < first_s <= longest_s
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = random
        self._range_s = first_s

    def next_s(self) -> float:
        """How long to wait before the next attempt, seconds."""
        wait_s = self._range_s * (0.5 + 0.5 * self._random())
        self._range_s = min(self._range_s * 2, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """An attempt succeeded."""
        self._range_s = self._first_s


class CircuitBreaker:
    """Stops asking who does not answer, and asks again after a while.

    Closed, everything passes. After `failures` in a row it opens for `open_s`; then one
    attempt passes at a time: its success closes it, its failure opens it again.

    Args:
        failures: Failures in a row that open it.
        open_s: How long it stays open, seconds.

    Source: M. Nygard, "Release It!", 2nd ed. (2018), chapter 5, "Circuit Breaker".
    """

    def __init__(self, failures: int, open_s: float) -> None:
        assert failures >= 1 and open_s >= 0
        self._failures_max = failures
        self._open_s = open_s
        self._failures = 0
        self._open_until_s = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether everything passes."""
        return self._failures < self._failures_max

    def allows(self, now_s: float) -> bool:
        """Whether an attempt may be made now; an open one lets one attempt pass every `open_s`."""
        if self.is_closed:
            return True
        if now_s < self._open_until_s:
            return False
        self._open_until_s = now_s + self._open_s
        return True

    def succeeded(self) -> None:
        """The attempt was answered."""
        self._failures = 0

    def failed(self, now_s: float) -> None:
        """The attempt was not answered."""
        self._failures += 1
        if not self.is_closed:
            self._open_until_s = now_s + self._open_s
