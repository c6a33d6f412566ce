"""What the lake holds of an app: the points that it reads and wrote, and its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from headquarters.lake.query import Engine, literal
from headquarters.replay.align import Series
from headquarters.replay.compare import AppEvent

EMPTY = np.zeros(0, np.int64)


class Point(NamedTuple):
    """A point of a gateway in the lake.

    Args:
        name: Its name.
        series: All that it ever was; a new type or meaning made a new one.
        period_us: Its scan period, the longest of those.
        thinned: Whether a deadband left values out.
    """

    name: str
    series: tuple[int, ...]
    period_us: int
    thinned: bool = False


def find_points(engine: Engine, gateway: str, names: Iterable[str]) -> dict[str, Point]:
    """Those of the named points that the lake knows."""
    wanted = set(names)
    _, rows = engine.rows(
        "SELECT name, series, scan_period_ms, resolution FROM series "
        f"WHERE gateway = {literal(gateway)} ORDER BY series"
    )
    found: dict[str, Point] = {}
    for name, series, period_ms, resolution in rows:
        if name in wanted:
            known = found.get(name, Point(name, (), 0))
            period_us = max(known.period_us, 1000 * (period_ms or 0))
            thinned = known.thinned or bool(resolution)
            found[name] = Point(name, (*known.series, series), period_us, thinned)
    return found


def known_gateways(engine: Engine) -> list[str]:
    """The gateways whose points the lake knows."""
    _, rows = engine.rows("SELECT DISTINCT gateway FROM series ORDER BY gateway")
    return [gateway for (gateway,) in rows]


def read_samples(engine: Engine, points: Iterable[Point], from_us: int, to_us: int) -> dict[str, Series]:
    """Samples of points within [from, to), by name.

    Args:
        engine: The lake.
        points: Of one gateway.
        from_us: The first time.
        to_us: The first that is not wanted.
    """
    wanted = list(points)
    names = {series: point.name for point in wanted for series in point.series}
    periods = {point.name: point.period_us for point in wanted}
    found = {name: Series(EMPTY, np.zeros(0), EMPTY, periods[name]) for name in dict.fromkeys(names.values())}
    if not names:
        return found
    chosen = ", ".join(map(str, names))
    rows = engine.arrow(
        f"SELECT series, time, value, quality FROM samples WHERE series IN ({chosen}) "
        f"AND date BETWEEN {_date(from_us)} AND {_date(to_us)} AND {_within(from_us, to_us)} "
        "ORDER BY time, batch"
    ).read_all()
    columns = [
        rows.column("series").to_numpy(),
        rows.column("time").cast(pa.int64()).to_numpy(),
        rows.column("value").to_numpy(),
        rows.column("quality").to_numpy(),
    ]
    order = {name: at for at, name in enumerate(found)}
    owners = np.array([order[names[series]] for series in sorted(names)])
    owner = owners[np.searchsorted(np.array(sorted(names)), columns[0])]
    grouped = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=len(order)))
    for name, rows_of in zip(order, np.split(grouped, ends[:-1]), strict=True):
        times, values, codes = (column[rows_of] for column in columns[1:])
        newest = np.append(times[1:] != times[:-1], True) if len(times) else np.zeros(0, np.bool_)
        found[name] = Series(times[newest], values[newest], codes[newest], periods[name])
    return found


def span_of(engine: Engine, points: Iterable[Point]) -> tuple[int, int] | None:
    """The first and the last sample of some points, or `None` where there is none."""
    chosen = ", ".join(str(series) for point in points for series in point.series)
    if not chosen:
        return None
    sql = f"SELECT epoch_us(min(time)), epoch_us(max(time)) FROM samples WHERE series IN ({chosen})"
    _, [(first, last)] = engine.rows(sql)
    return None if first is None else (first, last)


def read_events(engine: Engine, gateway: str, app: str, from_us: int, to_us: int) -> list[AppEvent]:
    """What the app's programs emitted, as the gateway recorded it, within [from, to)."""
    _, rows = engine.rows(
        "SELECT epoch_us(time), instance, type, transition, text, value, quality, source "
        "FROM events "
        f"WHERE kind = 'event' AND gateway = {literal(gateway)} AND app = {literal(app)} "
        f"AND {_within(from_us, to_us)} AND (type = 'event' OR "
        "(type = 'alarm' AND transition IN ('raised', 'returned'))) ORDER BY time"
    )
    return [
        AppEvent(time, instance, kind, transition or "", text, value, min(quality >> 30, 2), source)
        for time, instance, kind, transition, text, value, quality, source in rows
    ]


def _within(from_us: int, to_us: int) -> str:
    return f"time >= make_timestamptz({from_us}) AND time < make_timestamptz({to_us})"


def _date(time_us: int) -> str:
    return f"DATE '{datetime.fromtimestamp(time_us / 1e6, UTC).date()}'"
