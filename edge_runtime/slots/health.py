"""Whether a program does its work on the data plane as the one before it did. Pure.

Rules:
1. A tier's status file is read into a `Reading`; nothing else is known of the program but its
   memory, which the kernel tells.
2. A program is healthy when it says that it runs, and its *pace* over the last readings is that
   of the program before it: so many samples, so few losses, so late, and linked if that was.
3. What the program before could not do either (a dark hub, dead devices) is not asked of it.

>>> judge = Judge(HealthLimits(), None, now=0.0)
>>> judge.hear(1.0, Reading("1", True, 100, 0, 10, 5.0, True, ""), 50 << 20)
>>> judge.fault(1.0), judge.fault(90.0)
('', 'says nothing new of itself for 89 s')
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from edge_runtime.slots.states import Pace

MB = 1_000_000


class Reading(NamedTuple):
    """What a status file said.

    Args:
        stamp: Differs in every new status.
        running: Whether the program says that it runs, and neither starts nor stops.
        total: Samples, batches or rows since it started.
        lost: Instants, or commits, that failed since it started.
        due: All of them, failed or not.
        late_ms: How late it is, in the tier's own measure.
        linked: Whether it reaches where it sends; `None` where it sends nowhere.
        trouble: What it says is wrong with itself; empty when nothing is.
    """

    stamp: str
    running: bool
    total: int
    lost: int
    due: int
    late_ms: float
    linked: bool | None
    trouble: str


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """What is asked of a program.

    Args:
        start_s: The first status comes within so long.
        stale_s: And then another one, each time.
        window_s: Paces are means over so long.
        rate_part: It collects at least this part of what the program before it did.
        lost_part: It may lose this part, or twice as much as the program before it.
        late_ms: It may be so late, or three times as late as the program before it.
        memory_bytes: Resident.
    """

    start_s: float = 30.0
    stale_s: float = 15.0
    window_s: float = 60.0
    rate_part: float = 0.5
    lost_part: float = 0.05
    late_ms: float = 200.0
    memory_bytes: int = 1024 * MB


class _Heard(NamedTuple):
    at: float
    reading: Reading


class Judge:
    """Watches one life of a program.

    Args:
        limits: What is asked of it.
        before: The pace of the program before it; `None` when that is not known.
        now: When it was started, seconds of a clock that never jumps.
    """

    def __init__(self, limits: HealthLimits, before: Pace | None, now: float) -> None:
        self._limits = limits
        self._before = before
        self._started = now
        self._heard: deque[_Heard] = deque()
        self._memory = 0
        self._was_linked = False

    def hear(self, now: float, reading: Reading | None, memory_bytes: int) -> None:
        """Take what the status file says now, old or new; `None` when there is none."""
        self._memory = memory_bytes
        if reading is None or (self._heard and reading.stamp == self._heard[-1].reading.stamp):
            return
        if self._heard and reading.total < self._heard[-1].reading.total:
            # It began anew by itself, after the last reading: what it has by now took some time.
            self._started = self._heard[-1].at
            self._heard.clear()
        self._heard.append(_Heard(now, reading))
        self._was_linked = self._was_linked or reading.linked is True
        while len(self._heard) > 2 and self._heard[1].at <= now - self._limits.window_s:
            self._heard.popleft()

    def silence_s(self, now: float) -> float:
        """How long it has said nothing new, beyond what is allowed; 0 when it has."""
        if not self._heard:
            silent, allowed = now - self._started, self._limits.start_s
        else:
            silent, allowed = now - self._heard[-1].at, self._limits.stale_s
        return silent if silent > allowed else 0.0

    @property
    def overweight(self) -> str:
        """Why its memory is too much; empty when it is not."""
        if self._memory <= self._limits.memory_bytes:
            return ""
        return f"takes {self._memory / MB:,.0f} MB of memory, more than {self._limits.memory_bytes / MB:,.0f}"

    def fault(self, now: float) -> str:
        """What is wrong with it now, in a sentence without a subject; empty when it is healthy."""
        silent = self.silence_s(now)
        if silent:
            return f"says nothing new of itself for {silent:.0f} s"
        if self.overweight:
            return self.overweight
        if not self._heard:
            return "has not said anything of itself yet"
        reading = self._heard[-1].reading
        if not reading.running:
            return "does not say that it runs"
        pace = self.pace(now)
        return reading.trouble or self._slower(pace)

    def _slower(self, pace: Pace) -> str:
        before, limits = self._before, self._limits
        if before is None:
            return ""
        if pace.rate < limits.rate_part * before.rate:
            return f"collects {pace.rate:,.1f}/s, and {before.rate:,.1f}/s were collected before it"
        if pace.lost > max(limits.lost_part, 2 * before.lost):
            return f"loses {pace.lost:.0%}, and {before.lost:.0%} were lost before it"
        if pace.late_ms > max(limits.late_ms, 3 * before.late_ms):
            return f"is {pace.late_ms:,.0f} ms late, and it was {before.late_ms:,.0f} ms before it"
        if before.linked and not self._was_linked:
            return "has not reached where it sends, and that was reached before it"
        return ""

    def pace(self, now: float) -> Pace:
        """How it does, over the last readings; from its start while they span half a window."""
        if not self._heard:
            return Pace(0.0, 0.0, 0.0, None)
        last = self._heard[-1].reading
        whole = self._heard[-1].at - self._heard[0].at < self._limits.window_s / 2
        since = self._started if whole else self._heard[0].at
        first = Reading("", True, 0, 0, 0, 0.0, None, "") if whole else self._heard[0].reading
        seconds = max(self._heard[-1].at - since, 1e-3)
        due = last.due - first.due
        return Pace(
            (last.total - first.total) / seconds,
            (last.lost - first.lost) / due if due > 0 else 0.0,
            last.late_ms,
            last.linked,
        )

    def known(self, now: float) -> bool:
        """Whether it has been watched for long enough to be a measure for others."""
        return bool(self._heard) and now - self._started >= self._limits.window_s
