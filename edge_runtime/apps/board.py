"""What apps see of the points they read: the samples of scan instants, in the order of time.

Rules:
1. Only samples of a collecting task's own instants count: what a subscription delivers in
   between is stored and not looked at, so that a replay from the lake sees the same.
2. A scan at `t` sees what was read at or before `t`, also when later samples are here already.
3. A point that is read as often as the app scans, or oftener, counts at the very instant; of
   a slower one the latest sample counts for `AGE_PERIODS` of its periods. What does not count
   is bad.

Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime import limits
from protocols.samples import SampleBlock, ValueType

AGE_PERIODS = 3
"""A sample missing now and then is bridged; more is a fault that an app must see."""

LAG_MAX = AGE_PERIODS + 1
"""A task that is later shows nothing any more: how much later makes no difference."""

NEVER = -1 << 62
BAD = 2

Cells = npt.NDArray[Any]


class Part(NamedTuple):
    """Samples of one instant and type: where they belong, and what they are."""

    at: npt.NDArray[np.int64]
    type: ValueType
    values: Cells
    codes: npt.NDArray[np.int8]


class Feed:
    """What one collecting task delivers for apps.

    Args:
        period_us: Of its scan class.
        phase_us: Of its scan class.
    """

    def __init__(self, period_us: int, phase_us: int) -> None:
        self.period_us = period_us
        self.phase_us = phase_us
        self.reached_us = NEVER
        """Its last instant."""
        self.shown_us = NEVER
        """The last instant that scans have been shown."""
        self.waiting: deque[tuple[int, tuple[Part, ...]]] = deque(maxlen=limits.APP_INSTANTS_WAITING_MAX)

    def needed_us(self, time_us: int) -> int:
        """Its last instant at or before a time."""
        return (time_us - self.phase_us) // self.period_us * self.period_us + self.phase_us

    def lag(self, time_us: int) -> int:
        """By how many of its instants what a scan is shown is old, up to `LAG_MAX`.

        0 when the scan's own instant was read in time; not when that is late, or was left out.
        """
        behind_us = self.needed_us(time_us) - self.shown_us
        return min(max(behind_us, 0) // self.period_us, LAG_MAX)


class InputBoard:
    """The latest samples of the points that apps read.

    Args:
        points: For each task, the ids of its points that are read.
        feeds: The tasks.
    """

    def __init__(self, points: Mapping[str, Sequence[int]], feeds: Mapping[str, Feed]) -> None:
        self.feeds = dict(feeds)
        order = [id for ids in points.values() for id in ids]
        self.index = {id: at for at, id in enumerate(order)}
        self._tasks = {id: task for task, ids in points.items() for id in ids}
        self._lookup = np.full(max(order, default=0) + 1, -1, np.int64)
        self._lookup[order] = np.arange(len(order))
        self._periods = np.array(
            [feeds[task].period_us for task, ids in points.items() for _ in ids], np.int64
        )
        self._times = np.full(len(order), NEVER, np.int64)
        self._floats = np.zeros(len(order), np.float64)
        self._integers = np.zeros(len(order), np.int64)
        self._codes = np.full(len(order), BAD, np.int8)

    def feed_of(self, id: int) -> Feed:
        """The task that reads a point."""
        return self.feeds[self._tasks[id]]

    def put(self, task: str, instant_us: int, blocks: Sequence[SampleBlock]) -> None:
        """Take what a task read at an instant; not to be seen before a scan at or after it."""
        feed = self.feeds.get(task)
        if feed is None:
            return
        parts = []
        for block in blocks:
            if block.type is ValueType.TEXT:
                continue
            known = block.point < len(self._lookup)
            at = np.where(known, self._lookup[np.where(known, block.point, 0)], -1)
            wanted = np.flatnonzero((at >= 0) & (block.time == instant_us))
            if len(wanted):
                codes = np.minimum(block.quality[wanted] >> 30, BAD).astype(np.int8)
                parts.append(Part(at[wanted], block.type, block.value[wanted], codes))
        feed.waiting.append((instant_us, tuple(parts)))
        feed.reached_us = instant_us

    def show(self, time_us: int) -> None:
        """Let a scan at a time see what was read until then."""
        for feed in self.feeds.values():
            while feed.waiting and feed.waiting[0][0] <= time_us:
                instant_us, parts = feed.waiting.popleft()
                feed.shown_us = instant_us
                for part in parts:
                    self._times[part.at] = instant_us
                    self._codes[part.at] = part.codes
                    self._floats[part.at] = part.values
                    if part.type is ValueType.I64:
                        self._integers[part.at] = part.values

    def read(
        self, at: npt.NDArray[np.int64], time_us: int, period_us: int, *, whole: bool
    ) -> tuple[Cells, npt.NDArray[np.int8]]:
        """Values and qualities of some points as a scan sees them.

        Args:
            at: Their places, from `index`.
            time_us: Of the scan.
            period_us: Of the app.
            whole: The points are integers.
        """
        periods = self._periods[at]
        age_us = time_us - self._times[at]
        counts = np.where(periods > period_us, age_us <= AGE_PERIODS * periods, age_us == 0)
        codes = np.where(counts, self._codes[at], BAD).astype(np.int8)
        return (self._integers if whole else self._floats)[at], codes
