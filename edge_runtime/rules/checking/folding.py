"""What operators and functions give for known values.

The meaning is that of docs/rules-reference.md, section 6; `generate` writes the same as
Python source.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence

from edge_runtime.rules.checking.typed import Const, Value
from edge_runtime.rules.checking.types import BITS, Type, bounds, to_real, wrap

_COMPARE: dict[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
}
_REAL: dict[str, Callable[..., float]] = {
    "NEG": operator.neg,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def divide(a: int, b: int) -> int:
    """Truncating towards zero."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def fold_loose(name: str, args: Sequence[Const]) -> Const | None:
    """An operator on literals: a literal again; comparisons give BOOL. `None` when it has no value."""
    values = [arg.value for arg in args]
    if name in _COMPARE:
        return Const(Type.BOOL, int(_COMPARE[name](*values)))
    if any(isinstance(value, float) for value in values):
        result = _apply(_REAL, name, [float(value) for value in values])
        return None if result is None or not math.isfinite(result) else Const(Type.LREAL, result, loose=True)
    result = _apply(_INTEGER, name, values)
    return None if result is None else loose_integer(int(result))


def loose_integer(value: int) -> Const | None:
    """An integer literal; 2^63 is let through for the sign before it. `None` beyond 64 bits."""
    for type in (Type.INT, Type.DINT, Type.LINT):
        low, high = bounds(type)
        if low <= value <= high:
            return Const(type, value, loose=True)
    return Const(Type.LINT, value, loose=True) if value == 1 << 63 else None


_INTEGER: dict[str, Callable[..., int]] = {
    "NEG": operator.neg,
    "NOT": operator.invert,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "MOD": lambda a, b: a - divide(a, b) * b,
    "AND": operator.and_,
    "OR": operator.or_,
    "XOR": operator.xor,
}
_BOOL: dict[str, Callable[..., int]] = {
    "NOT": lambda a: 1 - a,
    "AND": operator.and_,
    "OR": operator.or_,
    "XOR": operator.xor,
    "CONVERT": lambda a: int(a != 0),
}


def _apply(table: Mapping[str, Callable[..., Value]], name: str, values: Sequence[Value]) -> Value | None:
    """`None` when there is no such operation, or it divides by zero."""
    try:
        return table[name](*values) if name in table else None
    except (ZeroDivisionError, OverflowError):
        return None


def _shift_left(value: int, count: int, type: Type) -> int:
    return value if count <= 0 else wrap(value << count, type) if count < BITS[type] else 0


def _shift_right(value: int, count: int, type: Type) -> int:
    bits = BITS[type]
    return value if count <= 0 else wrap((value % (1 << bits)) >> count, type) if count < bits else 0


def _rotate_left(value: int, count: int, type: Type) -> int:
    bits = BITS[type]
    pattern, count = value % (1 << bits), count % bits
    return wrap(pattern << count | pattern >> bits - count, type)


_SHIFTS: dict[str, Callable[[int, int, Type], int]] = {
    "SHL": _shift_left,
    "SHR": _shift_right,
    "ROL": _rotate_left,
    "ROR": lambda value, count, of: _rotate_left(value, -count, of),
}


def fold(name: str, type: Type, args: Sequence[Const]) -> Const | None:
    """An operator or function on typed constants; `None` when the compiler leaves it to run time."""
    values = [arg.value for arg in args]
    if name in _COMPARE:
        return Const(Type.BOOL, int(_COMPARE[name](*values)))
    if name in ("MIN", "MAX"):
        best = values[0]
        for value in values[1:]:
            best = value if (value < best if name == "MIN" else value > best) else best
        return Const(type, best)
    if name == "LIMIT":
        low, value, high = values
        return Const(type, low if value < low else high if value > high else value)
    if type is Type.BOOL:
        truth = _apply(_BOOL, name, values)
        return None if truth is None else Const(type, truth)
    if name == "CONVERT":
        return _fold_convert(args[0], type)
    if type.is_real:
        real = _apply(_REAL, name, [float(value) for value in values])
        if real is None or not math.isfinite(real):
            return None
        rounded = to_real(real) if type is Type.REAL else real
        return Const(type, rounded) if math.isfinite(rounded) else None
    if type is Type.STRING or any(isinstance(value, float) for value in values):
        return None
    if name in _SHIFTS:
        return Const(type, _SHIFTS[name](int(values[0]), int(values[1]), type))
    whole = _apply(_INTEGER, name, values)
    return None if whole is None else Const(type, wrap(int(whole), type))


def _fold_convert(arg: Const, type: Type) -> Const | None:
    if type.is_real:
        value = float(arg.value)
        rounded = to_real(value) if type is Type.REAL else value
        return Const(type, rounded) if math.isfinite(rounded) else None
    if isinstance(arg.value, int):
        return Const(type, wrap(arg.value, type))
    return None
