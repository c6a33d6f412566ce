"""The recorded tests of a package: `tests/NAME/input.csv`, `expected.csv`, `events.csv`.

Rules:
1. Each row is one scan; the column `time` is in seconds since 1970 (whole ms), or a date
   with offset. Other columns are inputs or outputs, by name, and `NAME.quality` (0 to 2).
2. An empty cell of an input is a bad value. An empty cell of an expectation is not compared.
3. All problems of a test's files are found before anything runs.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_runtime.rules.apps.build import BuiltApp
from edge_runtime.rules.apps.parameters import expected
from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.checking.types import Type, bounds
from edge_runtime.rules.program import Column
from protocols.cells import CellError, number
from protocols.errors import InputError, Problem
from protocols.package import Package
from protocols.tomlfile import TomlFile, suggest

ROWS_MAX = 100_000
"""Scans of one test: more than a day at one a second."""

TIME = "time"
QUALITY = ".quality"
EVENT_COLUMNS = (TIME, "kind", "text", "value", "quality")
KINDS = ("event", "alarm", "returned")


class Table(NamedTuple):
    """A table as text.

    Args:
        file: Its name for messages.
        places: `row 2` for each row.
        times_ms: Of each row.
        columns: Cells by the heading's names, `time` left out.
    """

    file: str
    places: tuple[str, ...]
    times_ms: tuple[int, ...]
    columns: Mapping[str, tuple[str, ...]]


class ExpectedEvent(NamedTuple):
    """One row of `events.csv`.

    Args:
        place: The row.
        time_ms: Of the scan.
        kind: One of `KINDS`.
        text: The event's.
        value: Or `None` where it is not compared.
        quality: Or `None`.
    """

    place: str
    time_ms: int
    kind: str
    text: str
    value: float | None
    quality: int | None


class Recording(NamedTuple):
    """One test of a package.

    Args:
        name: Its folder.
        times_ms: Of each scan.
        values: For each input of the app, a value a scan.
        qualities: The same, 0 to 2.
        parameters: By name.
        expected: What outputs must be, as text; `None` where they are not compared.
        events: All that must happen, in order; `None` where they are not compared.
    """

    name: str
    times_ms: tuple[int, ...]
    values: Mapping[str, Sequence[Value]]
    qualities: Mapping[str, Sequence[int]]
    parameters: Mapping[str, Value]
    expected: Table | None
    events: tuple[ExpectedEvent, ...] | None


def read_recording(built: BuiltApp, name: str, *, with_expectations: bool = True) -> Recording:
    """Read one test.

    Args:
        built: The app.
        name: The test's folder below `tests/`.
        with_expectations: Whether also what the app must do, of which there must be some.

    Raises:
        InputError: With every problem of its files.
    """
    return _Reader(built, name).read(with_expectations)


class _Reader:
    """Reads the files of one test; collects what is wrong."""

    def __init__(self, built: BuiltApp, name: str) -> None:
        self._built = built
        self._package: Package = built.package
        self._folder = f"tests/{name}"
        self._name = name
        self._problems: list[Problem] = []

    def read(self, with_expectations: bool) -> Recording:
        inputs = self._built.app.inputs
        table = self._table("input.csv", inputs, required=True)
        outputs, events = self._expectations(table) if with_expectations else (None, None)
        parameters = self._parameters()
        values: dict[str, list[Value]] = {}
        qualities: dict[str, list[int]] = {}
        if table is not None:
            for each, column in inputs.items():
                values[each], qualities[each] = self._cells(table, each, column)
        if self._problems or table is None:
            raise InputError(self._problems)
        return Recording(self._name, table.times_ms, values, qualities, parameters, outputs, events)

    def _expectations(self, table: Table | None) -> tuple[Table | None, tuple[ExpectedEvent, ...] | None]:
        outputs = self._table("expected.csv", self._built.outputs)
        events = self._events()
        if outputs is None and events is None and not self._problems:
            expected_ = "expected.csv or events.csv: what the app must do; app test --record writes both"
            self._say(self._package.place(self._folder), "folder", "", expected_)
        if outputs is not None and table is not None:
            self._refuse_other_times(outputs, table)
        return outputs, events

    def _say(self, file: str, place: str, value: str, expected_: str) -> None:
        self._problems.append(Problem(file, place, value, expected_))

    # -- tables ------------------------------------------------------------------------------------

    def _rows(self, name: str) -> tuple[str, list[list[str]]] | None:
        path = f"{self._folder}/{name}"
        file = self._package.place(path)
        if path not in self._package.files:
            return None
        try:
            text = self._package.text(path)
            rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]
        except InputError as error:
            self._problems += error.problems
            return None
        except csv.Error as error:
            self._say(file, "file", str(error), "rows of cells separated by commas")
            return None
        if len(rows) - 1 > ROWS_MAX:
            self._say(file, "file", f"{len(rows) - 1} rows", f"at most {ROWS_MAX} rows")
            return None
        return file, rows

    def _table(self, name: str, known: Collection[str], *, required: bool = False) -> Table | None:
        found = self._rows(name)
        if found is None:
            if required and not self._problems:
                place = self._package.place(f"{self._folder}/{name}")
                self._say(place, "file", "", "the recorded input: one row a scan")
            return None
        file, rows = found
        heading = rows[0] if rows else []
        if TIME not in heading:
            self._say(file, "row 1", ", ".join(heading)[:80], f"a heading with the column {TIME!r}")
            return None
        names = {*known, *(f"{each}{QUALITY}" for each in known)}
        for column in heading:
            if heading.count(column) > 1 or (column != TIME and column not in names):
                words = f"{TIME!r} and each name of the app once; {suggest(column, names)}"
                self._say(file, f"row 1, column {column}", column, words)
                return None
        filled = [(f"row {line}", row) for line, row in enumerate(rows[1:], 2) if any(row)]
        for place, row in filled:
            if len(row) != len(heading):
                self._say(file, place, f"{len(row)} cells", f"{len(heading)} cells, as in the heading")
                return None
        at = heading.index(TIME)
        times = [self._time(file, place, row[at]) for place, row in filled]
        for (place, row), one, other in zip(filled[1:], times, times[1:], strict=False):
            if other <= one:
                self._say(file, f"{place}, column {TIME}", row[at], "a time after that of the row above")
                break
        columns = {each: tuple(row[index] for _, row in filled) for index, each in enumerate(heading)}
        del columns[TIME]
        return Table(file, tuple(place for place, _ in filled), tuple(times), columns)

    def _time(self, file: str, place: str, cell: str) -> int:
        try:
            return _milliseconds(cell)
        except ValueError:
            expected_ = "seconds since 1970 in whole ms, such as 12.5, or a date such as 2026-01-01T00:00:00Z"
            self._say(file, f"{place}, column {TIME}", cell, expected_)
            return 0

    def _cells(self, table: Table, name: str, column: Column) -> tuple[list[Value], list[int]]:
        cells = table.columns.get(name, ("",) * len(table.places))
        marks = table.columns.get(f"{name}{QUALITY}", ("",) * len(table.places))
        values, qualities = [], []
        for place, cell, mark in zip(table.places, cells, marks, strict=True):
            value = parse_cell(cell, column.type)
            if cell and value is None:
                self._say(table.file, f"{place}, column {name}", cell, expected(column.type))
            if mark not in ("", "0", "1", "2"):
                words = "0 good, 1 uncertain or 2 bad"
                self._say(table.file, f"{place}, column {name}{QUALITY}", mark, words)
                mark = ""
            values.append(column.initial[0] if value is None else value)
            qualities.append(2 if value is None else int(mark or 0))
        return values, qualities

    def _refuse_other_times(self, outputs: Table, table: Table) -> None:
        scans = set(table.times_ms)
        for place, time_ms in zip(outputs.places, outputs.times_ms, strict=True):
            if time_ms not in scans:
                expected_ = "the time of a row of input.csv"
                self._say(outputs.file, f"{place}, column {TIME}", f"{time_ms / 1000:g}", expected_)

    # -- events and parameters ---------------------------------------------------------------------

    def _events(self) -> tuple[ExpectedEvent, ...] | None:
        found = self._rows("events.csv")
        if found is None:
            return None
        file, rows = found
        heading = rows[0] if rows else []
        known = set(heading) <= set(EVENT_COLUMNS) and len(heading) == len(set(heading))
        if not known or not {TIME, "kind", "text"} <= set(heading):
            self._say(file, "row 1", ", ".join(heading)[:80], "a heading with " + ", ".join(EVENT_COLUMNS))
            return None
        return tuple(self._event(file, heading, rows[1:]))

    def _event(
        self, file: str, heading: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> Iterator[ExpectedEvent]:
        for line, row in enumerate(rows, 2):
            place = f"row {line}"
            if not any(row):
                continue
            cells = dict(zip(heading, row, strict=False))
            kind, value, quality = cells.get("kind", ""), cells.get("value", ""), cells.get("quality", "")
            parsed = parse_cell(value, Type.LREAL)
            for column, cell, wrong, words in (
                ("kind", kind, kind not in KINDS, "one of " + ", ".join(KINDS)),
                ("value", value, bool(value) and parsed is None, "a number, or nothing"),
                ("quality", quality, quality not in ("", "0", "1", "2"), "0 good, 1 uncertain or 2 bad"),
            ):
                if wrong:
                    self._say(file, f"{place}, column {column}", cell, words)
            time_ms = self._time(file, place, cells.get(TIME, ""))
            mark = int(quality) if quality in ("0", "1", "2") else None
            number_ = None if parsed is None else float(parsed)
            yield ExpectedEvent(place, time_ms, kind, cells.get("text", ""), number_, mark)

    def _parameters(self) -> dict[str, Value]:
        ranges = self._built.parameters
        values = {name: range_.column.initial[0] for name, range_ in ranges.items()}
        path = f"{self._folder}/parameters.toml"
        if path not in self._package.files:
            return values
        try:
            file = TomlFile(Path(self._package.place(path)), "", self._package.text(path))
        except InputError as error:
            self._problems += error.problems
            return values
        file.known((), file.document, ranges)
        for name, given in file.document.items():
            if name in ranges:
                value = ranges[name].accept(given) if isinstance(given, bool | int | float | str) else None
                if value is None:
                    file.problem((name,), given, ranges[name].expected)
                else:
                    values[name] = value
        self._problems += file.problems
        return values


def parse_cell(cell: str, type: Type) -> Value | None:
    """A cell in a type; `None` when it is empty, of another, or an integer of more than 64 bits.

    What is beyond a narrower type stays: an input stage marks it as bad.

    >>> parse_cell("true", Type.BOOL), parse_cell("2.5", Type.LREAL), parse_cell("2.5", Type.INT)
    (True, 2.5, None)
    """
    if type is Type.BOOL:
        return {"0": False, "1": True, "false": False, "true": True}.get(cell.lower())
    if type.is_real:
        try:
            return number(cell)
        except CellError:
            return None
    low, high = bounds(Type.LINT)
    try:
        value = int(cell)
    except ValueError:
        return None
    return value if low <= value <= high else None


def _milliseconds(cell: str) -> int:
    """A time in ms since 1970. Raises `ValueError`."""
    try:
        seconds = float(cell)
    except ValueError:
        moment = datetime.datetime.fromisoformat(cell)
        if moment.tzinfo is None:
            raise ValueError("expected an offset such as Z") from None
        seconds = moment.timestamp()
    if not abs(seconds) * 1000 <= 1 << 52:
        raise ValueError("expected a time that doubles hold in whole milliseconds")
    ms = round(seconds * 1000)
    if not abs(seconds * 1000 - ms) < 1e-3:
        raise ValueError("expected whole milliseconds")
    return ms
