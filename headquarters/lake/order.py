"""Rows of many batches in the one order of the lake: by series, then by time.

Batches are point-major already, and so are files: both are made of *runs*, rows of one
series that follow each other in time. Only the runs are sorted, by series and first time,
which is a thousand times fewer things than the rows; the rows then move by whole runs.
Where runs of one series overlap, all rows are sorted instead.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from protocols.samples import Int64s

Indexes = npt.NDArray[np.int64]


def row_order(series: Int64s, time: Int64s) -> Indexes | None:
    """How to put rows in order; `None` when they stand in order.

    Args:
        series: Series of each row.
        time: Its time.

    >>> row_order(np.array([2, 2, 1]), np.array([5, 6, 5]))
    array([2, 0, 1])
    >>> row_order(np.array([1, 1, 2]), np.array([5, 6, 5])) is None
    True
    """
    if not len(series):
        return None
    starts = _runs(series, time)
    ends = np.append(starts[1:], len(time))
    runs = np.lexsort((time[starts], series[starts]))
    ordered, first, last = series[starts][runs], time[starts[runs]], time[ends[runs] - 1]
    if ((ordered[1:] == ordered[:-1]) & (first[1:] < last[:-1])).any():
        return np.lexsort((time, series))
    if (runs[1:] > runs[:-1]).all():
        return None
    return _expand(starts[runs], (ends - starts)[runs])


def _runs(series: Int64s, time: Int64s) -> Indexes:
    """The first row of each run: where the series changes or time falls.

    >>> _runs(np.array([1, 1, 1, 2]), np.array([5, 6, 5, 9])).tolist()
    [0, 2, 3]
    """
    begins = np.ones(len(series), bool)
    np.not_equal(series[1:], series[:-1], out=begins[1:])
    begins[1:] |= time[1:] < time[:-1]
    return np.flatnonzero(begins)


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
