"""Scan instants against rows: what is missing, what is doubled, what a gap covers.

Times are microseconds since 1970; scan instants are the multiples of a period.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scripts.judge.lake import NO_TIME, Gap, Int64s, Lake, Samples, Series
from scripts.judge.verdict import Verdict
from scripts.plant.catalogue import Kind, PlantPoint
from scripts.plant.log import Log, Records

Bools = npt.NDArray[np.bool_]
BAD = 0x8000_0000


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of the lake that belong to one log and one scan period.

    Args:
        samples: The rows.
        point: Index of each row's point in the log.
        names: Of all points of the log.
        period_us: The scan period.
        ids: Local point id of each log point that is judged, others -1.
    """

    samples: Samples
    point: npt.NDArray[np.intp]
    names: tuple[str, ...]
    period_us: int
    ids: Int64s

    @property
    def on_grid(self) -> Bools:
        """Rows stamped with a scan instant."""
        return np.asarray(self.samples.time % self.period_us == 0)

    @property
    def usable(self) -> Bools:
        """Rows that claim a value."""
        return np.asarray((self.samples.quality & BAD) == 0)

    def places(self, which: Bools) -> list[tuple[str, int]]:
        """Point and time of some rows, for `Verdict.note`."""
        few = np.flatnonzero(which)[:10]
        return [(self.names[self.point[i]], int(self.samples.time[i])) for i in few]


