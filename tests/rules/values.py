"""Values of the rule language and what its operators make of them, by the book.

Every value carries the name of its type; of a literal that has none yet it is `INT_LITERAL`
or `REAL_LITERAL`. Written for clarity after docs/rules-reference.md; shares no line with the
compiler.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import numpy as np

Plain = bool | int | float | str

INT_LITERAL = "int literal"
REAL_LITERAL = "real literal"
LITERALS = (INT_LITERAL, REAL_LITERAL)

WIDTH = {"INT": 16, "DINT": 32, "LINT": 64, "TIME": 64}
INTEGERS = ("INT", "DINT", "LINT")
REALS = ("REAL", "LREAL")
WIDER = {
    "INT": ("INT", "DINT", "LINT", "REAL", "LREAL"),
    "DINT": ("DINT", "LINT", "LREAL"),
    "LINT": ("LINT",),
    "REAL": ("REAL", "LREAL"),
    "LREAL": ("LREAL",),
}
INITIAL: dict[str, Plain] = {
    "BOOL": False, "INT": 0, "DINT": 0, "LINT": 0, "REAL": 0.0, "LREAL": 0.0, "TIME": 0, "STRING": "",
}  # fmt: skip


class Value(NamedTuple):
    """A value and its type."""

    type: str
    value: Plain

    @property
    def whole(self) -> int:
        """What it is as an integer."""
        assert isinstance(self.value, int)
        return int(self.value)

    @property
    def real(self) -> float:
        """What it is as a binary64."""
        assert isinstance(self.value, (int, float))
        return float(self.value)


class Result(NamedTuple):
    """What an operation gives, and whether it marks bad."""

    value: Value
    bad: bool = False


def truth(value: bool) -> Value:
    return Value("BOOL", value)


def wrap(value: int, type: str) -> int:
    """Two's complement."""
    size = 1 << WIDTH[type]
    value %= size
    return value - size if value >= size // 2 else value


def fits(value: int, type: str) -> bool:
    return wrap(value, type) == value


def binary32(value: float) -> float:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return float(np.float32(value))


def number(type: str, value: float) -> Value:
    """A real or an integer of a type, rounded or wrapped to it."""
    if type in WIDTH:
        return Value(type, wrap(int(value), type))
    if type == "REAL":
        return Value(type, binary32(value))
    return Value(type, value)


def settle(value: Value) -> Value:
    """A literal on its own."""
    if value.type == INT_LITERAL:
        return Value(next(type for type in INTEGERS if fits(value.whole, type)), value.value)
    if value.type == REAL_LITERAL:
        return Value("LREAL", value.value)
    return value


def widen(value: Value, type: str) -> Value:
    """A value where one of a type is wanted."""
    if value.type == type:
        return value
    if value.type in LITERALS:
        if type in REALS:
            return number(type, value.real)
        assert value.type == INT_LITERAL and fits(value.whole, type), (value, type)
        return Value(type, value.whole)
    assert type in WIDER.get(value.type, ()), (value, type)
    return number(type, value.real) if type in REALS else Value(type, value.whole)


def common(values: Iterable[Value]) -> str:
    """The type at which values meet: those with a type first, then the literals."""
    values = list(values)
    typed = [value for value in values if value.type not in LITERALS]
    if not typed:
        return REAL_LITERAL if any(value.type == REAL_LITERAL for value in values) else INT_LITERAL
    met = reduce(_meet, (value.type for value in typed))
    for value in values:
        if value.type == INT_LITERAL and not (met in REALS or (met in WIDTH and fits(value.whole, met))):
            met = _meet(met, settle(value).type)
        if value.type == REAL_LITERAL and met not in REALS:
            met = _meet(met, "LREAL")
    return met


def _meet(a: str, b: str) -> str:
    """The narrowest type both widen to."""
    if a == b:
        return a
    both = [type for type in WIDER.get(a, ()) if type in WIDER.get(b, ())]
    if not both:
        raise TypeError(f"{a} and {b} have no common type")
    return both[0]


def meeting(values: Iterable[Value]) -> tuple[str, list[Value]]:
    """The common type and the values in it."""
    values = list(values)
    type = common(values)
    if type in LITERALS:
        return type, [Value(type, v.real if type == REAL_LITERAL else v.whole) for v in values]
    return type, [widen(value, type) for value in values]


def unary(operator: str, operand: Value) -> Value:
    if operator == "-":
        if operand.type in WIDTH:
            return number(operand.type, -operand.whole)
        return Value(operand.type, -operand.whole if operand.type == INT_LITERAL else -operand.real)
    if operand.type == "BOOL":
        return truth(not operand.value)
    return Value(operand.type, ~operand.whole)


def binary(operator: str, left: Value, right: Value) -> Result:
    if left.type == "TIME" and operator in ("*", "/"):
        return _arithmetic(operator, "TIME", left.whole, settle(right).whole)
    type, (a, b) = meeting((left, right))
    if operator in ("+", "-", "*", "/", "MOD"):
        if type in REALS or type == REAL_LITERAL:
            return _real_arithmetic(operator, type, a.real, b.real)
        return _arithmetic(operator, type, a.whole, b.whole)
    if operator in ("AND", "OR", "XOR"):
        bits = {"AND": a.whole & b.whole, "OR": a.whole | b.whole, "XOR": a.whole ^ b.whole}[operator]
        return Result(truth(bool(bits)) if type == "BOOL" else Value(type, bits))
    return Result(truth(compare(operator, a.value, b.value)))


def compare(operator: str, a: Plain, b: Plain) -> bool:
    if operator == "=":
        return a == b
    if operator == "<>":
        return a != b
    assert not isinstance(a, str) and not isinstance(b, str)
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator]


def _arithmetic(operator: str, type: str, a: int, b: int) -> Result:
    if operator in ("/", "MOD") and b == 0:
        return Result(Value(type, 0), bad=True)
    if operator in ("/", "MOD"):
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        exact = quotient if operator == "/" else a - quotient * b
    else:
        exact = {"+": a + b, "-": a - b, "*": a * b}[operator]
    return Result(Value(type, exact) if type == INT_LITERAL else number(type, exact))


def _real_arithmetic(operator: str, type: str, a: float, b: float) -> Result:
    if operator == "/":
        return Result(Value(type, 0.0), bad=True) if b == 0.0 else Result(number(type, a / b))
    return Result(number(type, {"+": a + b, "-": a - b, "*": a * b}[operator]))


def convert(value: Value, source: str, target: str) -> Result:
    """`source_TO_target(value)`."""
    value = widen(value, source)
    if target == "BOOL":
        return Result(truth(value.value != 0))
    if target in REALS:
        return Result(number(target, value.real))
    if source not in REALS:
        return Result(number(target, value.whole))
    return to_whole(value.real, target, nearest=True)


def to_whole(value: float, target: str, *, nearest: bool) -> Result:
    """A real as an integer: the nearest (ties to even), or towards zero."""
    if not math.isfinite(value):
        return Result(Value(target, 0), bad=True)
    exact = round(value) if nearest else math.trunc(value)
    return Result(Value(target, exact)) if fits(exact, target) else Result(Value(target, 0), bad=True)
