"""Rows of many batches in the one order of the lake: by series, then by time.

Batches are point-major already, and so are files: both are made of *runs*, the samples of
one series in the order of time. Only the runs are sorted, by series and first time, which
is a thousand times fewer things than the rows; the rows then move by whole runs. Where
runs of one series overlap, or one is not in order itself, all rows are sorted instead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from protocols.samples import Int64s

Indexes = npt.NDArray[np.int64]


class Order(NamedTuple):
    """How to put rows in order.

    Args:
        runs: Numbers of runs in their order, or `None` when rows have to move one by one.
        rows: Numbers of rows in their order, or `None` when they stand in order.
        starts: First row of each run as they stand.
    """

    runs: Indexes | None
    rows: Indexes | None
    starts: Indexes

    def destinations(self, rows: Indexes) -> Indexes:
        """Where a few rows go."""
        if self.rows is None:
            return rows
        if self.runs is None:
            inverse = np.empty(len(self.rows), np.int64)
            inverse[self.rows] = np.arange(len(self.rows))
            return inverse[rows]
        lengths = np.diff(np.append(self.starts, len(self.rows)))[self.runs]
        begins = np.empty(len(self.runs), np.int64)
        begins[self.runs] = np.cumsum(lengths) - lengths
        run = np.searchsorted(self.starts, rows, side="right") - 1
        return begins[run] + rows - self.starts[run]


def order(series: Int64s, starts: Indexes, time: Int64s) -> Order:
    """Find the order of rows that are given as runs.

    Args:
        series: Series of each run.
        starts: First row of each run; the first is 0.
        time: Time of each row.

    >>> order(np.array([2, 1]), np.array([0, 2]), np.array([5, 6, 5])).rows
    array([2, 0, 1])
    >>> order(np.array([1, 2]), np.array([0, 2]), np.array([5, 6, 5])).rows is None
    True
    """
    n = len(time)
    ends = np.append(starts[1:], n)
    falls = time[1:] < time[:-1]
    falls[starts[1:] - 1] = False
    if falls.any():
        return _sort_rows(series, starts, time)
    runs = np.lexsort((time[starts], series))
    ordered, first, last = series[runs], time[starts[runs]], time[ends[runs] - 1]
    if ((ordered[1:] == ordered[:-1]) & (first[1:] < last[:-1])).any():
        return _sort_rows(series, starts, time)
    if (runs[1:] > runs[:-1]).all():
        return Order(runs, None, starts)
    return Order(runs, _expand(starts[runs], (ends - starts)[runs]), starts)


def row_order(series: Int64s, time: Int64s, bounds: Indexes) -> Indexes | None:
    """How to put rows in order; `None` when they stand in order.

    Args:
        series: Series of each row.
        time: Its time.
        bounds: Rows at which another source of rows begins; sources may repeat a series.
    """
    starts = runs_of(series, bounds)
    return order(series[starts], starts, time).rows if len(series) else None


def runs_of(series: Int64s, bounds: Indexes) -> Indexes:
    """The first row of each run.

    Args:
        series: Series of each row.
        bounds: Rows at which another source of rows begins; sources may repeat a series.

    >>> runs_of(np.array([1, 1, 2, 2]), np.array([0, 3])).tolist()
    [0, 2, 3]
    """
    if not len(series):
        return np.empty(0, np.int64)
    begins = np.empty(len(series), bool)
    begins[0] = True
    np.not_equal(series[1:], series[:-1], out=begins[1:])
    begins[bounds[bounds < len(series)]] = True
    return np.flatnonzero(begins)


def _sort_rows(series: Int64s, starts: Indexes, time: Int64s) -> Order:
    counts = np.diff(np.append(starts, len(time)))
    return Order(None, np.lexsort((time, np.repeat(series, counts))), starts)


def _expand(starts: Indexes, counts: Indexes) -> Indexes:
    """Row numbers of runs laid end to end."""
    placed = np.cumsum(counts) - counts
    rows = np.repeat(starts - placed, counts)
    rows += _counting(len(rows))
    return rows


def _counting(n: int) -> Indexes:
    """0, 1, 2 ... below n: always the same, so it is made once; a fresh one costs more than the sort."""
    counted = _counted[0]  # held on to: another thread may put another one there
    if len(counted) < n:
        counted = _counted[0] = np.arange(2 * n)
    return counted[:n]


_counted = [np.arange(0)]
