"""Trends: a few series over any time, with no more points than a chart has pixels.

Rules:
1. The raw rows are read as long as there are not many more than pixels; beyond that the roll-ups,
   which keep lowest, highest, first and last of every minute or hour.
2. Roll-ups are about a minute behind, and hours with late rows somewhat more: those are raw.
3. What was bad is not drawn as if it were a value: the line breaks, and a span says why. What was
   uncertain is drawn, and a span says so. Declared gaps break the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headquarters.lake.query import Engine, literal
from headquarters.lake.rollup import HOUR_US, MINUTE_US, STATE, Hour
from headquarters.lake.schema import SAMPLES, SAMPLES_HOUR, SAMPLES_MINUTE, TIME
from headquarters.tenancy.scope import Scope
from headquarters.views.pointbook import Point
from headquarters.views.seeing import point_of
from headquarters.views.sources import Sources
from headquarters.views.thinning import BAD, UNCERTAIN, Floats, Int64s, Span, spans_of, thin, with_breaks
from protocols.errors import InputError, Problem

WIDTH_MAX = 8000
"""Pixels: a wall of two 4k screens."""

SERIES_MAX = 20
"""In one chart; more lines than that nobody tells apart."""

RAW_ROWS_MAX = 250_000
"""Rows that are read raw although roll-ups would do: some ten milliseconds."""

READ_ROWS_MAX = 4_000_000
"""Rows that are read raw at most, where the scan classes are kept to: a tenth of a second."""

UNITS_PER_PIXEL = 2
"""A pixel has so many minutes, or hours, before their roll-ups are taken for it."""

GAPS_MAX = 1000
TEXTS_MAX = 2000

_ROLLED = ("time", "count", "good", "usable", "min", "max", "first", "last")


@dataclass(frozen=True, slots=True)
class TrendGap:
    """A declared gap.

    Args:
        from_us: First instant concerned.
        to_us: End, exclusive.
        cause: Why.
        samples: How many are missing; `None` when nobody can know.
        detail: One sentence.
    """

    from_us: int
    to_us: int
    cause: str
    samples: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class TextPoint:
    """A text from this time on, until the next.

    Args:
        time_us: Since when.
        text: What; `None` where there was none.
    """

    time_us: int
    text: str | None


@dataclass(frozen=True, slots=True)
class SeriesTrend:
    """One series.

    Args:
        point: Its definition.
        made_of: `raw`, `minute` or `hour`: what was read.
        rows: How many rows of that were read.
        time_us: Of each point of the line, ascending.
        value: One each; `None` where the line breaks.
        low: Lowest usable value, over all rows; `None` when there is none.
        high: Highest.
        spans: When the quality was not good.
        gaps: What was declared missing.
        texts: Of a series of texts: each change, the newest `TEXTS_MAX`.
    """

    point: Point
    made_of: str
    rows: int
    time_us: tuple[int, ...]
    value: tuple[float | None, ...]
    low: float | None
    high: float | None
    spans: tuple[Span, ...]
    gaps: tuple[TrendGap, ...]
    texts: tuple[TextPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Trend:
    """What a chart shows.

    Args:
        from_us: Begin.
        to_us: End, exclusive.
        width: Pixels.
        series: In the order asked for; without those that there are not, or that are not seen.
    """

    from_us: int
    to_us: int
    width: int
    series: tuple[SeriesTrend, ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What was read: usable values, and the severity of all rows."""

    time: Int64s
    value: Floats
    all_time: Int64s
    severity: Int64s
    count: int


def trend(
    sources: Sources, scope: Scope, series: Sequence[int], from_us: int, to_us: int, width: int
) -> Trend:
    """Some series over a time, for a chart of a width.

    Args:
        sources: Where to look.
        scope: Whose.
        series: Which, at most `SERIES_MAX`.
        from_us: Begin.
        to_us: End, exclusive.
        width: Pixels, at most `WIDTH_MAX`.

    Raises:
        InputError: Too many series, an end before its begin, or no such width.
        StoreError: The lake cannot be read.
    """
    _check(series, from_us, to_us, width)
    seen = [point_of(sources, scope, number) for number in dict.fromkeys(series)]
    points = [point for point in seen if point is not None]
    if not points:
        return Trend(from_us, to_us, width, ())
    with sources.engine() as engine:
        dirty = dirty_hours(sources.config.lake, from_us, to_us)
        found = tuple(_series(engine, point, from_us, to_us, width, dirty) for point in points)
    return Trend(from_us, to_us, width, found)


