"""Samples in bulk, as Arrow batches: all rows as they are, in the order of series and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta

import pyarrow as pa

from headquarters.lake.query import Engine
from headquarters.lake.schema import SAMPLES, TIME
from headquarters.tenancy.scope import Scope
from headquarters.views.seeing import point_of
from headquarters.views.sources import Sources
from protocols.errors import InputError, Problem

SERIES_MAX = 1000
"""In one read; whole sites are read in several."""

PART_ROWS = 2_000_000
"""Rows sorted at a time: some 100 MB."""

DAY_US = 86_400_000_000

PART_US_MIN = 3_600_000_000
PARTS_MAX = 1000
"""Whoever asks for all time of a quick series gets fewer, larger parts."""

SCHEMA = pa.schema(
    [
        ("series", pa.int64()),
        ("time", TIME),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("quality", pa.int64()),
    ]
)


def samples(
    sources: Sources, scope: Scope, series: Sequence[int], from_us: int, to_us: int
) -> Iterator[pa.RecordBatch]:
    """All samples of some series within a time.

    Args:
        sources: Where to look.
        scope: Whose; what is not seen is left out.
        series: Which, at most `SERIES_MAX`.
        from_us: Begin.
        to_us: End, exclusive.

    Returns:
        Batches with the columns of `SCHEMA`. The query has begun when this returns, so what is
        wrong is raised here; an engine is kept until the last batch was taken or the iterator is closed.

    Raises:
        InputError: Too many series, or an end before its begin.
        StoreError: The lake cannot be read.
        BusyError: Others read in bulk already.
    """
    if len(series) > SERIES_MAX:
        expected = f"at most {SERIES_MAX} series in one read"
        raise InputError([Problem("query", "series", f"{len(series)} series", expected)])
    if not -(2**62) < from_us < to_us < 2**62:
        raise InputError([Problem("query", "to", f"{from_us} to {to_us}", "an end after its begin")])
    seen = [number for number in dict.fromkeys(series) if point_of(sources, scope, number) is not None]
    if not seen:
        return iter(())
    stack = ExitStack()
    try:
        engine = stack.enter_context(sources.bulk.engine())
        bounds = _held(engine)
        low, high = max(from_us, bounds[0]), min(to_us, bounds[1])
        parts = [part for number in seen for part in _parts(sources, number, low, high)]
        if not parts:
            stack.close()
            return iter(())
        first = engine.arrow(_sql(*parts[0]))
    except BaseException:
        stack.close()
        raise
    return _batches(stack, engine, first, parts[1:])


def _held(engine: Engine) -> tuple[int, int]:
    """The time that the lake has files of, a day more at both ends: all else is empty without a look."""
    dates = sorted({file.date for file in engine.files(SAMPLES)})
    if not dates or not dates[0]:
        return (0, 0) if not dates else (-(2**62), 2**62)
    first, last = (
        (date.fromisoformat(each) - date(1970, 1, 1)) // timedelta(microseconds=1)
        for each in (dates[0], dates[-1])
    )
    return first - DAY_US, last + 2 * DAY_US


def _parts(sources: Sources, series: int, from_us: int, to_us: int) -> list[tuple[int, int, int]]:
    """A series' time in parts of a bounded number of rows, where its scan class is kept to."""
    period_us = 1000 * max(sources.points().by_series[series].scan_period_ms, 1)
    step_us = max(PART_US_MIN, PART_ROWS * period_us)
    if (to_us - from_us) / step_us > PARTS_MAX:
        step_us = -(-(to_us - from_us) // PARTS_MAX)
    return [(series, at, min(at + step_us, to_us)) for at in range(from_us, to_us, step_us)]


def _sql(series: int, from_us: int, to_us: int) -> str:
    return (
        f"SELECT series, time, value, text, quality FROM samples WHERE series = {series} "
        f"AND time >= make_timestamptz({from_us}) AND time < make_timestamptz({to_us}) ORDER BY time"
    )


def _batches(
    stack: ExitStack, engine: Engine, first: pa.RecordBatchReader, rest: Sequence[tuple[int, int, int]]
) -> Iterator[pa.RecordBatch]:
    with stack:
        yield from (batch.cast(SCHEMA) for batch in first)
        for part in rest:
            yield from (batch.cast(SCHEMA) for batch in engine.arrow(_sql(*part)))
