r"""Threshold tables, CSV or TOML, as checked thresholds: for those who do not program.

Rules:
1. Every problem is found in one pass and names file, row, column, what was found and
   what was expected.
2. CSV rows and TOML's `[[threshold]]` tables have the same columns; what is left out has
   its default.

>>> table = read_table_text("name,unit,high,text_en\nlevel,mm,50,Drum level\n", "drum.csv")
>>> table[0].name, table[0].limits["high"].value
('level', 50.0)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edge_runtime.rules.checking.functions import NAMES as FUNCTION_NAMES
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.reading.slips import FORBIDDEN, KEYWORDS
from protocols import cells, units
from protocols.cells import CellError
from protocols.errors import InputError, Problem
from protocols.heading import read_heading
from protocols.tablefile import Row, format_number, parse_csv
from protocols.tomlfile import TomlFile, shown

LIMITS = ("low_low", "low", "high", "high_high", "rate_per_min", "deviation")
"""What an alarm can be about, in the order of a row's alarms."""

PRIORITIES = {"critical": 1, "high": 2, "medium": 3, "low": 4}
"""Words for priorities; numbers are taken too."""

NAME_CHARS_MAX = 40
"""Of a name: `_deviation_active` is added to it, and the whole still fits a column of a screen."""

TEXT_CHARS_MAX = 200
"""Of a text: `changes too fast` is added to it, within the 500 of any text of a program."""

DELAY_S_MAX = 86_400.0
"""A delay: more than a day is nobody's alarm."""

THRESHOLDS_MAX = 1_000
"""Rows of a table: six alarms each are what a program can hold."""

COLUMNS = (
    "name", "input", "unit", *LIMITS, "setpoint", "hysteresis", "on_delay_s", "off_delay_s",
    "priority", *(f"priority_{limit.removesuffix('_per_min')}" for limit in LIMITS), "text_en", "text_zh",
)  # fmt: skip
"""All columns; only `name` must be there."""

