"""The elementary types: their ranges, how they widen, where two of them meet.

Source: IEC 61131-3:2013, 6.4.2 and 6.6.1.6, as narrowed by docs/rules-reference.md, section 2.

>>> meet(Type.INT, Type.REAL), meet(Type.DINT, Type.REAL), meet(Type.LINT, Type.REAL)
(Type.REAL, Type.LREAL, None)
>>> wrap(32768, Type.INT), to_real(0.1)
(-32768, 0.10000000149011612)
"""

from __future__ import annotations

import struct
from enum import StrEnum

import numpy as np


class Type(StrEnum):
    """An elementary type, by its name in the language."""

    BOOL = "BOOL"
    INT = "INT"
    DINT = "DINT"
    LINT = "LINT"
    REAL = "REAL"
    LREAL = "LREAL"
    TIME = "TIME"
    STRING = "STRING"

    def __repr__(self) -> str:
        return f"Type.{self.name}"

    @property
    def code(self) -> str:
        """The letter of its columns, as in `array` and numpy."""
        return _CODES[self]

    @property
    def is_integer(self) -> bool:
        """INT, DINT or LINT."""
        return self in INTEGERS

    @property
    def is_real(self) -> bool:
        """REAL or LREAL."""
        return self in REALS

    @property
    def is_number(self) -> bool:
        """An integer or a real."""
        return self in INTEGERS or self in REALS


INTEGERS = (Type.INT, Type.DINT, Type.LINT)
REALS = (Type.REAL, Type.LREAL)
BITS = {Type.INT: 16, Type.DINT: 32, Type.LINT: 64, Type.TIME: 64}

_CODES = {
    Type.BOOL: "b", Type.INT: "h", Type.DINT: "i", Type.LINT: "q", Type.REAL: "f", Type.LREAL: "d",
    Type.TIME: "q", Type.STRING: "h",
}  # fmt: skip

WIDTHS = {"b": 1, "h": 2, "i": 4, "q": 8, "f": 4, "d": 8}
"""Bytes of a column's cell."""

_WIDER = {
    Type.INT: (Type.DINT, Type.LINT, Type.REAL, Type.LREAL),
    Type.DINT: (Type.LINT, Type.LREAL),
    Type.LINT: (),
    Type.REAL: (Type.LREAL,),
}


def widens(source: Type, target: Type) -> bool:
    """Whether a value changes to the target type without being asked."""
    return source is target or target in _WIDER.get(source, ())


def meet(one: Type, other: Type) -> Type | None:
    """The narrowest type that both widen to."""
    for target in (one, other, Type.DINT, Type.LINT, Type.REAL, Type.LREAL):
        if widens(one, target) and widens(other, target):
            return target
    return None


def bounds(type: Type) -> tuple[int, int]:
    """The least and the greatest value of an integer type, BOOL, TIME or STRING."""
    if type is Type.BOOL:
        return 0, 1
    bits = BITS.get(type, 16)
    return -(1 << bits - 1), (1 << bits - 1) - 1


def wrap(value: int, type: Type) -> int:
    """Two's complement."""
    half = 1 << BITS[type] - 1
    return (value + half) % (2 * half) - half


def to_real(value: float) -> float:
    """The nearest REAL; infinite beyond its range."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float(np.copysign(np.inf, value))
