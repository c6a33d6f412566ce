"""Sample chunks to Arrow rows, by partition, touching every row as seldom as can be.

Chunks go into a file whole, ordered by their first series. A chunk is all that one batch has
of one type, point by point, so the row groups of a large file still tell gateways apart; a
small file is one row group whatever its order. Row by row they are put in order when files
are merged, where every row is touched anyway.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headquarters import limits
from headquarters.ingest.rows import DAY_US, SampleChunk
from headquarters.lake.schema import SAMPLES, TIME
from protocols.samples import NO_SOURCE_TIME, Int64s

FIRST_DAY = 0
LAST_DAY = 84_005
"""Days since 1970 that may name a partition, up to 2199: what a broken clock says beyond
them is kept with its time, in the partition of the nearest such day."""

Column = npt.NDArray[Any]


class Partition(NamedTuple):
    """A date and a bucket."""

    day: int
    bucket: int

    @property
    def values(self) -> dict[str, str]:
        """As the log and the folder names write it."""
        return {"date": str(np.datetime64(self.day, "D")), "bucket": str(self.bucket)}


def partitioned(chunks: Sequence[SampleChunk]) -> Iterator[tuple[Partition, list[SampleChunk]]]:
    """All chunks by partition, in each ordered by their first series.

    Args:
        chunks: In the order they were taken in.
    """
    groups: dict[Partition, list[SampleChunk]] = defaultdict(list)
    for chunk in chunks:
        for day, part in _by_day(chunk):
            groups[Partition(day, chunk.bucket)].append(part)
    for partition in sorted(groups):
        yield partition, sorted(groups[partition], key=lambda chunk: int(chunk.run_series[0]))


def present(chunks: Sequence[SampleChunk]) -> list[str]:
    """The columns that any row of these chunks has something in."""
    absent = {
        "source_time": all(chunk.source_time is None for chunk in chunks),
        "value": all(chunk.value is None for chunk in chunks),
        "text": all(chunk.text is None for chunk in chunks),
    }
    return [name for name in SAMPLES.columns.names if not absent.get(name, False)]


def portions(chunks: Sequence[SampleChunk], rows_max: int) -> Iterator[pa.Table]:
    """Chunks as rows, a portion at a time, so that what is made for one is in the cache for the next.

    Args:
        chunks: In the order of the file.
        rows_max: Rows of a portion, but for a larger chunk, which is one by itself.
    """
    portion: list[SampleChunk] = []
    rows = size = 0
    for chunk in chunks:
        texts = 0 if chunk.text is None else sum(len(text) for text in chunk.text if text is not None)
        if portion and (rows + len(chunk) > rows_max or size + texts > limits.TEXT_CHARS_MAX):
            yield rows_of(portion)
            portion, rows, size = [], 0, 0
        portion.append(chunk)
        rows += len(chunk)
        size += texts
    yield rows_of(portion)


def rows_of(chunks: Sequence[SampleChunk]) -> pa.Table:
    """Chunks as rows, one chunk after the other, whatever their dates."""
    arrays = [
        pa.array(_joined([chunk.series for chunk in chunks])),
        _times(_joined([chunk.time for chunk in chunks])),
        _source_times(chunks),
        _values(chunks),
        _texts(chunks),
        _qualities(chunks),
        pa.array(np.repeat([chunk.batch for chunk in chunks], [len(chunk) for chunk in chunks])),
    ]
    return pa.Table.from_arrays(arrays, schema=SAMPLES.columns)


def _by_day(chunk: SampleChunk) -> Iterator[tuple[int, SampleChunk]]:
    low, high = int(chunk.time.min()) // DAY_US, int(chunk.time.max()) // DAY_US
    if low == high:
        yield min(max(low, FIRST_DAY), LAST_DAY), chunk
        return
    days = np.clip(chunk.time // DAY_US, FIRST_DAY, LAST_DAY)
    for day in np.unique(days).tolist():
        yield day, chunk.take(days == day)


def _joined(columns: Sequence[Column]) -> Column:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _times(column: Int64s) -> pa.Array:
    column = np.ascontiguousarray(column)
    return pa.Array.from_buffers(TIME, len(column), [None, pa.py_buffer(column)])


def _qualities(chunks: Sequence[SampleChunk]) -> pa.Array:
    if not any(chunk.quality.any() for chunk in chunks):
        return pa.array(np.zeros(sum(map(len, chunks)), np.int64))
    return pa.array(_joined([chunk.quality for chunk in chunks]).astype(np.int64))


def _source_times(chunks: Sequence[SampleChunk]) -> pa.Array:
    if all(chunk.source_time is None for chunk in chunks):
        return pa.nulls(sum(map(len, chunks)), TIME)
    column = _joined(
        [
            np.full(len(chunk), NO_SOURCE_TIME, np.int64) if chunk.source_time is None else chunk.source_time
            for chunk in chunks
        ]
    )
    return pa.array(column, mask=column == NO_SOURCE_TIME).view(TIME)


def _values(chunks: Sequence[SampleChunk]) -> pa.Array:
    parts = [
        pa.nulls(len(chunk), pa.float64()) if chunk.value is None else pa.array(chunk.value)
        for chunk in chunks
    ]
    return pa.concat_arrays(parts)


def _texts(chunks: Sequence[SampleChunk]) -> pa.Array:
    """The text column, which few chunks have at all."""
    parts = [
        pa.nulls(len(chunk), pa.string()) if chunk.text is None else pa.array(chunk.text, pa.string())
        for chunk in chunks
    ]
    return pa.concat_arrays(parts)
