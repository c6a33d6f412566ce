"""Rows of many batches in the one order of the lake: by series, then by time.

Batches are point-major already, and so are files: both are made of *runs*, the samples of
one series in the order of time. Only the runs are sorted, by series and first time, which
is a thousand times fewer things than the rows; the rows then move by whole runs. Where
runs of one series overlap, or one is not in order itself, all rows are sorted instead.
Rows of equal series and time keep their order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from protocols.samples import Int64s


def order(series: Int64s, time: Int64s, bounds: Int64s) -> npt.NDArray[np.int64] | None:
    """How to put rows in order.

    Args:
        series: Series of each row.
        time: Time of each row.
        bounds: Rows at which another source of rows begins; sources may repeat a series.

    Returns:
        Row numbers in order, or `None` when they are in order as they stand.

    >>> order(np.array([2, 2, 1]), np.array([5, 6, 5]), np.array([0]))
    array([2, 0, 1])
    >>> order(np.array([1, 1, 2]), np.array([5, 6, 5]), np.array([0])) is None
    True
    """
    n = len(series)
    if n < 2:
        return None
    begins = np.empty(n, bool)
    begins[0] = True
    np.not_equal(series[1:], series[:-1], out=begins[1:])
    begins[bounds[bounds < n]] = True
    falls = time[1:] < time[:-1]
    if (falls & ~begins[1:]).any():
        return _sort_rows(series, time)
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], n)
    runs = np.lexsort((time[starts], series[starts]))
    ordered_series, first, last = series[starts[runs]], time[starts[runs]], time[ends[runs] - 1]
    if ((ordered_series[1:] == ordered_series[:-1]) & (first[1:] < last[:-1])).any():
        return _sort_rows(series, time)
    if (runs[1:] > runs[:-1]).all():
        return None
    return _expand(starts[runs], (ends - starts)[runs])


def _sort_rows(series: Int64s, time: Int64s) -> npt.NDArray[np.int64]:
    return np.lexsort((time, series))


def _expand(starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Row numbers of runs laid end to end."""
    placed = np.cumsum(counts) - counts
    return np.repeat(starts - placed, counts) + np.arange(int(counts.sum()), dtype=np.int64)
