"""The standard functions of section 7 that look at nothing but their arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from tests.rules import values
from tests.rules.values import Result, Value, meeting, settle, truth, widen, wrap

CONVERSION = re.compile(r"(BOOL|INT|DINT|LINT|REAL|LREAL|TIME)_TO_(BOOL|INT|DINT|LINT|REAL|LREAL|TIME)")

PARAMETERS = {
    "ABS": "X", "SQRT": "X", "TRUNC": "X", "IS_FINITE": "X", "LIMIT": "MN IN MX", "SEL": "G A B",
    "SHL": "X N", "SHR": "X N", "ROL": "X N", "ROR": "X N", "MARK": "X Q",
    "MIN": "A B C D E F G H", "MAX": "A B C D E F G H", "MUX": "K A B C D E F G H",
}  # fmt: skip
"""Names of inputs, for calls that use them."""


def _absolute(x: Value) -> Result:
    x = settle(x)
    return Result(values.number(x.type, abs(x.whole if x.type in values.WIDTH else x.real)))


def _least(*arguments: Value) -> Result:
    _, (least, *rest) = meeting(_typed(arguments))
    for value in rest:
        least = value if values.compare("<", value.value, least.value) else least
    return Result(least)


def _greatest(*arguments: Value) -> Result:
    _, (greatest, *rest) = meeting(_typed(arguments))
    for value in rest:
        greatest = value if values.compare(">", value.value, greatest.value) else greatest
    return Result(greatest)


def _limit(*arguments: Value) -> Result:
    _, (low, x, high) = meeting(_typed(arguments))
    if values.compare("<", x.value, low.value):
        return Result(low)
    return Result(high if values.compare(">", x.value, high.value) else x)


def _select(g: Value, *choices: Value) -> Result:
    _, (a, b) = meeting(_typed(choices))
    return Result(b if g.value else a)


def _multiplex(k: Value, *choices: Value) -> Result:
    _, found = meeting(_typed(choices))
    return Result(found[max(0, min(k.whole, len(found) - 1))])


def _typed(arguments: Sequence[Value]) -> Sequence[Value]:
    """Literals keep having no type only beside others that have one."""
    bare = all(value.type in values.LITERALS for value in arguments)
    return [settle(value) for value in arguments] if bare else arguments


def _root(x: Value) -> Result:
    x = settle(x)
    if x.real < 0.0:
        return Result(Value(x.type, 0.0), bad=True)
    return Result(values.number(x.type, math.sqrt(x.real)))


def _truncated(x: Value) -> Result:
    return values.to_whole(settle(x).real, "LINT", nearest=False)


def _is_finite(x: Value) -> Result:
    return Result(truth(math.isfinite(settle(x).real)))


def _bits(x: Value, n: Value) -> tuple[str, int, int, int]:
    """Type, width, the bits as a number that is not negative, and how far."""
    x = settle(x)
    width = values.WIDTH[x.type]
    return x.type, width, x.whole % (1 << width), widen(n, "INT").whole


def _shift_left(x: Value, n: Value) -> Result:
    type, width, bits, far = _bits(x, n)
    if far >= width:
        bits = 0
    elif far > 0:
        bits <<= far
    return Result(Value(type, wrap(bits, type)))


def _shift_right(x: Value, n: Value) -> Result:
    type, width, bits, far = _bits(x, n)
    if far >= width:
        bits = 0
    elif far > 0:
        bits >>= far
    return Result(Value(type, wrap(bits, type)))


def _turn_left(x: Value, n: Value) -> Result:
    type, width, bits, far = _bits(x, n)
    far %= width
    return Result(Value(type, wrap((bits << far) | (bits >> (width - far)), type)))


def _turn_right(x: Value, n: Value) -> Result:
    type, width, bits, far = _bits(x, n)
    far %= width
    return Result(Value(type, wrap((bits >> far) | (bits << (width - far)), type)))


PURE: dict[str, Callable[..., Result]] = {
    "ABS": _absolute, "MIN": _least, "MAX": _greatest, "LIMIT": _limit, "SEL": _select, "MUX": _multiplex,
    "SQRT": _root, "TRUNC": _truncated, "IS_FINITE": _is_finite, "SHL": _shift_left, "SHR": _shift_right,
    "ROL": _turn_left, "ROR": _turn_right,
}  # fmt: skip
