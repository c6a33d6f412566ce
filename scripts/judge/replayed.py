"""Rows of a replayed table against the file itself, matched by the row counter."""

from __future__ import annotations

import numpy as np

from scripts.judge.lake import Lake
from scripts.judge.verdict import Verdict
from scripts.plant.replay import Table

BAD = 0x8000_0000


def compare(lake: Lake, table: Table, prefix: str, gateway: str | None = None) -> Verdict:
    """Hold every replayed value that arrived beside a counter against the file, bit for bit.

    Args:
        lake: The lake.
        table: The file as it was replayed.
        prefix: What its points' names begin with.
        gateway: Whose points, or `None` for any.
    """
    verdict = Verdict()
    mine = [s for s in lake.series() if s.name.startswith(prefix) and gateway in (None, s.gateway)]
    counter = [s.series for s in mine if s.name == f"{prefix}row"]
    row_at = lake.samples(counter)
    known = (row_at.quality & BAD) == 0
    times, row = row_at.time[known], row_at.value[known].astype(np.int64)
    order = np.argsort(times, kind="stable")
    times, row = times[order], row[order]
    for series in mine:
        if series.series in counter or not len(times):
            continue
        column = table.rows[:, int(series.name.removeprefix(f"{prefix}c")) - 1]
        samples = lake.samples([series.series])
        at = np.minimum(np.searchsorted(times, samples.time), len(times) - 1)
        use = (times[at] == samples.time) & ((samples.quality & BAD) == 0)
        expected = column[row[at[use]]]
        equal = expected.view(np.int64) == samples.value[use].view(np.int64)
        equal |= np.isnan(expected) & np.isnan(samples.value[use])
        verdict.expected += int(use.sum())
        verdict.wrong += int((~equal).sum())
        wrong = samples.time[use][~equal][:5].tolist()
        verdict.note("differs from the file", [(series.name, time) for time in wrong])
    return verdict