def unit_for(from_us: int, to_us: int, width: int, scan_period_ms: int) -> str:
    """What to read: `raw` rows, or the roll-ups by `minute` or `hour`.

    >>> day = 86_400_000_000
    >>> unit_for(0, day, 1000, 1000), unit_for(0, 30 * day, 1000, 1000), unit_for(0, 300 * day, 1000, 1000)
    ('raw', 'minute', 'hour')
    >>> unit_for(0, 300 * day, 1000, 3_600_000)
    'raw'
    """
    rows = (to_us - from_us) / (1000 * max(scan_period_ms, 1)) if scan_period_ms else float("inf")
    pixel_us = (to_us - from_us) / width
    if rows <= RAW_ROWS_MAX:
        return "raw"
    if pixel_us >= UNITS_PER_PIXEL * HOUR_US:
        return "hour"
    if pixel_us >= UNITS_PER_PIXEL * MINUTE_US or (scan_period_ms and rows > READ_ROWS_MAX):
        return "minute"
    return "raw"


def dirty_hours(lake: Path, from_us: int, to_us: int) -> list[tuple[int, int]]:
    """Hours within a time whose roll-ups are behind: begin and end, those that adjoin put together."""
    try:
        dirty = json.loads((lake / STATE).read_text())["dirty"]
        starts = sorted(Hour(date, hour).start_us for date, hour in dirty)
    except (OSError, ValueError, KeyError, TypeError):  # no roll-ups yet
        return []
    found: list[tuple[int, int]] = []
    for start in starts:
        if start + HOUR_US <= from_us or start >= to_us:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], start + HOUR_US)
        else:
            found.append((start, start + HOUR_US))
    return found


def _check(series: Sequence[int], from_us: int, to_us: int, width: int) -> None:
    problems = []
    if len(series) > SERIES_MAX:
        expected = f"at most {SERIES_MAX} series in one chart"
        problems.append(Problem("query", "series", f"{len(series)} series", expected))
    if not -(2**62) < from_us < to_us < 2**62:
        problems.append(Problem("query", "to", f"{from_us} to {to_us}", "an end after its begin"))
    if not 0 < width <= WIDTH_MAX:
        problems.append(Problem("query", "width", str(width), f"pixels, 1 to {WIDTH_MAX}"))
    if problems:
        raise InputError(problems)


