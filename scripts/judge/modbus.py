"""Rows against what a Modbus server answered: its log of reads decides.

Rules:
1. A row at instant T holds what an answer gave between T and T + period; an answer of the
   instants beside it makes the row late.
2. A value where nothing was answered is invented, so wrong; a bad quality there is right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from scripts.judge.grid import Rows, Window, served
from scripts.judge.lake import Int64s
from scripts.judge.verdict import Verdict
from scripts.plant.log import Log, Records


def compare(log: Log, rows: Rows, window: Window) -> Verdict:
    """Every value against the answers of its instant."""
    verdict = Verdict()
    at = np.where(rows.on_grid, window.index(rows.samples.time), -1)
    judged = (at >= 0) & (at < window.instants)
    right, answered = _match(log, rows, window, np.where(judged, at, -1))
    before, _ = _match(log, rows, window, np.where(judged, at - 1, -1))
    after, _ = _match(log, rows, window, np.where(judged, at + 1, -1))
    value = rows.usable & judged
    late = value & ~right & (before | after)
    wrong = (value & ~right & ~late) | (~rows.on_grid & rows.usable)
    verdict.late, verdict.wrong = int(late.sum()), int(wrong.sum())
    verdict.bad_though_served = int((~rows.usable & judged & answered).sum())
    verdict.note("wrong", rows.places(wrong), _values(rows, wrong))
    return verdict


def _match(
    log: Log, rows: Rows, window: Window, at: Int64s
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether each row has a value answered at instant `at`, and whether anything was answered."""
    right = np.zeros(len(at), np.bool_)
    answered = np.zeros(len(at), np.bool_)
    inside = (at >= 0) & (at < window.instants)
    for covered, ticks in _blocks(log, window):
        mine = np.flatnonzero(inside & covered[rows.point])
        for row_of_ticks in ticks:
            tick = np.full(len(at), -1, np.int64)
            tick[mine] = row_of_ticks[at[mine]]
            answered |= tick >= 0
            right |= served(log, rows, tick)
    return right, answered


def _blocks(log: Log, window: Window) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]]:
    """For each request that was ever made: the points it covers, and for each rank and instant
    the tick that was answered (-1 for none); a repeated request has several ranks.
    """
    reads = log.reads
    keys = ["unit", "table", "address", "count"]
    requests, which = np.unique(reads[keys], return_inverse=True)
    made = []
    for number, request in enumerate(requests):
        mine = reads[which.ravel() == number]
        index = window.index(mine["at"])
        mine, index = (
            mine[(index >= 0) & (index < window.instants)],
            index[(index >= 0) & (index < window.instants)],
        )
        made.append((_covered_points(log, request), _ranked(mine, index, window.instants)))
    return made


def _ranked(reads: Records, index: Int64s, instants: int) -> npt.NDArray[np.int64]:
    order = np.argsort(index, kind="stable")
    index = index[order]
    first = np.searchsorted(index, index)
    rank = np.arange(len(index)) - first
    ticks = np.full((int(rank.max(initial=0)) + 1, instants), -1, np.int64)
    ticks[rank, index] = reads["tick"][order]
    return ticks


def _covered_points(log: Log, request: Records) -> npt.NDArray[np.bool_]:
    unit, table, address, count = (int(request[name]) for name in ("unit", "table", "address", "count"))
    return np.array(
        [
            p.unit == unit
            and int(p.table) == table
            and address <= p.address
            and p.address + p.words <= address + count
            for p in log.places
        ]
    )


def _values(rows: Rows, which: npt.NDArray[np.bool_]) -> Callable[[int], str]:
    few = np.flatnonzero(which)[:10]
    return lambda n: f"with value {rows.samples.value[few[n]]!r} {rows.samples.text[few[n]] or ''}"
