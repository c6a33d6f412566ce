"""What a subscription notifies, brought to scan instants. Pure.

Rules:
1. At each instant every point has exactly one sample: its latest notified value with the
   device's own time, or the reason why there is none.
2. A value that was overtaken before the instant is not thrown away: it becomes a sample of
   its own at the moment it arrived, whole milliseconds (microseconds where they do not
   suffice), strictly between the instants and in the order of arrival.
3. A value that arrives after an instant belongs to the next one, however late the instant
   is served.
4. After `down`, a point is bad until it is notified anew.
5. What does not fit the bound is dropped oldest first and declared as lost.
6. While a subscription is down, `dark_since_us` says since when: what changed meanwhile is
   declared only when it is back, or by a later process. Before the first notification ever,
   bad samples alone say that nothing is known.

>>> from protocols.field.base import FieldType
>>> points = [FieldPoint(7, "ns=2;s=t", FieldType.F64)]
>>> cache = NotificationCache(points)
>>> for at, value in ((1_200_000, 20.0), (1_700_000, 21.0)):
...     cache.put([SampleBlock.make(ValueType.F64, [7], [at], [value])])
>>> served = cache.serve(2_000_000)
>>> served.samples[0].value.tolist(), served.extras[0].time.tolist(), served.extras[0].value.tolist()
([21.0], [1200000], [20.0])
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from protocols.field.base import FieldPoint, Lost
from protocols.samples import (
    BAD_WAITING_FOR_INITIAL_DATA,
    EMPTY_VALUE,
    NO_SOURCE_TIME,
    Int64s,
    SampleBlock,
    UInt32s,
    ValueType,
    concatenate,
)

PENDING_MAX = 500_000
"""Notifications kept between two instants: ten seconds of 50,000 a second, about 16 MB."""


class Served(NamedTuple):
    """What there is to say at an instant.

    Args:
        samples: One sample a point, in the same blocks and rows each time.
        extras: Values that were overtaken since the instant before.
        lost: Intervals in which changes may be missing.
    """

    samples: list[SampleBlock]
    extras: list[SampleBlock]
    lost: list[Lost]


class _Down(NamedTuple):
    """From `at_us` on no value is known."""

    at_us: int
    quality: int


class _Latest:
    """The latest values of the points of one type."""

    def __init__(self, type: ValueType, ids: Sequence[int]) -> None:
        n = len(ids)
        self.type = type
        self.point: UInt32s = np.array(ids, np.uint32)
        self.value = np.full(n, EMPTY_VALUE[type], type.dtype)
        self.quality = np.full(n, BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        self.source = np.full(n, NO_SOURCE_TIME, np.int64)
        self._order = np.argsort(self.point, kind="stable")
        self._sorted = self.point[self._order]

    def rows(self, point: UInt32s) -> npt.NDArray[np.intp]:
        """The row of each point."""
        found = self._order[np.searchsorted(self._sorted, point)]
        assert (self.point[found] == point).all(), "a notification for a point that is not subscribed"
        return found

    def forget(self, quality: int) -> None:
        self.value[:] = EMPTY_VALUE[self.type]
        self.quality[:] = quality
        self.source[:] = NO_SOURCE_TIME

    def samples(self, instant_us: int) -> SampleBlock:
        n = len(self.point)
        source = self.source.copy() if (self.source != NO_SOURCE_TIME).any() else None
        time = np.full(n, instant_us, np.int64)
        return SampleBlock(self.type, self.point, time, self.value.copy(), self.quality.copy(), source)


class NotificationCache:
    """Takes what a subscription delivers (`base.NotificationSink`) and serves it at instants.

    Args:
        points: What is subscribed.
        pending_max: Notifications to keep between two instants.
    """

    def __init__(self, points: Sequence[FieldPoint], pending_max: int = PENDING_MAX) -> None:
        self._latest: dict[ValueType, _Latest] = {}
        for value_type in ValueType:
            ids = [point.id for point in points if point.value_type is value_type]
            if ids:
                self._latest[value_type] = _Latest(value_type, ids)
        self._unheard = {point.id for point in points}
        self._pending: deque[SampleBlock | _Down] = deque()
        self._pending_rows = 0
        self._pending_max = pending_max
        self._lost: list[Lost] = []
        self._before_us: int | None = None
        self._dark = False
        self.dark_since_us: int | None = None
        """The last instant before nothing was notified any more; `None` while all is well."""

    @property
    def complete(self) -> bool:
        """Whether every point was notified at least once."""
        return not self._unheard

    def put(self, blocks: Sequence[SampleBlock]) -> None:
        """Take notified values; `time` is when they arrived, `source_time` is the device's."""
        for block in blocks:
            if self._unheard:
                self._unheard.difference_update(block.point.tolist())
            if len(block):
                self._pending.append(block)
                self._pending_rows += len(block)
        while self._pending_rows > self._pending_max:
            oldest = self._pending.popleft()
            if isinstance(oldest, _Down):
                self._forget(oldest.quality)
                continue
            self._pending_rows -= len(oldest)
            self._declare(oldest, "more notifications between two instants than are kept")

    def down(self, at_us: int, quality: int) -> None:
        """No value can be trusted from `at_us` on, until it is notified anew."""
        self._pending.append(_Down(at_us, quality))

    def lost(self, lost: Lost) -> None:
        """Changes may be missing."""
        self._lost.append(lost)

    def serve(self, instant_us: int) -> Served:
        """Everything up to `instant_us`; call it with growing instants.

        Args:
            instant_us: A scan instant.
        """
        arrived: list[SampleBlock] = []
        last_down = 0
        while self._pending:
            entry = self._pending[0]
            if isinstance(entry, _Down):
                if entry.at_us > instant_us:
                    break
                self._pending.popleft()
                self._forget(entry.quality)
                self._dark = True
                last_down = len(arrived)
                continue
            if int(entry.time[0]) > instant_us:
                break
            self._pending.popleft()
            self._pending_rows -= len(entry)
            arrived.append(entry)
        self._dark = self._dark and not arrived[last_down:]
        if not self._dark:
            self.dark_since_us = None
        elif self.dark_since_us is None:
            self.dark_since_us = instant_us - 1 if self._before_us is None else self._before_us
        extras = self._take(arrived, last_down, instant_us)
        self._before_us = instant_us
        samples = [latest.samples(instant_us) for latest in self._latest.values()]
        lost, self._lost = self._lost, []
        return Served(samples, extras, lost)

    def _forget(self, quality: int) -> None:
        for latest in self._latest.values():
            latest.forget(quality)

    def _declare(self, block: SampleBlock, why: str) -> None:
        points = tuple(np.unique(block.point).tolist())
        self._lost.append(Lost(points, int(block.time.min()), int(block.time.max()) + 1, why))

    def _take(self, arrived: Sequence[SampleBlock], last_down: int, instant_us: int) -> list[SampleBlock]:
        """Update the latest values; what they overtook is returned."""
        extras: list[SampleBlock] = []
        for block_type, latest in self._latest.items():
            same = [block for block in arrived if block.type is block_type]
            if not same:
                continue
            [joined] = concatenate(same)
            known_from = sum(len(block) for block in arrived[:last_down] if block.type is block_type)
            rows = latest.rows(joined.point)
            last = np.full(len(latest.point), -1, np.intp)
            after_down = np.arange(known_from, len(joined))
            last[rows[after_down]] = after_down  # of a repeated index numpy keeps the last
            noticed = last >= 0
            chosen = last[noticed]
            latest.value[noticed] = joined.value[chosen]
            latest.quality[noticed] = joined.quality[chosen]
            source = joined.source_time
            latest.source[noticed] = NO_SOURCE_TIME if source is None else source[chosen]
            overtaken = np.ones(len(joined), np.bool_)
            overtaken[chosen] = False
            if overtaken.any():
                extras += self._between(joined.take(overtaken), rows[overtaken], instant_us)
        return extras

    def _between(self, block: SampleBlock, rows: npt.NDArray[np.intp], instant_us: int) -> list[SampleBlock]:
        """Stamp overtaken values strictly between the instants, in order of arrival."""
        order = np.argsort(rows, kind="stable")
        starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
        counts = np.diff(starts, append=len(order))
        rank = np.arange(len(order)) - np.repeat(starts, counts)
        before_us = int(block.time.min()) - 1 if self._before_us is None else self._before_us
        before_us = min(before_us, instant_us - 2)
        most = int(counts.max())
        unit = 1000 if (instant_us - 1) // 1000 - before_us // 1000 >= most else 1
        lower, upper = before_us // unit + 1, (instant_us - 1) // unit
        from_end = np.repeat(counts, counts) - 1 - rank
        kept = from_end <= upper - lower
        if not kept.all():
            self._declare(block.take(order[~kept]), "more notifications of a point than fit between instants")
            order = order[kept]
            return self._between(block.take(np.sort(order)), rows[np.sort(order)], instant_us)
        ticks = np.clip(block.time[order] // unit, lower, upper)
        stamps = np.minimum(_rising(ticks, rank, np.repeat(np.arange(len(starts)), counts)), upper - from_end)
        times: Int64s = np.empty(len(order), np.int64)
        times[order] = stamps * unit
        return [SampleBlock(block.type, block.point, times, block.value, block.quality, block.source_time)]


def _rising(ticks: Int64s, rank: Int64s, group: Int64s) -> Int64s:
    """The least strictly rising numbers a group that are not below `ticks`."""
    base = ticks - rank
    apart = int(base.max() - base.min()) + 1
    separate = base - base.min() + group * apart
    result: Int64s = np.maximum.accumulate(separate) - group * apart + base.min() + rank
    return result
