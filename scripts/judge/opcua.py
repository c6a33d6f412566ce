"""Rows against what an OPC UA server showed: the source time says which tick a row is of.

Rules:
1. A row's source time is the time of a tick, and its value and quality are those of the
   tick. (A gateway may lower good to uncertain: the value is outside its range.)
2. A row at a scan instant holds what was valid then; what was valid within the last two
   periods makes it late, anything older is wrong.
3. Every change after a point was subscribed arrives, at an instant or between two; or the
   row of the next instant says that there is no value (the gateway had no subscription yet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scripts.judge.grid import BAD, Bools, Rows, Window, changes, in_gap, served
from scripts.judge.lake import NO_TIME, Gap, Int64s
from scripts.judge.verdict import Verdict
from scripts.plant.log import SUBSCRIBED, Log


def compare(log: Log, rows: Rows, window: Window, gaps: Sequence[Gap]) -> Verdict:
    """Every value against its tick, every tick's changes against the rows."""
    verdict = Verdict()
    tick = _tick_of(log, rows.samples.source_time)
    own = _right(log, rows, tick)
    now = np.searchsorted(log.ticks["time"], rows.samples.time, side="right") - 1
    recent = np.searchsorted(log.ticks["time"], rows.samples.time - 2 * rows.period_us, side="right") - 1
    fresh = ~rows.on_grid | (tick == now) | _right(log, rows, now)
    late = rows.usable & own & ~fresh & ((tick >= recent) | _right(log, rows, recent))
    wrong = rows.usable & (~own | (~fresh & ~late))
    verdict.late, verdict.wrong = int(late.sum()), int(wrong.sum())
    verdict.note("wrong", rows.places(wrong))
    verdict.add(_changes_lost(log, rows, tick, window, gaps))
    return verdict


def _tick_of(log: Log, source_time: Int64s) -> Int64s:
    """The number of the tick with this time, -1 for none."""
    times = log.ticks["time"]
    at = np.minimum(np.searchsorted(times, source_time), len(times) - 1)
    return np.where((source_time != NO_TIME) & (times[at] == source_time), at, -1)


def _right(log: Log, rows: Rows, tick: Int64s) -> Bools:
    told = log.ticks["status"][np.maximum(tick, 0), rows.point].astype(np.int64)
    return np.asarray(served(log, rows, tick) & ((told & BAD) == 0))


def _changes_lost(log: Log, rows: Rows, tick: Int64s, window: Window, gaps: Sequence[Gap]) -> Verdict:
    """Changes that a subscription should have brought, and no row has."""
    times = log.ticks["time"]
    arrived = np.zeros((len(times), len(log.points)), np.bool_)
    arrived[tick[tick >= 0], rows.point[tick >= 0]] = True
    begun = arrived.any(axis=0)
    first = np.where(begun, times[arrived.argmax(axis=0)], np.iinfo(np.int64).max)
    subscribed = np.zeros(len(log.points), np.bool_)
    subscribed[np.unique(log.reads["point"][log.reads["event"] == SUBSCRIBED])] = True
    due = (times[:, None] >= first) & (times[:, None] <= window.last - rows.period_us)
    missing = changes(log.ticks, log.numeric) & due & subscribed & (rows.ids >= 0) & ~arrived
    at, point = np.nonzero(missing)
    # As late as a value may be by rule 2: what was still under way when a gap began is in it.
    until_us = times[at] + 2 * rows.period_us
    lost = ~in_gap(gaps, rows.ids[point], times[at] - rows.period_us, until_us)
    lost &= ~_known_to_be_unknown(rows, point, times[at])
    verdict = replace(Verdict(), lost=int(lost.sum()))
    places = [(rows.names[p], int(times[k])) for k, p in zip(at[lost][:10], point[lost][:10], strict=True)]
    verdict.note("change lost", places)
    return verdict


def _known_to_be_unknown(rows: Rows, point: Int64s, time: Int64s) -> Bools:
    """Whether the row of the next instant after each time says that there is no value."""
    said = rows.on_grid & ~rows.usable
    cells = rows.samples.time[said] // rows.period_us * len(rows.names) + rows.point[said]
    return np.isin(-(-time // rows.period_us) * len(rows.names) + point, cells)