NUMBERS = frozenset({*LIMITS, "hysteresis", "on_delay_s", "off_delay_s"})
"""Columns that hold numbers."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TAKEN = {*KEYWORDS, *FORBIDDEN, *FUNCTION_NAMES, *Type}
"""Words of the rule language, in capitals, that are no names."""


class Limit(NamedTuple):
    """One alarm of a threshold.

    Args:
        value: The limit.
        priority: 1 critical to 4 low.
    """

    value: float
    priority: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """One row.

    Args:
        name: Of the row; names its alarms.
        input: The program's input that is watched.
        unit: UCUM code, or empty.
        limits: By the names in `LIMITS`; at least one.
        setpoint: The input that `deviation` is measured from, or empty.
        hysteresis: How far back from a limit an alarm ends; not for the rate, which has another unit.
        on_delay_ms: How long it must last.
        off_delay_ms: How long it must be over.
        text_en: What is watched, in English.
        text_zh: The same in Chinese, or empty.
    """

    name: str
    input: str
    unit: str
    limits: Mapping[str, Limit]
    setpoint: str
    hysteresis: float
    on_delay_ms: int
    off_delay_ms: int
    text_en: str
    text_zh: str


def read_table_text(text: str, file: str) -> list[Threshold]:
    """The thresholds of a table.

    Args:
        text: Its content.
        file: Its name, which ends in `.csv` or `.toml`.

    Raises:
        InputError: With every problem.
    """
    return _read_toml(text, file) if file.lower().endswith(".toml") else _read_csv(text, file)


# -- the two forms ---------------------------------------------------------------------------------


class _Line(Protocol):
    """A row of either form."""

    def text(self, column: str) -> str:
        """The cell as text; empty where there is none."""

    def place(self, column: str) -> str:
        """Where it is."""


class _CsvLine:
    def __init__(self, row: Row, columns: Mapping[str, int]) -> None:
        self._row = row
        self._columns = columns

    def text(self, column: str) -> str:
        index = self._columns.get(column, len(self._row.cells))
        return self._row.cells[index] if index < len(self._row.cells) else ""

    def place(self, column: str) -> str:
        return f"{self._row.place}, column {column}" if column else self._row.place


class _TomlLine:
    def __init__(self, file: TomlFile, index: int, table: Mapping[str, Any]) -> None:
        self._file = file
        self._index = index
        self._table = table

    def text(self, column: str) -> str:
        value = self._table.get(column, "")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return format_number(float(value))
        return value.strip() if isinstance(value, str) else shown(value)

    def place(self, column: str) -> str:
        return self._file.place(("threshold", self._index, column) if column else ("threshold", self._index))


def _read_csv(text: str, file: str) -> list[Threshold]:
    table = parse_csv(text, file, can_choose=False)
    reader = _Reader(file, list(table.problems))
    if not table.rows:
        reader.problems.append(Problem(file, "row 1", "", "a heading row with the column name"))
    else:
        columns, problems = read_heading(table.rows[0], file, COLUMNS, ("name",))
        reader.problems += problems
        for row in table.rows[1:] if columns is not None else ():
            assert columns is not None
            if len(row.cells) > len(table.rows[0].cells):
                place = f"{row.place}, cell {len(table.rows[0].cells) + 1}"
                expected = "no cell beyond the heading; put a text that holds a comma in quotes"
                reader.problems.append(Problem(file, place, shown(row.cells[-1]), expected))
            reader.read(_CsvLine(row, columns))
    return reader.result()


def _read_toml(text: str, file: str) -> list[Threshold]:
    document = TomlFile(Path(file), "a threshold table", text)
    document.known((), document.document, ("threshold",))
    lines = []
    for index, table in enumerate(document.tables("threshold")):
        document.known(("threshold", index), table, COLUMNS)
        for column in set(table) & set(COLUMNS):
            value = table[column]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if column in NUMBERS and not number:
                document.problem(("threshold", index, column), value, "a number, without quotes")
            elif not number and not isinstance(value, str):
                document.problem(("threshold", index, column), value, "a text in quotes")
        lines.append(_TomlLine(document, index, table))
    if not lines and not document.problems:
        document.problems.append(Problem(file, "file", "", "tables written as [[threshold]]"))
    reader = _Reader(file, document.problems)
    for line in lines:
        reader.read(line)
    return reader.result()


# -- rows ------------------------------------------------------------------------------------------


class _Reader:
    """Reads rows, and remembers what must agree between them."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.problems = problems
        self._file = file
        self._found: list[Threshold] = []
        self._names: dict[str, str] = {}
        self._inputs: dict[str, tuple[str, str]] = {}
        self._texts: dict[str, tuple[str, str]] = {}
        self._rows = 0
        self._line: _Line

    def result(self) -> list[Threshold]:
        """All thresholds.

        Raises:
            InputError: There are problems.
        """
        if not self._found and not self.problems:
            self._problem_at("file", "", "at least one threshold below the heading")
        if self._rows > THRESHOLDS_MAX:
            self._problem_at("file", f"{self._rows} rows", f"at most {THRESHOLDS_MAX}; use several tables")
        if self.problems:
            first: dict[tuple[str, str], Problem] = {}
            for problem in self.problems:
                first.setdefault((problem.place, problem.value), problem)
            raise InputError(list(first.values()))
        return self._found

    def read(self, line: _Line) -> None:
        """Check one row."""
        self._line = line
        self._rows += 1
        before = len(self.problems)
        name = self._name("name", "a name of the threshold, such as drum_level")
        watched = self._name("input", "the program's input, such as level") if self._text("input") else name
        unit = self._unit()
        limits = self._limits()
        setpoint = self._setpoint("deviation" in limits)
        hysteresis = self._hysteresis(limits)
        delays = self._delay("on_delay_s"), self._delay("off_delay_s")
        texts = self._words("text_en") or name, self._words("text_zh")
        self._own(name)
        self._same_text(*texts)
        self._same_unit(watched, unit)
        if setpoint:
            self._same_unit(setpoint, unit)
        if len(self.problems) == before:
            row = Threshold(name, watched, unit, limits, setpoint, hysteresis, *delays, *texts)
            self._found.append(row)

    def _text(self, column: str) -> str:
        return self._line.text(column)

    def _note(self, column: str, expected: str) -> None:
        self._problem_at(self._line.place(column), shown(self._text(column)) if column else "", expected)

    def _problem_at(self, place: str, value: str, expected: str) -> None:
        self.problems.append(Problem(self._file, place, value, expected))

    def _name(self, column: str, what: str) -> str:
        cell = self._text(column)
        if not _IDENTIFIER.fullmatch(cell):
            self._note(column, f"{what}: letters, digits and _, not beginning with a digit")
        elif len(cell) > NAME_CHARS_MAX:
            self._note(column, f"{what}, of at most {NAME_CHARS_MAX} characters")
        elif cell.upper() in TAKEN:
            self._note(column, f"{what}; {cell!r} is a word of the rule language")
        return cell

    def _words(self, column: str) -> str:
        try:
            return cells.text(self._text(column), TEXT_CHARS_MAX)
        except CellError as wrong:
            self._note(column, str(wrong))
            return ""

    def _number(self, column: str) -> float | None:
        if not self._text(column):
            return None
        try:
            return cells.number(self._text(column))
        except CellError as wrong:
            self._note(column, str(wrong))
            return None

    def _unit(self) -> str:
        unit = self._text("unit")
        fault = units.check(unit) if unit else None
        if fault is not None:
            self._note("unit", f"a UCUM unit such as t/h, MPa or Cel; this is {fault.reason}")
            return ""
        return unit

    def _limits(self) -> dict[str, Limit]:
        found: dict[str, Limit] = {}
        row_priority = self._priority("priority", 3)
        for name in LIMITS:
            column = f"priority_{name.removesuffix('_per_min')}"
            value = self._number(name)
            priority = self._priority(column, row_priority)
            if value is not None:
                found[name] = Limit(value, priority)
            elif self._text(column) and not self._text(name):
                self._note(column, f"nothing: there is no limit in the column {name}")
        if not any(self._text(name) for name in LIMITS):
            self._note("", "at least one limit in the columns " + ", ".join(LIMITS))
        levels = [name for name in LIMITS[:4] if name in found]
        for lower, upper in pairwise(levels):
            if found[lower].value >= found[upper].value:
                self._note(upper, f"a number above {lower}, which is {self._text(lower)}")
        for name in LIMITS[4:]:
            if name in found and found[name].value <= 0:
                self._note(name, "a number above 0: it counts in both directions")
        return found

    def _priority(self, column: str, default: int) -> int:
        cell = self._text(column).lower()
        if not cell:
            return default
        if cell in PRIORITIES:
            return PRIORITIES[cell]
        if cell in ("1", "2", "3", "4", "1.0", "2.0", "3.0", "4.0"):
            return int(cell[0])
        self._note(column, "1 (critical), 2 (high), 3 (medium) or 4 (low)")
        return default

    def _setpoint(self, needed: bool) -> str:
        if self._text("setpoint") and not self._text("deviation"):
            self._note("setpoint", "nothing, or a limit in the column deviation")
        elif self._text("setpoint"):
            return self._name("setpoint", "the input that holds the setpoint")
        elif needed:
            self._note("setpoint", "the input that holds the setpoint, from which deviation is measured")
        return ""

    def _hysteresis(self, limits: Mapping[str, Limit]) -> float:
        value = self._number("hysteresis") or 0.0
        room = [limits[name].value for name in ("low", "high") if name in limits]
        if value < 0:
            self._note("hysteresis", "a number of 0 or more")
        elif value and len(room) == 2 and value >= room[1] - room[0]:
            expected = f"less than the distance of low and high, {format_number(room[1] - room[0])}"
            self._note("hysteresis", expected)
        elif "deviation" in limits and 0 < limits["deviation"].value <= value:
            self._note("hysteresis", f"less than deviation, which is {self._text('deviation')}")
        return value

    def _delay(self, column: str) -> int:
        seconds = self._number(column) or 0.0
        if not 0 <= seconds <= DELAY_S_MAX:
            self._note(column, f"a number of seconds from 0 to {DELAY_S_MAX:.0f}")
            return 0
        return round(seconds * 1000)

    # -- between rows ----------------------------------------------------------------------------

    def _own(self, name: str) -> None:
        key = name.upper()
        first = self._names.setdefault(key, self._line.place(""))
        if name and first != self._line.place(""):
            self._note("name", f"a name of its own; {first} has the same")

    def _same_text(self, english: str, chinese: str) -> None:
        place, first = self._texts.setdefault(english, (self._line.place(""), chinese))
        if first != chinese:
            self._note("text_zh", f"{first or 'nothing'}, as {place} has for the same text_en")

    def _same_unit(self, watched: str, unit: str) -> None:
        place, first = self._inputs.setdefault(watched.upper(), (self._line.place(""), unit))
        if watched and first != unit:
            self._note("unit", f"{first or 'no unit'}, as {place} has for the input {watched}")


def names_of(threshold: Threshold) -> Sequence[tuple[str, str]]:
    """The alarms of a row: limit and the alarm's name."""
    return [(limit, f"{threshold.name}_{limit.removesuffix('_per_min')}") for limit in threshold.limits]
