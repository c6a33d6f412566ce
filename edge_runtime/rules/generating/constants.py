"""Constants as Python source that all three runtimes read as the same number."""

from __future__ import annotations

from fractions import Fraction

from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.checking.types import Type

LITERAL_DIGITS_MAX = 15
LITERAL_EXPONENT_MAX = 20
"""Decimal literals of so many digits and so small an exponent are read exactly by every reader
that multiplies or divides once by an exact power of ten; MicroPython's misreads others."""


def literal(value: Value, type: Type) -> str:
    """A constant in a spelling that every runtime reads alike.

    >>> literal(0.1, Type.LREAL), literal(-3, Type.INT), literal(1e-300, Type.LREAL)[:24]
    ('0.1', '-3', '(6032057205060441.0 / 90')
    """
    if not type.is_real:
        return str(int(value))
    number = float(value)
    if number == 0.0:
        return "-0.0" if str(number).startswith("-") else "0.0"
    sign = "-" if number < 0 else ""
    text = repr(abs(number))
    digits, _, exponent = text.partition("e")
    plain = digits.replace(".", "").strip("0")
    decimals = len(digits.partition(".")[2])
    if len(plain) <= LITERAL_DIGITS_MAX and abs(int(exponent or 0)) + decimals <= LITERAL_EXPONENT_MAX:
        return sign + text
    return sign + _by_powers_of_two(abs(number))


def _by_powers_of_two(number: float) -> str:
    """An odd integer below 2^53, multiplied or divided by powers of two: every step exact."""
    exact = Fraction(number)
    top, bottom = exact.numerator, exact.denominator
    shift = 0
    while top % 2 == 0:
        top //= 2
        shift += 1
    text = f"{top}.0"
    operator, left = ("*", shift) if shift else ("/", bottom.bit_length() - 1)
    while left:
        part = min(left, 53)
        text += f" {operator} {1 << part}.0"
        left -= part
    return f"({text})" if " " in text else text
