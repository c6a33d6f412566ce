"""When something will be full: a straight line through what was used, hour by hour, with its interval.

The line is least squares; its slope has Student's interval at 95 %. Hours that follow each other are alike,
so the true interval is somewhat wider. A store whose use falls, or does not grow, is never full.

Source: N. R. Draper, H. Smith, "Applied Regression Analysis", 3rd ed., Wiley 1998, 1.4; Student's quantile by
M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 26.7.5.

>>> line = trend([(day * 86_400.0, 1e9 + day * 1e8) for day in range(30)])
>>> round(line.per_day), [round(days) for days in full_in_days(line, 3.9e9, 5e9)]
(100000000, [11, 11, 11])
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

DAY_S = 86_400.0
HOUR_S = 3600.0
KEPT = 90 * 24
"""Hours that are remembered: a season."""

LEAST = 24
"""Hours from which on a trend is told."""

Z_95 = 1.959964

USAGE = "usage.csv"
"""In the folder of a node's data."""


class Trend(NamedTuple):
    """What is used more each day: best estimate, and the ends of its interval.

    Args:
        per_day: Of the line.
        low: Least slope.
        high: Greatest slope.
    """

    per_day: float
    low: float
    high: float


def trend(points: Sequence[tuple[float, float]]) -> Trend | None:
    """The line through some points.

    Args:
        points: Seconds, and what was used then.

    Returns:
        `None` for fewer than three points, or all of one time.
    """
    count = len(points)
    if count < 3:
        return None
    mean_x = math.fsum(x for x, _ in points) / count
    mean_y = math.fsum(y for _, y in points) / count
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    if spread <= 0:
        return None
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = math.fsum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    wide = student_95(count - 2) * math.sqrt(rest / (count - 2) / spread)
    return Trend(DAY_S * slope, DAY_S * (slope - wide), DAY_S * (slope + wide))


def student_95(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's distribution.

    >>> [round(student_95(freedom), 2) for freedom in (10, 30, 1000)]
    [2.23, 2.04, 1.96]
    """
    z = Z_95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def full_in_days(line: Trend, used: float, limit: float) -> list[float | None]:
    """Days until something is full: at the earliest, most likely, at the latest; `None` for never."""
    room = max(0.0, limit - used)
    return [room / slope if slope > 0 else None for slope in (line.high, line.per_day, line.low)]


class Usage:
    """Remembers hour by hour how much is used, over restarts, and tells the forecast.

    Args:
        path: The file: a line `SECONDS,BYTES` an hour. One that cannot be read begins anew.
        what: What it is of, in words.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._points: deque[tuple[float, float]] = deque(_read(path), maxlen=KEPT)
        self._line: Trend | None = trend(list(self._points))

    def describe(self, used: int, limit: int, now: float) -> dict[str, Any]:
        """Take what is used now, and tell the forecast, for the status.

        Args:
            used: Bytes.
            limit: Bytes at which it is full.
            now: Seconds since 1970.
        """
        if not self._points or now - self._points[-1][0] >= HOUR_S or now < self._points[-1][0]:
            self._add(now, used)
        line = self._line if len(self._points) >= LEAST else None
        days = [None, None, None] if line is None else full_in_days(line, used, limit)
        return {
            "what": self._what,
            "used_bytes": used,
            "limit_bytes": limit,
            "hours": len(self._points),
            "per_day_bytes": None if line is None else round(line.per_day),
            "full_in_days": [None if each is None else round(each, 2) for each in days],
        }

    def _add(self, now: float, used: int) -> None:
        while self._points and self._points[-1][0] >= now:  # the clock was set back
            self._points.pop()
        self._points.append((now, float(used)))
        self._line = trend(list(self._points))
        with suppress(OSError):  # a full disk is no reason to stop; the next hour tries again
            temporary = self._path.with_name(self._path.name + ".new")
            temporary.write_text("".join(f"{at:.0f},{size:.0f}\n" for at, size in self._points))
            temporary.replace(self._path)


def _read(path: Path) -> Iterable[tuple[float, float]]:
    found = []
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="ascii").splitlines():
            at, _, size = line.partition(",")
            found.append((float(at), float(size)))
    return found[-KEPT:]
