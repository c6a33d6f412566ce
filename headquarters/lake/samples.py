"""Sample chunks to Arrow rows, by partition and in order, without copying more than once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headquarters.ingest.rows import DAY_US, SampleChunk
from headquarters.lake.order import order
from headquarters.lake.schema import SAMPLES, TIME
from protocols.samples import NO_SOURCE_TIME, Int64s

FIRST_DAY = 0
LAST_DAY = 84_005
"""Days since 1970 that may name a partition, up to 2199: what a broken clock says beyond
them is kept with its time, in the partition of the nearest such day."""


class Partition(NamedTuple):
    """A date and a bucket."""

    day: int
    bucket: int

    @property
    def values(self) -> dict[str, str]:
        """As the log and the folder names write it."""
        return {"date": str(np.datetime64(self.day, "D")), "bucket": str(self.bucket)}


def partitioned(chunks: Sequence[SampleChunk]) -> Iterator[tuple[Partition, pa.Table]]:
    """Rows of all chunks by partition, each in the order of the lake.

    Args:
        chunks: In the order they were taken in.
    """
    groups: dict[Partition, list[SampleChunk]] = defaultdict(list)
    for chunk in chunks:
        for day, part in _by_day(chunk):
            groups[Partition(day, chunk.bucket)].append(part)
    for partition in sorted(groups):
        yield partition, rows_of(groups[partition])


def _by_day(chunk: SampleChunk) -> Iterator[tuple[int, SampleChunk]]:
    low, high = int(chunk.time.min()) // DAY_US, int(chunk.time.max()) // DAY_US
    if low == high:
        yield min(max(low, FIRST_DAY), LAST_DAY), chunk
        return
    days = np.clip(chunk.time // DAY_US, FIRST_DAY, LAST_DAY)
    for day in np.unique(days).tolist():
        yield day, _take(chunk, np.flatnonzero(days == day))


def _take(chunk: SampleChunk, rows: npt.NDArray[np.int64]) -> SampleChunk:
    return replace(
        chunk,
        series=chunk.series[rows],
        time=chunk.time[rows],
        value=None if chunk.value is None else chunk.value[rows],
        text=None if chunk.text is None else chunk.text[rows],
        quality=chunk.quality[rows],
        source_time=None if chunk.source_time is None else chunk.source_time[rows],
    )


def rows_of(chunks: list[SampleChunk]) -> pa.Table:
    """Chunks as rows in the order of the lake, whatever their dates."""
    counts = np.array([len(chunk) for chunk in chunks], np.int64)
    series = np.concatenate([chunk.series for chunk in chunks])
    time = np.concatenate([chunk.time for chunk in chunks])
    rows = order(series, time, np.cumsum(counts) - counts)
    n = len(series)

    def placed(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return column if rows is None else column[rows]

    quality = np.concatenate([chunk.quality for chunk in chunks]).astype(np.int64)
    batch = np.repeat(np.array([chunk.batch for chunk in chunks], np.int64), counts)
    arrays = [
        pa.array(placed(series)),
        _times(placed(time)),
        _source_times(chunks, rows, n),
        _values(chunks, rows, n),
        _texts(chunks, rows, n),
        pa.array(placed(quality)),
        pa.array(placed(batch)),
    ]
    return pa.Table.from_arrays(arrays, schema=SAMPLES.columns)


def _times(column: Int64s) -> pa.Array:
    column = np.ascontiguousarray(column)
    return pa.Array.from_buffers(TIME, len(column), [None, pa.py_buffer(column)])


def _source_times(chunks: list[SampleChunk], rows: npt.NDArray[np.int64] | None, n: int) -> pa.Array:
    if all(chunk.source_time is None for chunk in chunks):
        return pa.nulls(n, TIME)
    column = np.concatenate(
        [
            np.full(len(chunk), NO_SOURCE_TIME, np.int64) if chunk.source_time is None else chunk.source_time
            for chunk in chunks
        ]
    )
    column = column if rows is None else column[rows]
    return pa.array(column, mask=column == NO_SOURCE_TIME).view(TIME)


def _values(chunks: list[SampleChunk], rows: npt.NDArray[np.int64] | None, n: int) -> pa.Array:
    column = np.empty(n, np.float64)
    mask = np.zeros(n, bool)
    at = 0
    for chunk in chunks:
        here = slice(at, at + len(chunk))
        if chunk.value is None:
            column[here] = 0.0
            mask[here] = True
        else:
            column[here] = chunk.value
        at += len(chunk)
    column, mask = (column, mask) if rows is None else (column[rows], mask[rows])
    return pa.array(column, mask=mask) if mask.any() else pa.array(column)


def _texts(chunks: list[SampleChunk], rows: npt.NDArray[np.int64] | None, n: int) -> pa.Array:
    if all(chunk.text is None for chunk in chunks):
        return pa.nulls(n, pa.string())
    column = np.full(n, None, object)
    at = 0
    for chunk in chunks:
        if chunk.text is not None:
            column[at : at + len(chunk)] = chunk.text
        at += len(chunk)
    return pa.array(column if rows is None else column[rows], pa.string())
