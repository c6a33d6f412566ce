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

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_runtime import limits
from edge_runtime.rules.running.inputs import AGE_PERIODS, BAD
from protocols.samples import SampleBlock, ValueType

LAG_MAX = AGE_PERIODS + 1
"""A task that is later shows nothing any more: how much later makes no difference."""

NEVER = -1 << 62
Cells = npt.NDArray[Any]
Int8s = npt.NDArray[np.int8]


Places: TypeAlias = "slice | npt.NDArray[np.int64]"
"""Cells of a column; a slice where they lie together, which is many times faster."""


class Read(NamedTuple):
    """What a task read at an instant, of one type.

    Args:
        points: Their ids; the same object as long as they are the same points.
        type: Of the values.
        values: One a point.
        codes: Qualities, 0 to 2.
    """

    points: npt.NDArray[np.uint32]
    type: ValueType
    values: Cells
    codes: Int8s


class Reads:
    """Makes `Read`s of what tasks deliver: once for all apps."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], npt.NDArray[np.uint32]] = {}

    def of(self, task: str, instant_us: int, blocks: Sequence[SampleBlock]) -> list[Read]:
        """The samples of the instant itself; texts are not for apps."""
        found = []
        for at, block in enumerate(blocks):
            if block.type is ValueType.TEXT:
                continue
            taken = block if _everywhere(block.time, instant_us) else block.take(block.time == instant_us)
            codes = _severities(taken.quality)
            found.append(Read(self._points(task, at, taken.point), taken.type, taken.value, codes))
        return found

    def _points(self, task: str, at: int, points: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """These points, or those of last time when they are the same."""
        known = self._known.get((task, at))
        if known is points or (known is not None and known.tobytes() == points.tobytes()):
            return known
        self._known[task, at] = points
        return points


class Part(NamedTuple):
    """Samples of one instant and type: where they belong, and what they are."""

    at: Places
    type: ValueType
    values: Cells
    codes: Int8s


class Layout(NamedTuple):
    """Which of a task's points are wanted, and where they belong."""

    points: npt.NDArray[np.uint32]
    rows: Places
    at: Places


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
        self._layouts: dict[tuple[str, int], Layout] = {}

    def feed_of(self, id: int) -> Feed:
        """The task that reads a point."""
        return self.feeds[self._tasks[id]]

    def put(self, task: str, instant_us: int, reads: Sequence[Read]) -> None:
        """Take what a task read at an instant; not to be seen before a scan at or after it."""
        feed = self.feeds.get(task)
        if feed is None:
            return
        parts = []
        for number, read in enumerate(reads):
            layout = self._layouts.get((task, number))
            if layout is None or layout.points is not read.points:
                layout = self._layouts[task, number] = self._lay_out(read.points)
            if isinstance(layout.rows, slice) or len(layout.rows):
                parts.append(Part(layout.at, read.type, read.values[layout.rows], read.codes[layout.rows]))
        feed.waiting.append((instant_us, tuple(parts)))
        feed.reached_us = instant_us

    def _lay_out(self, points: npt.NDArray[np.uint32]) -> Layout:
        known = points < len(self._lookup)
        at = np.where(known, self._lookup[np.where(known, points, 0)], -1)
        rows = np.flatnonzero(at >= 0)
        return Layout(points, together(rows), together(at[rows]))

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

    def places(self, ids: Sequence[int]) -> Places:
        """Where points are, for `read`."""
        return together(np.array([self.index[id] for id in ids], np.int64))

    def read(self, at: Places, time_us: int, period_us: int, *, whole: bool) -> tuple[Cells, Int8s]:
        """Values and qualities of some points as a scan sees them; valid until the next `show`.

        Args:
            at: See `places`.
            time_us: Of the scan.
            period_us: Of the app.
            whole: The points are integers.
        """
        values, codes, times = (
            (self._integers if whole else self._floats)[at],
            self._codes[at],
            self._times[at],
        )
        if _everywhere(times, time_us):
            return values, codes
        periods, age_us = self._periods[at], time_us - times
        counts = np.where(periods > period_us, age_us <= AGE_PERIODS * periods, age_us == 0)
        return values, np.where(counts, codes, BAD).astype(np.int8)


def together(at: npt.NDArray[np.int64]) -> Places:
    """Places as a slice where they follow each other.

    >>> together(np.array([4, 5, 6])), together(np.array([4, 6]))
    (slice(4, 7, None), array([4, 6]))
    """
    if len(at) and (np.diff(at) == 1).all():
        return slice(int(at[0]), int(at[-1]) + 1)
    return at


def _everywhere(times: npt.NDArray[np.int64], time_us: int) -> bool:
    """Whether all are this one; comparing bytes is the fastest way for some thousand."""
    return times.tobytes() == time_us.to_bytes(8, sys.byteorder, signed=True) * len(times)


def _severities(quality: npt.NDArray[np.uint32]) -> Int8s:
    """StatusCodes as 0 good, 1 uncertain, 2 bad (OPC UA Part 4, 7.39: the two highest bits)."""
    if quality.tobytes() == bytes(quality.nbytes):
        return np.zeros(len(quality), np.int8)
    codes: Int8s = np.minimum(quality >> 30, BAD).astype(np.int8)
    return codes
