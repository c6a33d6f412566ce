"""What the compiler can see of an integer expression's range: enough to bound loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edge_runtime.rules.checking.typed import Const, Expr, Load, Op, Symbol
from edge_runtime.rules.checking.types import bounds


class Range(NamedTuple):
    """Inclusive bounds; `None` where there is none to be seen.

    >>> Range(1, None).least(Range(None, 60))
    Range(low=None, high=60)
    """

    low: int | None
    high: int | None

    def least(self, other: Range) -> Range:
        """Of the smaller of two values."""
        highs = [high for high in (self.high, other.high) if high is not None]
        low = None if self.low is None or other.low is None else min(self.low, other.low)
        return Range(low, min(highs) if highs else None)

    def greatest(self, other: Range) -> Range:
        """Of the greater of two values."""
        lows = [low for low in (self.low, other.low) if low is not None]
        high = None if self.high is None or other.high is None else max(self.high, other.high)
        return Range(max(lows) if lows else None, high)


UNKNOWN = Range(None, None)


def range_of(expr: Expr, loops: Mapping[Symbol, tuple[int, int]]) -> Range:
    """The range of an expression.

    Args:
        expr: Of an integer type.
        loops: Ranges of the variables of the loops around it.
    """
    match expr:
        case Const(_, value, _, _):
            return Range(int(value), int(value))
        case Load(ref, _, _):
            known = loops.get(ref.symbol)
            return UNKNOWN if known is None or ref.block is not None else Range(*known)
        case Op("MIN", _, args, _):
            return _folded([range_of(arg, loops) for arg in args], Range.least)
        case Op("MAX", _, args, _):
            return _folded([range_of(arg, loops) for arg in args], Range.greatest)
        case Op("LIMIT", _, (low, value, high), _):
            middle = range_of(value, loops).least(range_of(high, loops))
            # x below mn gives mn, also where mn > mx
            bottom = range_of(low, loops)
            return Range(middle.greatest(bottom).low, _sum_max(middle.high, bottom.high))
        case Op("CONVERT", type, (arg,), _) if arg.type.is_integer and type.is_integer:
            return _within(range_of(arg, loops), type)
        case Op("+" | "-" as name, type, (left, right), _):
            one, two = range_of(left, loops), range_of(right, loops)
            if name == "-":
                two = Range(_negated(two.high), _negated(two.low))
            return _within(Range(_plus(one.low, two.low), _plus(one.high, two.high)), type)
    return UNKNOWN


def _folded(ranges: list[Range], join: object) -> Range:
    found = ranges[0]
    for other in ranges[1:]:
        assert callable(join)
        found = join(found, other)
    return found


def _within(found: Range, type: object) -> Range:
    """The same, unless it may wrap around."""
    low, high = bounds(type)  # type: ignore[arg-type]
    if found.low is None or found.high is None or found.low < low or found.high > high:
        return UNKNOWN
    return found


def _plus(one: int | None, two: int | None) -> int | None:
    return None if one is None or two is None else one + two


def _negated(value: int | None) -> int | None:
    return None if value is None else -value


def _sum_max(one: int | None, two: int | None) -> int | None:
    return None if one is None or two is None else max(one, two)
