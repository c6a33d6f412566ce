"""Sample chunks to Arrow rows, by partition and in order, touching every row as seldom as can be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headquarters.ingest.rows import DAY_US, SampleChunk
from headquarters.lake.order import Order, order
from headquarters.lake.schema import SAMPLES, TIME
from protocols.samples import NO_SOURCE_TIME, Int64s

FIRST_DAY = 0
LAST_DAY = 84_005
"""Days since 1970 that may name a partition, up to 2199: what a broken clock says beyond
them is kept with its time, in the partition of the nearest such day."""

TEXT_CHARS_MAX = 500_000_000
"""Characters of text in one file: up to four bytes each, of the 2 GB that an Arrow column addresses."""

Rows = npt.NDArray[np.int64]
Placed = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


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
        for portion in _portions(groups[partition]):
            yield partition, rows_of(portion)


def rows_of(chunks: Sequence[SampleChunk]) -> pa.Table:
    """Chunks as rows in the order of the lake, whatever their dates."""
    lengths = np.array([len(chunk) for chunk in chunks], np.int64)
    offsets = np.cumsum(lengths) - lengths
    run_series = np.concatenate([chunk.run_series for chunk in chunks])
    run_lengths = np.concatenate([chunk.run_lengths for chunk in chunks])
    run_batch = np.repeat([chunk.batch for chunk in chunks], [len(chunk.run_series) for chunk in chunks])
    time = np.concatenate([chunk.time for chunk in chunks])
    found = order(run_series, np.cumsum(run_lengths) - run_lengths, time)

    def placed(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return column if found.rows is None else column[found.rows]

    arrays = [
        pa.array(_spread(run_series, run_lengths, found)),
        _times(placed(time)),
        _source_times(chunks, placed),
        _values(chunks, offsets, placed, found),
        _texts(chunks, offsets, found),
        _qualities(chunks, placed, len(time)),
        pa.array(_spread(run_batch, run_lengths, found)),
    ]
    return pa.Table.from_arrays(arrays, schema=SAMPLES.columns)


def _portions(chunks: list[SampleChunk]) -> Iterator[list[SampleChunk]]:
    """Chunks divided so that the text of each portion fits an Arrow column."""
    portion: list[SampleChunk] = []
    size = 0
    for chunk in chunks:
        texts = 0 if chunk.text is None else sum(len(text) for text in chunk.text if text is not None)
        if portion and size + texts > TEXT_CHARS_MAX:
            yield portion
            portion, size = [], 0
        portion.append(chunk)
        size += texts
    yield portion


def _by_day(chunk: SampleChunk) -> Iterator[tuple[int, SampleChunk]]:
    low, high = int(chunk.time.min()) // DAY_US, int(chunk.time.max()) // DAY_US
    if low == high:
        yield min(max(low, FIRST_DAY), LAST_DAY), chunk
        return
    days = np.clip(chunk.time // DAY_US, FIRST_DAY, LAST_DAY)
    for day in np.unique(days).tolist():
        yield day, chunk.take(days == day)


def _spread(of_run: Int64s, lengths: Rows, found: Order) -> Int64s:
    """What is the same for all rows of a run, for each row in order."""
    if found.runs is not None:
        return np.repeat(of_run[found.runs], lengths[found.runs])
    return np.repeat(of_run, lengths)[found.rows]


def _times(column: Int64s) -> pa.Array:
    column = np.ascontiguousarray(column)
    return pa.Array.from_buffers(TIME, len(column), [None, pa.py_buffer(column)])


def _qualities(chunks: Sequence[SampleChunk], placed: Placed, n: int) -> pa.Array:
    if not any(chunk.quality.any() for chunk in chunks):
        return pa.array(np.zeros(n, np.int64))
    return pa.array(placed(np.concatenate([chunk.quality for chunk in chunks])).astype(np.int64))


def _source_times(chunks: Sequence[SampleChunk], placed: Placed) -> pa.Array:
    if all(chunk.source_time is None for chunk in chunks):
        return pa.nulls(sum(map(len, chunks)), TIME)
    column = placed(
        np.concatenate(
            [
                np.full(len(chunk), NO_SOURCE_TIME, np.int64)
                if chunk.source_time is None
                else chunk.source_time
                for chunk in chunks
            ]
        )
    )
    return pa.array(column, mask=column == NO_SOURCE_TIME).view(TIME)


def _values(chunks: Sequence[SampleChunk], offsets: Rows, placed: Placed, found: Order) -> pa.Array:
    column = placed(
        np.concatenate([np.zeros(len(chunk)) if chunk.value is None else chunk.value for chunk in chunks])
    )
    without = [
        np.arange(offset, offset + len(chunk))
        for chunk, offset in zip(chunks, offsets.tolist(), strict=True)
        if chunk.value is None
    ]
    if not without:
        return pa.array(column)
    valid = _bits(len(column), found.destinations(np.concatenate(without)), False)
    return pa.Array.from_buffers(pa.float64(), len(column), [valid, pa.py_buffer(column)])


def _texts(chunks: Sequence[SampleChunk], offsets: Rows, found: Order) -> pa.Array:
    """The text column, in which few rows have any: built from those alone."""
    n = sum(map(len, chunks))
    rows, texts = [], []
    for chunk, offset in zip(chunks, offsets.tolist(), strict=True):
        if chunk.text is not None:
            there = np.flatnonzero(chunk.text != None)  # noqa: E711 - asks each element
            rows.append(offset + there)
            texts += [text.encode() for text in chunk.text[there].tolist()]
    if not texts:
        return pa.nulls(n, pa.string())
    at = found.destinations(np.concatenate(rows))
    ends = np.zeros(n + 1, np.int32)
    ends[at + 1] = [len(text) for text in texts]
    np.cumsum(ends, out=ends)
    data = b"".join([texts[number] for number in np.argsort(at).tolist()])
    buffers = [_bits(n, at, True), pa.py_buffer(ends), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), n, buffers)


def _bits(n: int, rows: Rows, value: bool) -> pa.Buffer:
    """A validity bitmap that is `value` at some rows and the contrary elsewhere."""
    bits = np.zeros((n + 7) // 8, np.uint8)
    np.bitwise_or.at(bits, rows >> 3, np.left_shift(1, rows & 7).astype(np.uint8))
    return pa.py_buffer(bits if value else ~bits)