def _series(
    engine: Engine, point: Point, from_us: int, to_us: int, width: int, dirty: list[tuple[int, int]]
) -> SeriesTrend:
    gaps = _gaps(engine, point, from_us, to_us)
    if point.type == "text":
        return _text(engine, point, from_us, to_us, gaps)
    unit = unit_for(from_us, to_us, width, point.scan_period_ms)
    if unit == "raw":
        rows = _raw(engine, point.series, from_us, to_us)
    else:
        rows = _rolled(engine, point.series, from_us, to_us, unit, dirty)
    pixel_us = max(1, (to_us - from_us) // width)
    end_us = min(to_us, int(rows.all_time[-1]) + _step_us(point, unit)) if len(rows.all_time) else to_us
    spans = spans_of(rows.all_time, rows.severity, end_us, pixel_us)
    kept = thin(rows.time, rows.value, width)
    breaks = [(gap.from_us, gap.to_us) for gap in gaps]
    breaks += [(span.from_us, span.to_us) for span in spans if span.severity == BAD]
    time, value = with_breaks(rows.time[kept], rows.value[kept], breaks)
    has = len(rows.value) > 0
    return SeriesTrend(
        point,
        unit,
        rows.count,
        tuple(time),
        tuple(value),
        float(rows.value.min()) if has else None,
        float(rows.value.max()) if has else None,
        tuple(spans),
        gaps,
    )


def _step_us(point: Point, unit: str) -> int:
    """For how long the last row counts."""
    return {"minute": MINUTE_US, "hour": HOUR_US}.get(unit, 1000 * max(point.scan_period_ms, 1))


def _raw(engine: Engine, series: int, from_us: int, to_us: int) -> _Rows:
    table = engine.scan(SAMPLES, ("time", "value", "quality"), _chosen(series, from_us, to_us))
    time, value = _int64(table, "time"), _float64(table, "value")
    severity = np.minimum((_int64(table, "quality") >> 30) & 3, BAD)
    if len(time) > 1 and (np.diff(time) < 0).any():
        order = np.argsort(time, kind="stable")
        time, value, severity = time[order], value[order], severity[order]
    usable = (severity < BAD) & np.isfinite(value)
    return _Rows(time[usable], value[usable], time, np.where(np.isfinite(value), severity, BAD), len(time))


def _rolled(
    engine: Engine, series: int, from_us: int, to_us: int, unit: str, dirty: list[tuple[int, int]]
) -> _Rows:
    """Roll-ups, with raw rows where these are behind."""
    step_us = MINUTE_US if unit == "minute" else HOUR_US
    first_us = -(-from_us // step_us) * step_us
    rolled = SAMPLES_MINUTE if unit == "minute" else SAMPLES_HOUR
    table = engine.scan(rolled, _ROLLED, _chosen(series, first_us, to_us)).sort_by("time")
    time = _int64(table, "time")
    last_us = int(time[-1]) if len(time) else first_us
    fresh = [(from_us, min(first_us, to_us)), *dirty, (last_us, to_us)]
    raw = [_raw(engine, series, *each) for each in _apart(fresh, from_us, to_us)]
    clean = np.ones(len(time), bool)
    for start, end in _apart(fresh, from_us, to_us):
        clean &= (time < start) | (time >= end)
    time = time[clean]
    count, good, usable = (_int64(table, name)[clean] for name in ("count", "good", "usable"))
    severity = np.where(usable < count, BAD, np.where(good < count, UNCERTAIN, 0))
    has = usable > 0
    line_time = np.concatenate([time[has] + quarter * step_us // 4 for quarter in range(4)])
    line = np.concatenate([_float64(table, name)[clean][has] for name in ("first", "min", "max", "last")])
    parts = [_Rows(line_time, line, time, severity, len(time)), *raw]
    return _joined(parts)


def _joined(parts: Sequence[_Rows]) -> _Rows:
    time = np.concatenate([part.time for part in parts])
    all_time = np.concatenate([part.all_time for part in parts])
    line, whole = np.argsort(time, kind="stable"), np.argsort(all_time, kind="stable")
    return _Rows(
        time[line],
        np.concatenate([part.value for part in parts])[line],
        all_time[whole],
        np.concatenate([part.severity for part in parts])[whole],
        sum(part.count for part in parts),
    )


def _apart(ranges: Iterable[tuple[int, int]], from_us: int, to_us: int) -> list[tuple[int, int]]:
    """Ranges cut to a time, in order, overlapping ones put together.

    >>> _apart([(0, 5), (3, 9), (20, 30)], 2, 25)
    [(2, 9), (20, 25)]
    """
    found: list[tuple[int, int]] = []
    for start, end in sorted((max(start, from_us), min(end, to_us)) for start, end in ranges):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _text(engine: Engine, point: Point, from_us: int, to_us: int, gaps: tuple[TrendGap, ...]) -> SeriesTrend:
    _, rows = engine.rows(
        "SELECT * FROM (SELECT epoch_us(time) AS since, "
        "CASE WHEN quality >= 2147483648 THEN NULL ELSE text END AS said, "
        "lag(said) OVER (ORDER BY time) IS DISTINCT FROM said "
        "OR row_number() OVER (ORDER BY time) = 1 AS new, "
        f"count(*) OVER () AS seen FROM samples WHERE {_within(point.series, from_us, to_us)}) "
        f"WHERE new ORDER BY since DESC LIMIT {TEXTS_MAX}"
    )
    found = list(rows)
    texts = tuple(TextPoint(at, text) for at, text, _, _ in reversed(found))
    seen = found[0][3] if found else 0
    return SeriesTrend(point, "raw", seen, (), (), None, None, (), gaps, texts)


def _gaps(engine: Engine, point: Point, from_us: int, to_us: int) -> tuple[TrendGap, ...]:
    _, rows = engine.rows(
        "SELECT epoch_us(t_from), epoch_us(t_to), cause, samples, coalesce(detail, '') FROM gaps "
        f"WHERE gateway = {literal(point.gateway)} AND t_from < make_timestamptz({to_us}) "
        f"AND t_to > make_timestamptz({from_us}) "
        f"AND (points IS NULL OR list_contains(points, {point.point})) ORDER BY t_from DESC LIMIT {GAPS_MAX}"
    )
    return tuple(TrendGap(*row) for row in reversed(list(rows)))


def _within(series: int, from_us: int, to_us: int) -> str:
    return f"series = {series} AND time >= make_timestamptz({from_us}) AND time < make_timestamptz({to_us})"


def _chosen(series: int, from_us: int, to_us: int) -> Any:
    """Rows of a series within a time, for `Engine.scan`."""
    start, end = (pa.scalar(at, pa.int64()).cast(TIME) for at in (from_us, to_us))
    return (pc.field("series") == series) & (pc.field("time") >= start) & (pc.field("time") < end)


def _int64(table: pa.Table, name: str) -> Int64s:
    column = table.column(name).cast(pa.int64())
    found: Int64s = column.combine_chunks().to_numpy(zero_copy_only=False)
    return found


def _float64(table: pa.Table, name: str) -> Floats:
    column = pc.fill_null(table.column(name), float("nan"))
    found: Floats = column.combine_chunks().to_numpy(zero_copy_only=False).astype(np.float64)
    return found