@dataclass(frozen=True, slots=True)
class Window:
    """The scan instants that are judged: `first`, `first + period`, ... up to and with `last`."""

    first: int
    last: int
    period_us: int

    @property
    def instants(self) -> int:
        """How many."""
        return max(0, (self.last - self.first) // self.period_us + 1)

    def index(self, time: Int64s) -> Int64s:
        """The instant that a time belongs to, counted from the first; outside it is negative or too large."""
        indexes: Int64s = (time - self.first) // self.period_us
        return indexes


def window_of(known: Int64s, period_us: int, since_us: int, until_us: int | None) -> Window:
    """The instants to judge: from the first to the last that anybody knows of.

    Args:
        known: Times of rows, answers and subscriptions.
        period_us: The scan period.
        since_us: What was before is left out.
        until_us: The last instant is the one before this; `None` for the last one known.
    """
    known = known[(known >= since_us) & (known < (until_us or np.iinfo(np.int64).max))]
    if not len(known):
        return Window(0, -1, period_us)
    last = int(known.max()) if until_us is None else until_us - 1
    return Window(int(known.min()) // period_us * period_us, last // period_us * period_us, period_us)


def series_of(lake: Lake, log: Log, gateway: str | None) -> dict[tuple[str, int], list[Series]]:
    """The series that hold a log's points, by gateway and scan period in microseconds.

    Raises:
        ValueError: A point of the log is in the lake of no gateway, or is thinned out there.
    """
    names = {point.name for point in log.points}
    found: dict[tuple[str, int], list[Series]] = {}
    for series in lake.series():
        if series.name in names and gateway in (None, series.gateway):
            if series.resolution:
                raise ValueError(f"expected every sample of {series.name} in the lake, but it is thinned out")
            found.setdefault((series.gateway, series.scan_period_ms * 1000), []).append(series)
    missing = names - {series.name for group in found.values() for series in group}
    if missing:
        shown = ", ".join(sorted(missing)[:5])
        raise ValueError(f"expected every served point in the lake, {len(missing)} are not: {shown}")
    return found


def rows_of(lake: Lake, log: Log, series: Sequence[Series], period_us: int) -> Rows:
    """Fetch the rows of some series."""
    index = {point.name: i for i, point in enumerate(log.points)}
    samples = lake.samples([s.series for s in series])
    numbers = np.array([s.series for s in series], np.int64)
    indexes = np.array([index[s.name] for s in series], np.intp)
    order = np.argsort(numbers)
    point = indexes[order][np.searchsorted(numbers[order], samples.series)]
    ids = np.full(len(log.points), -1, np.int64)
    ids[indexes] = [s.point for s in series]
    return Rows(samples, point, tuple(index), period_us, ids)


def count_rows(rows: Rows, window: Window, gaps: Sequence[Gap]) -> Verdict:
    """Exactly one row for each point and instant, or a gap."""
    verdict = Verdict(samples=len(rows.samples))
    judged = np.flatnonzero(rows.ids >= 0)
    verdict.expected = len(judged) * window.instants
    at = window.index(rows.samples.time)
    inside = rows.on_grid & (at >= 0) & (at < window.instants)
    cells = rows.point[inside] * window.instants + at[inside]
    counts = np.bincount(cells, minlength=len(rows.ids) * window.instants)
    missing = counts.reshape(len(rows.ids), window.instants)[judged] == 0
    covered = _covered(window, gaps, rows.ids[judged]) & missing
    verdict.in_gaps = int(covered.sum())
    lost = missing & ~covered
    verdict.lost = int(lost.sum())
    places = np.argwhere(lost)[:10]
    verdict.note(
        "lost", [(rows.names[judged[p]], window.first + int(i) * window.period_us) for p, i in places]
    )
    doubled = _repeats(rows)
    verdict.duplicated = int(doubled.sum())
    verdict.note("duplicated", rows.places(doubled))
    verdict.bad = int((~rows.usable).sum())
    return verdict


def in_gap(gaps: Sequence[Gap], ids: Int64s, from_us: Int64s, to_us: Int64s) -> Bools:
    """Whether intervals of points overlap a declared gap; arrays of equal length."""
    found = np.zeros(len(ids), np.bool_)
    for gap in gaps:
        concerned = np.ones(len(ids), np.bool_) if gap.points is None else np.isin(ids, gap.points)
        found |= concerned & (from_us < gap.to_us) & (to_us > gap.from_us)
    return found


def same_value(point: PlantPoint, values: npt.NDArray[np.float64], held: npt.NDArray[np.float64]) -> Bools:
    """Whether lake values are what a point held, bit for bit.

    A scaled integer is compared as the integer: multiplying by 0.1 and dividing by 10 differ
    in the last bit, and both are right.
    """
    if point.scale != 1.0:
        close = np.abs(values - held * point.scale) <= 2 * np.spacing(np.abs(values))
        return np.asarray((np.rint(values / point.scale) == held) & close)
    same = (values == held) & (np.signbit(values) == np.signbit(held))
    return np.asarray(same | (np.isnan(values) & np.isnan(held)))


def served(log: Log, rows: Rows, tick: Int64s) -> Bools:
    """Whether each row has the value that its point held at a tick (a record number, -1 for none)."""
    equal = np.zeros(len(tick), np.bool_)
    known = np.flatnonzero(tick >= 0)
    order = known[np.argsort(rows.point[known], kind="stable")]
    present, starts = np.unique(rows.point[order], return_index=True)
    for p, start, end in zip(present.tolist(), starts, [*starts[1:], len(order)], strict=False):
        mine = order[start:end]
        point = log.points[p]
        if point.kind is Kind.STRING:
            held = log.ticks["text"][tick[mine], p - log.numeric]
            equal[mine] = (
                np.array([t.decode("utf-8") for t in held.tolist()], object) == rows.samples.text[mine]
            )
        else:
            equal[mine] = same_value(point, rows.samples.value[mine], log.ticks["held"][tick[mine], p])
    return equal


def changes(ticks: Records, numeric: int) -> Bools:
    """Where a point's value or status differs from the tick before; shape (ticks, points)."""
    parts = []
    names = ticks.dtype.names or ()
    if "held" in names:
        held = ticks["held"]
        parts.append((held[1:] != held[:-1]) & ~(np.isnan(held[1:]) & np.isnan(held[:-1])))
    if "text" in names:
        parts.append(ticks["text"][1:] != ticks["text"][:-1])
    changed = np.concatenate(parts, axis=1)
    if "status" in names:
        changed |= ticks["status"][1:] != ticks["status"][:-1]
    return np.concatenate([np.zeros((1, changed.shape[1]), np.bool_), changed])


def _covered(window: Window, gaps: Sequence[Gap], ids: Int64s) -> Bools:
    """Which instants of which points lie in a gap."""
    covered = np.zeros((len(ids), window.instants), np.bool_)
    for gap in gaps:
        first = max(0, -((window.first - gap.from_us) // window.period_us))
        end = min(window.instants, -((window.first - gap.to_us) // window.period_us))
        if first < end:
            concerned = slice(None) if gap.points is None else np.isin(ids, gap.points)
            covered[concerned, first:end] = True
    return covered


def _repeats(rows: Rows) -> Bools:
    """Rows that repeat the point and time of another; between instants, also its source time."""
    source = np.where(rows.on_grid, NO_TIME, rows.samples.source_time)
    order = np.lexsort((source, rows.samples.time, rows.point))
    keys = (rows.point[order], rows.samples.time[order], source[order])
    again = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    repeated = np.zeros(len(order), np.bool_)
    repeated[order[1:]] = again
    return repeated
