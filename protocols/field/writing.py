"""What may be written to a point of each type at the device.

A `bool` takes a bool and nothing else; integers take an int in their range; `f32` and `f64`
take a finite number. Texts are not written. A `uint64` ends where it can no longer be read.

>>> fault(FieldType.UINT16, 65535) is None, fault(FieldType.UINT16, 65536)
(True, 'a whole number from 0 to 65535')
>>> fault(FieldType.BOOL, 1)
'true or false'
"""

from __future__ import annotations

import math

from protocols.field.base import FieldType

INTEGER_RANGES = {
    FieldType.INT16: (-(2**15), 2**15 - 1),
    FieldType.UINT16: (0, 2**16 - 1),
    FieldType.INT32: (-(2**31), 2**31 - 1),
    FieldType.UINT32: (0, 2**32 - 1),
    FieldType.INT64: (-(2**63), 2**63 - 1),
    FieldType.UINT64: (0, 2**63 - 1),
}
"""Least and greatest whole number of each integer type, as a sample can carry it."""

F32_MAX = (2 - 2**-23) * 2.0**127
"""The greatest finite number in single precision (IEEE 754, binary32)."""

TEXTS = "a point of a number type or bool: texts are not written"


def fault(type: FieldType, value: float) -> str | None:
    """What was expected instead of this value, or `None` when it may be written.

    Args:
        type: What the device holds.
        value: A bool, an int or a float.
    """
    if type is FieldType.STRING:
        return TEXTS
    if type is FieldType.BOOL:
        return None if isinstance(value, bool) else "true or false"
    if type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[type]
        right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if right else f"a whole number from {low} to {high}"
    most = F32_MAX if type is FieldType.F32 else math.inf
    right = not isinstance(value, bool) and math.isfinite(value) and abs(value) <= most
    return None if right else f"a finite number that {type} can hold"
