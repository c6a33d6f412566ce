"""One row of the point table after the other: its cells to a point, or what is wrong with them.

Every cell of a row is judged, whatever the others hold. Judging a cell against another one
(a deadband against the report mode, a range against a type) needs both to be readable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeVar

from protocols import cells, limits, units
from protocols.cells import CellError
from protocols.errors import Problem
from protocols.field.base import FieldType
from protocols.points import DeadbandUnit, Point, Report
from protocols.tablefile import Row
from protocols.tomlfile import shown, suggest

AddressCheck = Callable[[str, FieldType], str | None]
"""What a driver expected instead of an address, or `None` when it is right."""

MAX_SILENCE_S = 7 * 86_400
"""The longest silence that may be asked for: a week, after which a dead point goes unseen."""

Value = TypeVar("Value")


class Surroundings(NamedTuple):
    """What a point table is checked against.

    Args:
        scan_classes: Names of the scan classes; `None` when they are not known.
        devices: For each device what judges its addresses, or `None` where nothing can;
            `None` for all when the devices are not known.
    """

    scan_classes: Collection[str] | None
    devices: Mapping[str, AddressCheck | None] | None


class RowReader:
    """Reads rows of one table, and remembers what must not come twice.

    Args:
        file: The table's name for problems.
        columns: Where each column stands.
        surroundings: What names and addresses are checked against.
    """

    def __init__(self, file: str, columns: Mapping[str, int], surroundings: Surroundings) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._file = file
        self._columns = columns
        self._surroundings = surroundings
        self._width = max(columns.values()) + 1
        self._names: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        self._ids: dict[int, str] = {}
        self._sources: dict[tuple[str, str, FieldType, str], str] = {}
        self._suggestions: dict[str, str] = {}
        self._row = Row("", [])

    def read(self, row: Row) -> Point | None:
        """The point of a row, or `None` when there is a problem with it."""
        self._row = row
        before = len(self.problems)
        for index in range(self._width, len(row.cells)):
            if row.cells[index]:
                expected = "no cell beyond the heading; put a text that holds a comma in quotes"
                self.problems.append(
                    Problem(self._file, f"{row.place}, cell {index + 1}", shown(row.cells[index]), expected)
                )
                break
        point = self._point()
        return point if len(self.problems) == before else None

    # -- cells ---------------------------------------------------------------------------

    def _text(self, column: str) -> str:
        index = self._columns.get(column)
        return self._row.cells[index] if index is not None and index < len(self._row.cells) else ""

    def _note(self, column: str, expected: str) -> None:
        self.problems.append(self._problem(column, expected))

    def _problem(self, column: str, expected: str) -> Problem:
        return Problem(self._file, f"{self._row.place}, column {column}", shown(self._text(column)), expected)

    def _cell(self, column: str, parse: Callable[[str], Value]) -> Value | None:
        try:
            return parse(self._text(column))
        except CellError as wrong:
            self._note(column, str(wrong))
            return None

    def _number(self, column: str) -> float | None:
        return self._cell(column, cells.number) if self._text(column) else None

    # -- the row -------------------------------------------------------------------------

    def _point(self) -> Point | None:
        id_ = self._id()
        name = self._name()
        device = self._known("device", self._surroundings.devices, "a device of gateway.toml")
        scan_class = self._known(
            "scan_class", self._surroundings.scan_classes, "a scan class of gateway.toml"
        )
        type_ = self._cell("type", cells.field_type)
        address = self._address(device, type_)
        unit = self._unit()
        scale, offset = self._scaling(type_)
        low, high = self._range(type_)
        report = self._cell("report", cells.report)
        deadband, deadband_unit = self._deadband(report, type_, low, high)
        max_silence_s = self._max_silence(report)
        description = self._cell("description", lambda cell: cells.text(cell, limits.POINT_TEXT_CHARS_MAX))
        if device and address and type_ and scan_class:
            self._same_source(device, address, type_, scan_class)
        fields: tuple[Any, ...] = (id_, name, device, address, type_, scan_class, report, description)
        if any(value is None for value in fields):
            return None
        assert name and device and address and type_ and scan_class and report and description is not None
        return Point(
            id_ or 0, name, device, address, type_, scan_class, unit, scale, offset, low, high,
            report, deadband, deadband_unit, max_silence_s, description,
        )  # fmt: skip

    def _id(self) -> int | None:
        if not self._text("id"):
            return 0
        value = self._cell("id", cells.whole)
        if value is None:
            return None
        if not 1 <= value <= limits.POINT_ID_MAX:
            self._note("id", f"a whole number from 1 to {limits.POINT_ID_MAX}, or nothing for a new point")
            return None
        first = self._ids.setdefault(value, self._row.place)
        if first != self._row.place:
            self._note("id", f"an id of its own; {first} has the same: leave the cell empty for a new id")
        return value

    def _name(self) -> str | None:
        example = "the point's name, such as FT-101"
        name = self._cell("name", lambda cell: cells.tag(cell, limits.POINT_NAME_CHARS_MAX, example))
        if name is None:
            return None
        first = self._names.setdefault(name, self._row.place)
        if first != self._row.place:
            self._note("name", f"a name that no other point has; {first} has the same: rename one")
            return name
        similar = self._folded.setdefault(name.casefold(), self._row.place)
        if similar != self._row.place:
            expected = f"perhaps the point of {similar}, whose name differs in capitals only"
            self.warnings.append(self._problem("name", expected))
        return name

    def _known(self, column: str, names: Collection[str] | None, what: str) -> str | None:
        cell = self._text(column)
        if not cell:
            self._note(column, f"{what}{self._suggest(column, '', names)}")
            return None
        if names is not None and cell not in names:
            self._note(column, f"{what}{self._suggest(column, cell, names)}")
            return None
        return cell

    def _suggest(self, column: str, cell: str, names: Collection[str] | None) -> str:
        """Found once a spelling: a table may repeat it 100,000 times."""
        if names is None:
            return ""
        key = f"{column} {cell}"
        if key not in self._suggestions:
            self._suggestions[key] = f"; {suggest(cell, names)}"
        return self._suggestions[key]

    def _address(self, device: str | None, type_: FieldType | None) -> str | None:
        example = "an address in the notation of the device's driver"
        address = self._cell("address", lambda cell: cells.tag(cell, limits.POINT_TEXT_CHARS_MAX, example))
        if address is None or device is None or type_ is None or not self._surroundings.devices:
            return address
        check = self._surroundings.devices[device]
        expected = check(address, type_) if check is not None else None
        if expected is not None:
            self._note("address", expected)
            return None
        return address

    def _unit(self) -> str:
        unit = self._text("unit")
        fault = units.check(unit)
        if fault is not None and fault.hopeless:
            self._note("unit", f"a UCUM unit such as t/h, MPa or Cel, and not {fault.reason}")
        elif fault is not None:
            self.warnings.append(self._problem("unit", f"a UCUM unit such as t/h; this is {fault.reason}"))
        return unit

    def _scaling(self, type_: FieldType | None) -> tuple[float, float]:
        scale, offset = self._number("scale"), self._number("offset")
        if scale == 0:
            self._note("scale", "a number other than 0: with 0 every value would be the same")
        if type_ in (FieldType.BOOL, FieldType.STRING):
            for column, value, neutral in (("scale", scale, 1), ("offset", offset, 0)):
                if value is not None and value != neutral:
                    self._note(column, f"nothing: a {type_} is not scaled")
        return 1.0 if scale is None else scale, 0.0 if offset is None else offset

    def _range(self, type_: FieldType | None) -> tuple[float | None, float | None]:
        low, high = self._number("low"), self._number("high")
        if type_ in (FieldType.BOOL, FieldType.STRING):
            for column in ("low", "high"):
                if self._text(column):
                    self._note(column, f"nothing: a {type_} has no range")
        elif low is not None and high is not None and low >= high:
            self._note("high", f"a number above low, which is {self._text('low')}")
        elif low is not None and high is not None and not math.isfinite(high - low):
            self._note("high", "a range that is itself below 1.8e308")
        return low, high

    def _deadband(
        self, report: Report | None, type_: FieldType | None, low: float | None, high: float | None
    ) -> tuple[float, DeadbandUnit]:
        deadband, unit = self._number("deadband"), self._cell("deadband_unit", cells.deadband_unit)
        unit = unit or DeadbandUnit.ABSOLUTE
        if report is None:
            return 0.0, unit
        if report not in (Report.DEADBAND, Report.SWINGING_DOOR):
            if deadband:
                self._note(
                    "deadband",
                    f"nothing, or report deadband or swinging_door: with {report} it has no effect",
                )
            return 0.0, DeadbandUnit.ABSOLUTE
        if type_ in (FieldType.BOOL, FieldType.STRING):
            self._note("report", f"always or change: a {type_} has no {report}")
        elif not self._text("deadband"):
            self._note("deadband", f"a number above 0, which report {report} needs")
        elif deadband is not None and deadband <= 0:
            self._note("deadband", "a number above 0; for every change use report change")
        elif unit is DeadbandUnit.PERCENT:
            self._percentage(deadband, low, high)
        return deadband or 0.0, unit

    def _percentage(self, deadband: float | None, low: float | None, high: float | None) -> None:
        if deadband is not None and deadband > 100:
            self._note("deadband", "at most 100 percent")
        if low is None or high is None:
            self._note(
                "deadband_unit", "absolute, or a range in low and high, of which to take the percentage"
            )

    def _max_silence(self, report: Report | None) -> float | None:
        value = self._number("max_silence_s")
        if value is None:
            return None
        if not 0 < value <= MAX_SILENCE_S:
            self._note("max_silence_s", f"a number of seconds above 0, at most {MAX_SILENCE_S}")
        elif report is Report.ALWAYS:
            self._note("max_silence_s", "nothing, or another report: with always there is never a silence")
        return value

    def _same_source(self, device: str, address: str, type_: FieldType, scan_class: str) -> None:
        source = (device, address, type_, scan_class)
        first = self._sources.setdefault(source, self._row.place)
        if first != self._row.place:
            expected = f"perhaps another address; {first} reads the same one with the same scan class"
            self.warnings.append(self._problem("address", expected))
