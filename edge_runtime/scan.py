"""When to read: the schedule of one device's scan class. Pure.

Scan instants are the multiples of the period on the epoch grid, plus a phase, so that
all gateways read alike and a sample's stamp is a whole number of milliseconds. A sample
bears the instant it was asked for; how late the read began is a figure beside it.

>>> schedule = Schedule(period_us=1_000_000, phase_us=0, start_us=10_400_000)
>>> schedule.next_us
11000000
>>> schedule.take(11_020_000)
Turn(instant_us=11000000, late_us=20000, missed=None)
>>> schedule.take(14_300_000).missed  # instants 12 and 13 could not be served
Missed(from_us=12000000, to_us=14000000, instants=2)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Missed(NamedTuple):
    """Instants that were not served.

    Args:
        from_us: The first of them.
        to_us: The instant after the last.
        instants: How many.
    """

    from_us: int
    to_us: int
    instants: int


class Turn(NamedTuple):
    """An instant to serve now.

    Args:
        instant_us: The stamp of its samples.
        late_us: How much later it is already.
        missed: Instants before it that nobody served, or `None`.
    """

    instant_us: int
    late_us: int
    missed: Missed | None


@dataclass(slots=True)
class ScanCounters:
    """What became of a schedule's instants.

    Args:
        served: Instants served.
        missed: Instants not served.
        overruns: How often some were missed because the turn before took too long.
        late_us_max: The latest begin of a turn.
        late_us_sum: All begins together, for the mean.
        busy_us_max: The longest turn.
    """

    served: int = 0
    missed: int = 0
    overruns: int = 0
    late_us_max: int = 0
    late_us_sum: int = 0
    busy_us_max: int = 0


class Schedule:
    """The instants of one scan class for one device.

    Args:
        period_us: Distance between instants.
        phase_us: Instants are `k * period_us + phase_us`.
        start_us: The first instant is the first after it.
    """

    def __init__(self, period_us: int, phase_us: int, start_us: int) -> None:
        assert 0 <= phase_us < period_us
        self.period_us = period_us
        self._phase_us = phase_us
        self.next_us = self._at_or_before(start_us) + period_us
        self.counters = ScanCounters()

    def take(self, now_us: int) -> Turn | None:
        """The instant to serve at `now_us`; `None` before the next one is due.

        When several are due the last one is served: the others cannot be read any more.
        """
        if now_us < self.next_us:
            return None
        instant_us = self._at_or_before(now_us)
        missed = None
        if instant_us > self.next_us:
            skipped = (instant_us - self.next_us) // self.period_us
            missed = Missed(self.next_us, instant_us, skipped)
            self.counters.missed += skipped
        late_us = now_us - instant_us
        self.counters.served += 1
        self.counters.late_us_max = max(self.counters.late_us_max, late_us)
        self.counters.late_us_sum += late_us
        self.next_us = instant_us + self.period_us
        return Turn(instant_us, late_us, missed)

    def skip(self, until_us: int) -> Missed | None:
        """Leave the instants before a time out. Returns them, or `None` where there is none."""
        from_us, to_us = self.next_us, self._at_or_before(until_us - 1) + self.period_us
        if to_us <= from_us:
            return None
        self.next_us = to_us
        skipped = (to_us - from_us) // self.period_us
        self.counters.missed += skipped
        return Missed(from_us, to_us, skipped)

    def missed_since(self, reached_us: int) -> Missed | None:
        """Instants after `reached_us`, where an earlier process came to, and before the next one."""
        from_us = self._at_or_before(reached_us) + self.period_us
        if from_us >= self.next_us:
            return None
        return Missed(from_us, self.next_us, (self.next_us - from_us) // self.period_us)

    def _at_or_before(self, time_us: int) -> int:
        return (time_us - self._phase_us) // self.period_us * self.period_us + self._phase_us
