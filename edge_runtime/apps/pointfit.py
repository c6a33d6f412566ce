"""Whether a point's values are of the kind that a program's variable takes."""

from __future__ import annotations

from edge_runtime.rules.checking.types import Type
from protocols.points import Point
from protocols.samples import ValueType


def type_fault(point: Point, type: Type) -> str:
    """What was expected instead of this point; empty when it fits.

    Numbers of all widths fit each other: the input stage converts them, and marks what is
    beyond the type's range as bad.
    """
    kind = point.value_type
    if kind is ValueType.TEXT:
        return "a point of numbers or bool: programs read no texts"
    if type is Type.BOOL:
        return "" if kind is ValueType.BOOL else f"a point of type bool: the variable is {type}"
    return f"a point of a number type: the variable is {type}" if kind is ValueType.BOOL else ""
