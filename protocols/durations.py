"""Durations as people write them.

>>> seconds_of("90s"), seconds_of("1.5h"), seconds_of("soon")
(90.0, 5400.0, None)
"""

from __future__ import annotations

import math

_UNITS_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> float | None:
    """A duration above 0 with its unit (s, min, h, d) in seconds; `None` when it is none."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz").strip()
    unit = text[len(number) :].strip()
    try:
        seconds = float(number) * _UNITS_S[unit]
    except (ValueError, KeyError):
        return None
    return seconds if 0 < seconds < math.inf else None
