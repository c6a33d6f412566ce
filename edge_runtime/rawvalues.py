"""From values in a point's unit to what its device is sent, and back. Pure."""

from __future__ import annotations

import math

from protocols.field.base import FieldType
from protocols.field.writing import INTEGER_RANGES, fault
from protocols.points import Point

SLACK = 1e-9
"""By which part a bound, divided by a scale that binary floating point cannot hold, may be off."""


def held(point: Point, low: float, high: float, value: float) -> float | None:
    """The raw value that means a value at the device, or `None` when its type has none.

    Whole numbers are rounded to the nearest one that means something within the range.

    Args:
        point: Where.
        low: Least value that may be written, in the point's unit.
        high: Greatest one.
        value: Within the range.
    """
    if point.type is FieldType.BOOL:
        return bool(value)
    raw = _unscaled(point, value)
    if point.type not in INTEGER_RANGES:
        raw = float(raw)
    elif math.isfinite(raw):
        least, most = sorted((_unscaled(point, low), _unscaled(point, high)))
        least, most = math.ceil(least - SLACK * abs(least)), math.floor(most + SLACK * abs(most))
        if least > most:
            return None
        raw = min(max(round(raw), least), most)
    return None if fault(point.type, raw) else raw


def meant(point: Point, raw: float) -> float:
    """What a raw value means, in the point's unit."""
    return raw * point.scale + point.offset if point.scaled else raw


def _unscaled(point: Point, value: float) -> float:
    return (value - point.offset) / point.scale if point.scaled else value
