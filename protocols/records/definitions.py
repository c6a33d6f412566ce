"""What headquarters must know of a gateway's points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocols import limits
from protocols.errors import MalformedError
from protocols.records.fields import Fields, pack_map
from protocols.valuetypes import ValueType


@dataclass(frozen=True, slots=True)
class PointDefinition:
    """What headquarters must know of a point to bind it to a series.

    Args:
        id: Local id, never used again.
        name: The plant's name (tag).
        type: Value type on the wire.
        unit: UCUM code, or empty.
        scan_period_ms: How often a sample is due.
        resolution: Largest error that deadband or swinging door may leave; 0 when every
            scan instant is reported.
        low: Lower end of the engineering range, or `None`.
        high: Upper end, or `None`.
        description: For people.
    """

    id: int
    name: str
    type: ValueType
    unit: str = ""
    scan_period_ms: int = 1000
    resolution: float = 0.0
    low: float | None = None
    high: float | None = None
    description: str = ""


def pack_definitions(definitions: Iterable[PointDefinition]) -> bytes:
    """A point table as it travels (kind META). Its SHA-256 is the table hash of data batches."""
    rows = [
        (d.id, d.name, int(d.type), d.unit, d.scan_period_ms, d.resolution, d.low, d.high, d.description)
        for d in sorted(definitions, key=lambda definition: definition.id)
    ]
    return pack_map({"points": rows})


def parse_definitions(data: bytes) -> list[PointDefinition]:
    """Read a point table.

    Raises:
        MalformedError, LimitError: Not such a payload.
    """
    return [_definition(row) for row in Fields(data).array("points")]


def _definition(row: object) -> PointDefinition:
    kinds: tuple[type | tuple[type, ...], ...] = (
        int, str, int, str, int, (int, float), (int, float, type(None)), (int, float, type(None)), str,
    )  # fmt: skip
    if not isinstance(row, tuple) or len(row) != len(kinds):
        raise MalformedError(f"expected a point definition of {len(kinds)} fields")
    if not all(
        isinstance(value, kind) and not isinstance(value, bool)
        for value, kind in zip(row, kinds, strict=True)
    ):
        raise MalformedError(f"expected the types of a point definition, got {row!r:.120}")
    id_, name, type_, unit, period_ms, resolution, low, high, description = row
    if not 0 <= id_ <= limits.POINT_ID_MAX or not 0 < period_ms <= limits.INT63_MAX:
        raise MalformedError(f"expected a point id and a period, got {id_} and {period_ms}")
    try:
        value_type = ValueType(type_)
    except ValueError as error:
        raise MalformedError(f"unknown value type {type_} of point {id_}") from error
    return PointDefinition(
        id_,
        name,
        value_type,
        unit,
        period_ms,
        float(resolution),
        None if low is None else float(low),
        None if high is None else float(high),
        description,
    )
