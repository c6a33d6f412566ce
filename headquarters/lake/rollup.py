"""Minute and hour roll-ups, always made from the raw rows themselves.

Rules:
1. An hour is dirty when a commit of samples touched it; a dirty hour is rolled up again
   whole and replaces what was there. So a roll-up equals its raw rows, late ones included.
2. How far the samples' log was looked through, and which hours are dirty still, is kept in
   `rollup.json` beside the tables. After a crash at worst some hours are made again.
3. `count` counts rows and `good` those of good quality. The others are over *usable* rows
   alone: of good or uncertain quality, with a number that is not NaN. `first` and `last`
   are by time, `sum` adds in that order.

4. While a date is open, each hour's minutes are a file of their own, so that a roll-up replaces one
   file. Once it is closed, housekeeping gathers them into one sorted by series (`upkeep`), because
   who asks for a month would open 720. A late row cuts its hours out of that again: what was before
   them and behind becomes a file each, and the date is gathered anew when it is quiet.

Rows whose time lies outside the date of their partition (a broken clock, see `samples`)
are in no roll-up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headquarters.ingest.rows import DAY_US
from headquarters.lake import compact, disk, files
from headquarters.lake.compact import key_ranges
from headquarters.lake.deltalog import DataFile
from headquarters.lake.order import row_order
from headquarters.lake.schema import TIME
from headquarters.lake.tables import Lake, LakeTable

STATE = "rollup.json"
MINUTE_US = 60_000_000
HOUR_US = 3_600_000_000


class Hour(NamedTuple):
    """One hour of one date."""

    date: str
    hour: int

    @property
    def start_us(self) -> int:
        """Its first microsecond since 1970."""
        day = int(np.datetime64(self.date, "D").astype(np.int64))
        return day * DAY_US + self.hour * HOUR_US


class RollUps:
    """Keeps `samples_minute` and `samples_hour` equal to `samples`.

    Args:
        lake: The tables.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._path = lake.folder / STATE
        self._version = -1
        self._dirty: set[Hour] = set()
        self._load()

    @property
    def dirty(self) -> set[Hour]:
        """Hours whose roll-ups are behind."""
        return set(self._dirty)

    def step(self) -> bool:
        """Look for dirty hours and roll up those of one date; returns whether there were any.

        Raises:
            StoreError: The disk refused.
        """
        self._look()
        if not self._dirty:
            return False
        date = max(hour.date for hour in self._dirty)
        hours = sorted(hour for hour in self._dirty if hour.date == date)
        self._roll(date, hours)
        self._dirty.difference_update(hours)
        self._save()
        return True

    def _look(self) -> None:
        """Take in what was committed since the last look."""
        log = self._lake.samples.log
        latest = log.version
        if latest == self._version:
            return
        added = log.added(self._version, latest)
        if added is None:  # the log that far back is gone: everything may have changed
            added = log.files()
        self._dirty.update(hour for file in added for hour in hours_of(file))
        self._version = latest
        self._save()

    def _roll(self, date: str, hours: list[Hour]) -> None:
        minutes: list[tuple[Hour, pa.Table]] = []
        by_hour: list[pa.Table] = []
        for hour in hours:
            in_minutes, whole = self._aggregate(hour)
            minutes.append((hour, in_minutes))
            by_hour.append(whole)
        self._replace_minutes(date, minutes)
        table = self._lake.hours
        old = [file for file in table.log.files() if file.date == date]
        starts = pa.array([hour.start_us for hour in hours]).cast(TIME)
        kept = table.read(old, None, ~pc.field("time").isin(starts))
        rows = pa.concat_tables([kept, *by_hour]).sort_by([("series", "ascending"), ("time", "ascending")])
        new = [] if not len(rows) else [_write(table, date, rows)]
        table.log.commit(new, table.clock_ms(), removes=old)

    def _replace_minutes(self, date: str, minutes: list[tuple[Hour, pa.Table]]) -> None:
        """Put a file of each hour in the place of what is there of it, in one commit."""
        table = self._lake.minutes
        made = {hour for hour, _ in minutes}
        old = [f for f in table.log.files() if f.date == date and not made.isdisjoint(hours_of(f))]
        new = [_write(table, date, rows) for _, rows in minutes if len(rows)]
        reaching = [file for file in old if not made.issuperset(hours_of(file))]
        around = {hour for file in reaching for hour in hours_of(file)} - made
        for start, end in _runs(around):
            within = (pc.field("time") >= _instant(start)) & (pc.field("time") < _instant(end))
            chunks = compact.sorted_chunks(table, reaching, within)
            rows_max = sum(file.rows for file in reaching)
            new += compact.write_sorted(table, {"date": date}, chunks, rows_max)
        table.log.commit(new, table.clock_ms(), removes=old)

    def _aggregate(self, hour: Hour) -> tuple[pa.Table, pa.Table]:
        """The minute rows and the hour rows of one hour."""
        samples = self._lake.samples
        chosen = [file for file in samples.log.files() if hour in hours_of(file)]
        start, end = _instant(hour.start_us), _instant(hour.start_us + HOUR_US)
        within = (pc.field("time") >= start) & (pc.field("time") < end)
        minutes, whole = [], []
        for low, high in key_ranges(samples, chosen, "series"):
            where = within & (pc.field("series") >= low) & (pc.field("series") <= high)
            rows = samples.read(chosen, ["series", "time", "value", "quality"], where)
            columns = _ordered_columns(rows)
            minutes.append(aggregate(*columns, MINUTE_US))
            whole.append(aggregate(*columns, HOUR_US))
        empty = self._lake.minutes.table.columns.empty_table()
        return pa.concat_tables([empty, *minutes]), pa.concat_tables([empty, *whole])

    def _load(self) -> None:
        try:
            state = json.loads(self._path.read_text())
            self._version = int(state["version"])
            self._dirty = {Hour(date, hour) for date, hour in state["dirty"]}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            self._version, self._dirty = -1, set()  # everything is looked through again

    def _save(self) -> None:
        state = {"version": self._version, "dirty": sorted(self._dirty)}
        disk.replace(self._path, json.dumps(state).encode())


