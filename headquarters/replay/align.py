"""From samples to what a scan saw: pure numpy.

Rules:
1. A scan sees the sample of its very instant. Of a point that is scanned more slowly than the
   app it sees the latest sample, as long as that is not older than `AGE_PERIODS` of the point's
   periods.
2. Where there is none, the value is missing and bad; the input stage holds the last good one.
3. Scans are at the instants of the app's recorded outputs. Where there are none, they are
   supposed at those multiples of the app's period at which any of its points has a sample.

>>> slow = Series(np.array([0, 4]), np.array([1.5, 2.5]), np.array([0, 0x40000000]), period_us=4)
>>> values, qualities = align(slow, np.array([0, 2, 4, 99]), period_us=2)
>>> values.tolist(), qualities.tolist()
([1.5, 1.5, 2.5, nan], [0, 0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.running.inputs import AGE_PERIODS, BAD

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[Any]


class Series(NamedTuple):
    """Samples of one point, by time.

    Args:
        times_us: Their times, ascending.
        values: Their values.
        codes: Their StatusCodes.
        period_us: The point's scan period.
    """

    times_us: Int64s
    values: Floats
    codes: Int64s
    period_us: int


def align(
    series: Series,
    instants_us: Int64s,
    period_us: int,
    lag: int = 0,
    since_us: int | None = None,
    held_phase_us: int | None = None,
) -> tuple[Floats, Cells]:
    """Values and qualities (0 to 2) that scans saw.

    Args:
        series: The point's samples, also those from before the first scan.
        instants_us: Of the scans.
        period_us: The app's.
        lag: By how many of its periods what these scans saw of the point is old.
        since_us: The gateway's process began then, and saw no samples from before.
        held_phase_us: The point is kept on change, and scanned with this phase: the value last
            kept is that of its scan instants until the next one.
    """
    if not len(series.times_us):
        return np.full(len(instants_us), np.nan), np.full(len(instants_us), BAD, np.int8)
    there = instants_us - lag * series.period_us
    if held_phase_us is not None:
        there -= (there - held_phase_us) % series.period_us
    found = np.searchsorted(series.times_us, there, side="right") - 1
    at = np.maximum(found, 0)
    age_max = AGE_PERIODS * series.period_us if series.period_us > period_us else 0
    read_us = series.times_us[at] if held_phase_us is None else there
    seen = (found >= 0) & (instants_us - read_us <= age_max)
    if since_us is not None:
        seen &= series.times_us[at] > since_us
    values = np.where(seen, series.values[at], np.nan)
    return values, np.where(seen, severity(series.codes[at]), BAD).astype(np.int8)


def severity(codes: Int64s) -> Cells:
    """0 good, 1 uncertain, 2 bad of StatusCodes (OPC UA Part 4, 7.39: the two highest bits)."""
    severities: Cells = np.minimum(codes >> 30, BAD).astype(np.int8)
    return severities


def instants(points: Sequence[Series], period_us: int, from_us: int, to_us: int) -> Int64s:
    """When the scans were, as far as samples tell.

    Args:
        points: Those that the app reads.
        period_us: The app's.
        from_us: The first instant that counts.
        to_us: The first that no longer does.
    """
    times = [series.times_us for series in points if series.period_us <= period_us]
    times = times or [series.times_us for series in points]
    together = np.unique(np.concatenate([np.zeros(0, np.int64), *times]))
    found: Int64s = together[(together >= from_us) & (together < to_us) & (together % period_us == 0)]
    return found
