"""Which series a point's samples belong to.

Rules:
1. A series is (gateway, local point id, value type); a gateway never uses an id again, so
   a new type is a new series and nothing else is.
2. Numbers count up from 1 and are never used again.
3. Data may come before its point table: the series then has a provisional definition,
   named `<gateway>/<point>`, which the table replaces. Taking in never waits.
4. A changed definition is a further row of the same series; the latest one counts. A table
   that arrives late, behind a newer one, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from headquarters.ingest.rows import SeriesRow
from protocols.records import PointDefinition
from protocols.samples import Int64s, SampleBlock, UInt32s, ValueType

Key = tuple[str, int, str]


class SeriesRegistry:
    """The binding of points to series, in memory; new rows are handed out to be made durable.

    Args:
        rows: What is durable, in the order it was written.
        site_of: The site of a gateway.
    """

    def __init__(self, rows: Iterable[SeriesRow], site_of: Callable[[str], str]) -> None:
        self._site_of = site_of
        self._latest: dict[Key, SeriesRow] = {}
        self._lookup: dict[tuple[str, ValueType], _Lookup] = {}
        self._new: list[SeriesRow] = []
        self._next = 1
        for row in rows:
            self._latest[(row.gateway, row.point, row.type)] = row
            self._next = max(self._next, row.series + 1)

    def bind(self, gateway: str, block: SampleBlock, time_us: int) -> tuple[Int64s, Int64s]:
        """The series of each run of a decoded block, and how many rows each run has.

        Args:
            gateway: Whose points they are.
            block: The samples.
            time_us: From when a provisional definition made on the way is valid.
        """
        lookup = self._lookup.get((gateway, block.type))
        if lookup is None:
            lookup = self._lookup[(gateway, block.type)] = self._load(gateway, block.type)
        n = len(block)
        begins = np.empty(n, bool)
        begins[0] = True
        np.not_equal(block.point[1:], block.point[:-1], out=begins[1:])
        starts = np.flatnonzero(begins)
        lengths = np.empty(len(starts), np.int64)
        np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
        lengths[-1] = n - starts[-1]
        points = block.point[starts]
        series = lookup.find(points)
        missing = points[series == 0]
        if len(missing):
            for point in np.unique(missing).tolist():
                lookup.add(point, self._provisional(gateway, point, block.type, time_us))
            series = lookup.find(points)
        return series, lengths

    def define(
        self, gateway: str, definitions: Sequence[PointDefinition], table_hash: bytes, time_us: int
    ) -> None:
        """Take in a point table.

        Args:
            gateway: Whose table it is.
            definitions: All its points.
            table_hash: SHA-256 of the table as it travelled.
            time_us: From when it is valid.
        """
        site = self._site_of(gateway)
        for definition in definitions:
            key = (gateway, definition.id, type_name(definition.type))
            known = self._latest.get(key)
            number = known.series if known is not None else self._allot(key, definition.type)
            row = SeriesRow(
                number,
                *key,
                definition.name,
                definition.unit,
                site,
                definition.scan_period_ms,
                definition.resolution,
                definition.low,
                definition.high,
                definition.description,
                False,
                time_us,
                table_hash.hex(),
            )
            stale = known is not None and not known.provisional and known.valid_from_us > time_us
            if known is None or (not stale and known[:13] != row[:13]):
                self._put(key, row)

    def take_new(self) -> list[SeriesRow]:
        """Rows that are not durable yet; each is given once."""
        new, self._new = self._new, []
        return new

    def rows(self) -> list[SeriesRow]:
        """The latest definition of every series."""
        return list(self._latest.values())

    def _load(self, gateway: str, type: ValueType) -> _Lookup:
        lookup = _Lookup()
        name = type_name(type)
        for (owner, point, kind), row in self._latest.items():
            if owner == gateway and kind == name:
                lookup.add(point, row.series)
        return lookup

    def _provisional(self, gateway: str, point: int, type: ValueType, time_us: int) -> int:
        key = (gateway, point, type_name(type))
        number = self._next
        self._next += 1
        name = f"{gateway}/{point}"
        row = SeriesRow(
            number, *key, name, "", self._site_of(gateway), None, None, None, None, "", True, time_us, ""
        )
        self._put(key, row)
        return number

    def _allot(self, key: Key, type: ValueType) -> int:
        number = self._next
        self._next += 1
        lookup = self._lookup.get((key[0], type))
        if lookup is not None:
            lookup.add(key[1], number)
        return number

    def _put(self, key: Key, row: SeriesRow) -> None:
        self._latest[key] = row
        self._new.append(row)


class _Lookup:
    """From point ids to series: a batch has thousands of points, a dict is too slow.

    A gateway's batches have the same points again and again, so the last answer is kept;
    else it is a binary search.
    """

    def __init__(self) -> None:
        self._pairs: dict[int, int] = {}
        self._points: UInt32s | None = None
        self._series: Int64s = np.empty(0, np.int64)
        self._asked: UInt32s = np.empty(0, np.uint32)
        self._answer: Int64s = np.empty(0, np.int64)

    def add(self, point: int, series: int) -> None:
        """Bind a point."""
        self._pairs[point] = series
        self._points = None

    def find(self, points: UInt32s) -> Int64s:
        """The series of each point, 0 where there is none."""
        if self._points is None:
            ordered = sorted(self._pairs.items())
            self._points = np.array([point for point, _ in ordered], np.uint32)
            self._series = np.array([series for _, series in ordered], np.int64)
        elif np.array_equal(points, self._asked):
            return self._answer
        self._asked, self._answer = points, self._search(points, self._points)
        return self._answer

    def _search(self, points: UInt32s, known: UInt32s) -> Int64s:
        if not len(known):
            return np.zeros(len(points), np.int64)
        at = np.searchsorted(known, points)
        at[at == len(known)] = 0
        return np.where(known[at] == points, self._series[at], 0)


def type_name(type: ValueType) -> str:
    """How the lake names a value type."""
    return type.name.lower()