def hours_of(file: DataFile) -> list[Hour]:
    """The hours that a file may hold rows of, within the date of its partition."""
    day_us = Hour(file.date, 0).start_us
    first = max(_stat_us(file.low["time"]) - day_us, 0) // HOUR_US
    last = min(_stat_us(file.high["time"]) - day_us, DAY_US - 1) // HOUR_US
    return [Hour(file.date, hour) for hour in range(first, last + 1)]


def _stat_us(text: str) -> int:
    """A time as the log states it, in microseconds."""
    return int(np.datetime64(text.rstrip("Z"), "us").astype(np.int64))


def aggregate(
    series: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    quality: npt.NDArray[np.int64],
    unit_us: int,
) -> pa.Table:
    """Roll up rows ordered by series and time.

    Args:
        series: Series of each row.
        time: Its time in microseconds.
        value: Its value, NaN where there is none.
        quality: Its StatusCode.
        unit_us: Length of the intervals.
    """
    n = len(series)
    interval = time // unit_us
    begins = np.ones(n, bool)
    if n:
        begins[1:] = (series[1:] != series[:-1]) | (interval[1:] != interval[:-1])
    starts = np.flatnonzero(begins)
    groups = len(starts)
    group = np.cumsum(begins) - 1
    good = np.bincount(group[(quality >> 30) == 0], minlength=groups)
    usable = ((quality >> 31) == 0) & ~np.isnan(value)
    kept, of = value[usable], group[usable]
    firsts = np.flatnonzero(np.append(True, of[1:] != of[:-1])) if len(of) else np.empty(0, np.int64)
    there = of[firsts]
    columns: dict[str, Any] = {
        "series": series[starts],
        "time": pa.array(interval[starts] * unit_us).cast(TIME),
        "count": np.diff(np.append(starts, n)),
        "good": good,
        "usable": np.bincount(of, minlength=groups),
    }
    results = {
        "min": np.minimum.reduceat(kept, firsts) if len(of) else kept,
        "max": np.maximum.reduceat(kept, firsts) if len(of) else kept,
        "sum": np.add.reduceat(kept, firsts) if len(of) else kept,
        "first": kept[firsts],
        "last": kept[np.append(firsts[1:], len(of)) - 1] if len(of) else kept,
    }
    results["mean"] = results["sum"] / columns["usable"][there]
    for name in ("min", "max", "sum", "mean", "first", "last"):
        columns[name] = _spread(results[name], there, groups)
    return pa.table(columns)


def _spread(values: npt.NDArray[np.float64], at: npt.NDArray[np.int64], groups: int) -> pa.Array:
    """Values of some groups as a column of all, null elsewhere."""
    column = np.zeros(groups)
    missing = np.ones(groups, bool)
    column[at] = values
    missing[at] = False
    return pa.array(column, pa.float64(), mask=missing)


def _ordered_columns(rows: pa.Table) -> tuple[Any, Any, Any, Any]:
    series = rows.column("series").combine_chunks().to_numpy()
    time = rows.column("time").cast(pa.int64()).combine_chunks().to_numpy()
    value = pc.fill_null(rows.column("value"), float("nan")).combine_chunks().to_numpy()
    quality = rows.column("quality").combine_chunks().to_numpy()
    taken = row_order(series, time)
    if taken is None:
        return series, time, value, quality
    return series[taken], time[taken], value[taken], quality[taken]


def _runs(hours: Iterable[Hour]) -> list[tuple[int, int]]:
    """Begin and end, in microseconds, of hours that follow each other.

    >>> hours = [Hour("1970-01-01", hour) for hour in (1, 4, 2)]
    >>> [(start // HOUR_US, end // HOUR_US) for start, end in _runs(hours)]
    [(1, 3), (4, 5)]
    """
    found: list[tuple[int, int]] = []
    for start in sorted(hour.start_us for hour in hours):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], start + HOUR_US)
        else:
            found.append((start, start + HOUR_US))
    return found


def _instant(at_us: int) -> pa.Scalar:
    return pa.scalar(at_us).cast(TIME)


def _write(table: LakeTable, date: str, rows: pa.Table) -> DataFile:
    return files.write(table.table, table.folder, {"date": date}, files.SORTED, rows, table.clock_ms())
