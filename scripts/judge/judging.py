"""Joins the parts: one lake, any number of servers' logs, one verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scripts.judge import modbus, opcua
from scripts.judge.grid import Rows, count_rows, rows_of, series_of, window_of
from scripts.judge.lake import Gap, Lake, Series
from scripts.judge.verdict import Verdict
from scripts.plant.layout import Protocol
from scripts.plant.log import Log, read_log

SERIES_AT_ONCE = 1000
"""Bounds memory: an hour of so many series at 1 s is 3.6 M rows, about 300 MB here."""


def judge(
    lake_path: Path,
    logs: Sequence[Path],
    gateway: str | None = None,
    since_us: int = 0,
    until_us: int | None = None,
) -> Verdict:
    """Hold a lake against what servers served.

    Args:
        lake_path: The lake, or its `samples` table.
        logs: Directories that the servers wrote.
        gateway: Judge what this gateway delivered; `None` for every gateway by itself.
        since_us: Leave out what was before, such as trial reads.
        until_us: Judge up to here, exclusive; a gateway that was stopped cleanly delivered
            everything until then. Without it the last row, or answer, is the end.

    Raises:
        ValueError: A served point is not in the lake at all.
    """
    lake = Lake(lake_path)
    verdict = Verdict()
    gateways: set[str] = set()
    for path in logs:
        log = read_log(path)
        for (owner, period_us), series in series_of(lake, log, gateway).items():
            gateways.add(owner)
            gaps = lake.gaps(owner)
            for part in _parts(series):
                rows = rows_of(lake, log, part, period_us)
                verdict.add(_judge_rows(log, rows, gaps, since_us, until_us))
    verdict.gaps = sum(len(lake.gaps(owner)) for owner in gateways)
    return verdict


def _judge_rows(log: Log, rows: Rows, gaps: list[Gap], since_us: int, until_us: int | None) -> Verdict:
    # What was asked for at Modbus belongs to the instant before, a subscription to the next one.
    asked = log.reads["at"] + (0 if log.protocol is Protocol.MODBUS else rows.period_us)
    # A row between two instants is one more of the instant after it, which decides.
    known = np.concatenate([rows.samples.time[rows.on_grid], asked])
    window = window_of(known, rows.period_us, since_us, until_us)
    if log.protocol is Protocol.MODBUS:
        found = modbus.compare(log, rows, window)
    else:
        found = opcua.compare(log, rows, window, gaps)
    found.add(count_rows(rows, window, gaps))
    return found


def _parts(series: list[Series]) -> Iterator[list[Series]]:
    for start in range(0, len(series), SERIES_AT_ONCE):
        yield series[start : start + SERIES_AT_ONCE]
