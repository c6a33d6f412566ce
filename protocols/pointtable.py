r"""The point table: from rows of text to checked points, and back.

Rules:
1. Every problem of the table is found in one pass and names row, column, what was found
   and what was expected. What may be meant but is probably not is a warning.
2. Columns may stand in any order; `name`, `device`, `address`, `type` and `scan_class`
   must be there. An empty cell stands for the column's default.
3. Addresses are judged by the driver's own parser, which is handed in.
4. What `write_rows` gives, `read_points` reads back as the same points.

>>> from protocols.tablefile import parse_csv
>>> text = "name,device,address,type,scan_class\nFT-1,plc,40001,uint16,fsat\n"
>>> surroundings = Surroundings({"fast"}, {"plc": None})
>>> print(read_points(parse_csv(text, "points.csv"), surroundings).problems[0])
points.csv: row 2, column scan_class: got 'fsat'; expected a scan class of gateway.toml; did you mean 'fast'?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from protocols import limits
from protocols.errors import Problem
from protocols.field.base import FieldType
from protocols.heading import read_heading
from protocols.pointrow import RowReader, Surroundings
from protocols.points import Point, Report
from protocols.tablefile import TableText, format_number


class Column(NamedTuple):
    """One column of the point table.

    Args:
        name: Its heading.
        help: What it holds, in one or two sentences.
        required: Whether the column and its cells must be there.
    """

    name: str
    help: str
    required: bool = False


COLUMNS = (
    Column("id", "The gateway's own number of the point. Leave it empty for new points."),
    Column("name", "The plant's name (tag) of the point; unique in the gateway.", True),
    Column("device", "The NAME of the [device.NAME] it is read from.", True),
    Column("address", "Where it is on the device, in the notation of the device's driver.", True),
    Column("type", "What the device holds there: " + ", ".join(FieldType) + ".", True),
    Column("scan_class", "The NAME of the [scan.NAME] it is read in.", True),
    Column("unit", "The unit of the scaled value as a UCUM code, such as t/h, MPa, Cel."),
    Column("scale", "The scaled value is raw value * scale + offset. Default 1."),
    Column("offset", "See scale. Default 0."),
    Column("low", "Lower end of the engineering range, in scaled units; outside is marked uncertain."),
    Column("high", "Upper end of the engineering range."),
    Column("report", "When a value is kept: " + ", ".join(Report) + ". Default always."),
    Column("deadband", "For report deadband and swinging_door: the largest change left out."),
    Column("deadband_unit", "absolute (scaled units, the default) or percent (of high - low)."),
    Column(
        "max_silence_s", "For reports other than always: a value is kept at the latest after so many seconds."
    ),
    Column("description", "For people."),
)
NAMES = tuple(column.name for column in COLUMNS)
_REQUIRED = tuple(column.name for column in COLUMNS if column.required)


@dataclass(slots=True)
class PointTable:
    """A table that was read.

    Args:
        file: Its name for problems.
        points: The points of all rows without a problem; id 0 where the cell was empty.
        places: Their rows, as in `"row 7"`.
        problems: What makes the table unfit to use.
        warnings: What was perhaps not meant.
    """

    file: str
    points: list[Point] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def read_points(table: TableText, surroundings: Surroundings) -> PointTable:
    """Check a table that was read as text."""
    result = PointTable(table.file, problems=list(table.problems))
    if not table.rows:
        expected = "a heading row with the columns " + ", ".join(_REQUIRED)
        result.problems.append(Problem(table.file, "row 1", "", expected))
        return result
    columns, problems = read_heading(table.rows[0], table.file, NAMES, _REQUIRED)
    result.problems += problems
    if columns is None:
        return result
    if len(table.rows) - 1 > limits.TABLE_POINTS_MAX:
        expected = f"at most {limits.TABLE_POINTS_MAX} points; share them between gateways"
        result.problems.append(Problem(table.file, table.rows[-1].place, "more points", expected))
    reader = RowReader(table.file, columns, surroundings)
    for row in table.rows[1 : limits.TABLE_POINTS_MAX + 1]:
        point = reader.read(row)
        if point is not None:
            result.points.append(point)
            result.places.append(row.place)
    result.problems += reader.problems
    result.warnings += reader.warnings
    result.problems.sort(key=lambda problem: _row_number(problem.place))
    return result


def write_rows(points: Sequence[Point]) -> list[list[str]]:
    """The heading and one row a point, as text."""
    return [list(NAMES), *(_row_of(point) for point in points)]


def _row_of(point: Point) -> list[str]:
    def number(value: float | None, default: float | None = None) -> str:
        return "" if value is None or value == default else format_number(value)

    thinned = point.report in (Report.DEADBAND, Report.SWINGING_DOOR)
    return [
        str(point.id) if point.id else "",
        point.name,
        point.device,
        point.address,
        point.type.value,
        point.scan_class,
        point.unit,
        number(point.scale, 1.0),
        number(point.offset, 0.0),
        number(point.low),
        number(point.high),
        point.report.value,
        format_number(point.deadband) if thinned else "",
        point.deadband_unit.value if thinned else "",
        number(point.max_silence_s),
        point.description,
    ]


def _row_number(place: str) -> int:
    digits = place.removeprefix("row ").split(",")[0].split(" ")[0]
    return int(digits) if digits.isdecimal() else 0
