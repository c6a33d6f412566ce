"""Parameters of an app: from a value as written to one in the declared type, within its range."""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.checking.types import Type, bounds, to_real
from edge_runtime.rules.program import Column
from edge_runtime.rules.reading.literals import LiteralFaultError, duration
from protocols.package import ParameterValue


class ParameterRange(NamedTuple):
    """What an instance may give for a parameter.

    Args:
        column: Its declaration; `initial` is the default of app.toml.
        low: Least value, in the declared type, or `None`.
        high: Greatest value, or `None`.
    """

    column: Column
    low: Value | None = None
    high: Value | None = None

    @property
    def expected(self) -> str:
        """A right value, in words.

        >>> ParameterRange(Column("limit", Type.LREAL, "%", (20.0,)), 5.0, 60.0).expected
        'a number from 5 to 60 (%)'
        """
        type_ = self.column.type
        noun = expected(type_)
        low, high = (_shown(bound, type_) for bound in (self.low, self.high))
        within = f" from {low} to {high}" if low and high else f" of at least {low}" if low else ""
        if high and not low:
            within = f" of at most {high}"
        return noun + within + (f" ({self.column.unit})" if self.column.unit else "")

    def accept(self, value: ParameterValue) -> Value | None:
        """The value in the declared type; `None` when it is not a right one."""
        typed = convert(value, self.column.type)
        if typed is None or (self.low is not None and typed < self.low):
            return None
        return None if self.high is not None and typed > self.high else typed


def convert(value: ParameterValue, type: Type) -> Value | None:
    """A value as written in a type; `None` when it is of another.

    >>> convert("T#1.5s", Type.TIME), convert(3, Type.LREAL), convert(3.5, Type.INT), convert(1, Type.BOOL)
    (1500, 3.0, None, None)
    """
    if type is Type.BOOL:
        return value if isinstance(value, bool) else None
    if type is Type.TIME:
        return _time(value)
    if isinstance(value, bool | str):
        return None
    if type.is_real:
        return _real(float(value), type)
    low, high = bounds(type)
    return value if isinstance(value, int) and low <= value <= high else None


def expected(type: Type) -> str:
    """What a value of a type is, in words."""
    if type is Type.BOOL:
        return "true or false"
    if type is Type.TIME:
        return "a time such as 'T#5s'"
    return "a number" if type.is_real else "a whole number"


def _real(value: float, type: Type) -> float | None:
    rounded = to_real(value) if type is Type.REAL else value
    return rounded if math.isfinite(rounded) else None


def _time(value: ParameterValue) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return duration(value)
    except LiteralFaultError:
        return None


def _shown(bound: Value | None, type: Type) -> str:
    if bound is None or type is Type.BOOL:
        return ""
    return f"T#{bound}ms" if type is Type.TIME else f"{bound:.15g}"
