"""Points: what a gateway reads, how it is scaled, and when it is reported.

Rules:
1. A point belongs to one device and one scan class. Its id is local to the gateway and
   never used again; 0 stands for "not given yet" and appears only before ids are assigned.
2. The field type says what the device holds; the value type what travels. An integer or
   an f32 that is not scaled keeps its own type, so that it arrives bit for bit.
3. `low` and `high` are the engineering range in scaled units: a value outside is marked
   uncertain, never cut. A percentage deadband is a percentage of that range.

>>> point = Point(1, "FT-101", "plc", "40001", FieldType.UINT16, "fast", "t/h", scale=0.1)
>>> point.value_type.name, point.scaled
('F64', True)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocols.field.base import FieldType
from protocols.records import PointDefinition
from protocols.valuetypes import ValueType


class Report(StrEnum):
    """When a value that was read is kept."""

    ALWAYS = "always"
    """At every scan instant."""
    CHANGE = "change"
    """When value or quality differ from those last kept."""
    DEADBAND = "deadband"
    """When it differs from the value last kept by more than the deadband."""
    SWINGING_DOOR = "swinging_door"
    """As few as straight lines between them need to stay within the deadband of every value."""


class DeadbandUnit(StrEnum):
    """What the deadband is measured in."""

    ABSOLUTE = "absolute"
    """Scaled engineering units."""
    PERCENT = "percent"
    """Percent of `high - low`."""


@dataclass(frozen=True, slots=True)
class Point:
    """One row of the point table, checked.

    Args:
        id: Local id, 1 and up, never used again; 0 before one is assigned.
        name: The plant's name (tag), unique in the gateway.
        device: Name of the `[device.NAME]` it is read from.
        address: Where it is on the device, in the driver's own notation.
        type: What the device holds there.
        scan_class: Name of the `[scan.NAME]` it is read in.
        unit: UCUM code of the scaled value, or empty.
        scale: Scaled value = raw value * scale + offset.
        offset: See `scale`; in scaled units.
        low: Lower end of the engineering range, scaled units, or `None`.
        high: Upper end, or `None`.
        report: When a value is kept.
        deadband: Width for `deadband` and `swinging_door`, in `deadband_unit`.
        deadband_unit: What `deadband` is measured in.
        max_silence_s: A value is kept at the latest after so many seconds, even when
            nothing changed; `None` for no such bound.
        description: For people.
    """

    id: int
    name: str
    device: str
    address: str
    type: FieldType
    scan_class: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    report: Report = Report.ALWAYS
    deadband: float = 0.0
    deadband_unit: DeadbandUnit = DeadbandUnit.ABSOLUTE
    max_silence_s: float | None = None
    description: str = ""

    @property
    def scaled(self) -> bool:
        """Whether the raw value is changed on its way."""
        return self.scale != 1.0 or self.offset != 0.0

    @property
    def value_type(self) -> ValueType:
        """The type that travels: the raw type, or f64 when the value is scaled."""
        return ValueType.F64 if self.scaled else self.type.value_type

    @property
    def deadband_absolute(self) -> float:
        """The deadband in scaled units."""
        if self.deadband_unit is DeadbandUnit.ABSOLUTE:
            return self.deadband
        assert self.low is not None and self.high is not None, "the table's check asks for a range"
        return (self.high - self.low) * self.deadband / 100.0

    @property
    def resolution(self) -> float:
        """Largest error that leaving values out may cause, in scaled units."""
        if self.report in (Report.DEADBAND, Report.SWINGING_DOOR):
            return self.deadband_absolute
        return 0.0


def to_definition(point: Point, scan_period_ms: int) -> PointDefinition:
    """What headquarters must know of the point; `scan_period_ms` is its scan class's."""
    return PointDefinition(
        id=point.id,
        name=point.name,
        type=point.value_type,
        unit=point.unit,
        scan_period_ms=scan_period_ms,
        resolution=point.resolution,
        low=point.low,
        high=point.high,
        description=point.description,
    )
