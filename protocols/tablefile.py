"""Tables that an operator wrote, CSV or XLSX, as rows of text with their places.

Rules:
1. A place is the row that a spreadsheet shows, the heading being row 1.
2. What a spreadsheet does to data on its way (semicolons, tabs, a `sep=` line, another
   encoding, floats where whole numbers were) is either undone without loss or named.
3. Whatever the bytes, the outcome is rows or `InputError`.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from protocols import limits
from protocols.errors import InputError, Problem
from protocols.textfile import read_text

COLUMNS_MAX = 64
"""Columns that are looked at: a few times what a point table has."""

CELL_CHARS_MAX = 4096
"""One cell: several times the longest text that a point may have."""


class Row(NamedTuple):
    """One row that is not empty.

    Args:
        place: `"row 7"`.
        cells: Its cells as text, without surrounding blanks.
    """

    place: str
    cells: list[str]


class TableText(NamedTuple):
    """A table as it was found.

    Args:
        file: Its name for problems.
        rows: The heading first.
        problems: What made rows unreadable; the rows before it are there.
    """

    file: str
    rows: list[Row]
    problems: list[Problem]


def read_table(path: Path, missing: str, delimiter: str = ",", encoding: str = "") -> TableText:
    """Read a table; a name that ends in `.xlsx` says that it is a workbook.

    Args:
        path: The file.
        missing: What to do when there is no such file, as a phrase for the problem.
        delimiter: What separates cells in a CSV file.
        encoding: An encoding instead of UTF-8 for a CSV file, or empty.

    Raises:
        InputError: It cannot be read, or is not such a file at all.
    """
    file = str(path)
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        if not path.exists():
            raise InputError([Problem(file, "file", "", missing)])
        return _read_xlsx(path, file)
    text = read_text(path, file, limits.TABLE_BYTES_MAX, missing, encoding)
    return parse_csv(text, file, delimiter)


def parse_csv(text: str, file: str, delimiter: str = ",", *, can_choose: bool = True) -> TableText:
    """Split CSV text into rows.

    Args:
        text: The table.
        file: Its name for problems.
        delimiter: What separates cells.
        can_choose: Whether the operator can name another delimiter (as for a point table).

    Raises:
        InputError: Another delimiter is in use.
    """
    _check_delimiter(text, file, delimiter, can_choose)
    rows: list[Row] = []
    problems: list[Problem] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number, began = 0, 1
    try:
        for number, cells in enumerate(reader, 1):
            place = f"row {number}" if began == number else f"row {number} (line {began})"
            began = reader.line_num + 1
            _append(rows, problems, file, place, [cell.strip() for cell in cells])
            if len(rows) > limits.TABLE_POINTS_MAX + 1:
                break
    except csv.Error as error:
        expected = 'cells whose quotes close; write a quote inside a quoted cell twice ("")'
        if "field limit" in str(error):
            expected = f"at most {CELL_CHARS_MAX} characters in a cell; is a quote missing?"
        place = f"row {number + 1}" if began == number + 1 else f"row {number + 1} (line {began})"
        problems.append(Problem(file, place, f"{error}", expected))
    return TableText(file, rows, problems)


def _append(rows: list[Row], problems: list[Problem], file: str, place: str, cells: list[str]) -> None:
    while cells and not cells[-1]:
        cells.pop()
    if not cells:
        return
    if len(cells) > COLUMNS_MAX:
        problems.append(Problem(file, place, f"{len(cells)} cells", f"at most {COLUMNS_MAX} columns"))
        cells = cells[:COLUMNS_MAX]
    for index, cell in enumerate(cells):
        if len(cell) > CELL_CHARS_MAX:
            expected = f"at most {CELL_CHARS_MAX} characters; is a quote missing?"
            problems.append(Problem(file, f"{place}, cell {index + 1}", f"{len(cell)} characters", expected))
            cells[index] = ""
    rows.append(Row(place, cells))


_DELIMITERS = {
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    ",": "commas",
    "，": "full-width commas",
}


def _check_delimiter(text: str, file: str, delimiter: str, can_choose: bool) -> None:
    head = text.lstrip("\r\n").split("\n", 1)[0].strip("\r")
    if head.lower().startswith("sep="):
        raise InputError([Problem(file, "row 1", head, "the heading; remove the line that begins with sep=")])
    if delimiter in head:
        return
    counts = {other: head.count(other) for other in _DELIMITERS if other != delimiter}
    other, count = max(counts.items(), key=lambda item: item[1])
    if count >= 2:
        found = f"cells separated by {_DELIMITERS[other]}"
        remedy = f"{_DELIMITERS.get(delimiter, repr(delimiter))}; save it as CSV UTF-8 (comma delimited)"
        if can_choose and other in ";\t|":
            shown = "tab" if other == "\t" else other
            remedy += f", or: catchment-edge points import FILE --delimiter '{shown}'"
        raise InputError([Problem(file, "row 1", found, remedy)])


def _read_xlsx(path: Path, file: str) -> TableText:
    _check_zip(path, file)
    try:
        import openpyxl
    except ImportError as error:
        expected = "the package openpyxl to read workbooks; install catchment[edge], or save it as CSV UTF-8"
        raise InputError([Problem(file, "file", "an Excel workbook", expected)]) from error
    rows: list[Row] = []
    problems: list[Problem] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and validations that we do not use
            with (
                closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as results,
                closing(openpyxl.load_workbook(path, read_only=True)) as formulas,
            ):
                pairs = zip(_sheet_rows(results), _sheet_rows(formulas), strict=True)
                for number, (cells, written) in enumerate(pairs, 1):
                    texts = [_cell(*both) for both in zip(cells, written, strict=True)]
                    _append(rows, problems, file, f"row {number}", texts)
                    if len(rows) > limits.TABLE_POINTS_MAX + 1:
                        break
    except Exception as error:  # the library raises a dozen kinds for damaged files
        reason = f"a damaged workbook ({type(error).__name__})"
        expected = "a workbook that opens in a spreadsheet; save it again, or as CSV UTF-8"
        raise InputError([Problem(file, "file", reason, expected)]) from error
    return TableText(file, rows, problems)


def _check_zip(path: Path, file: str) -> None:
    """A workbook is a zip file: refuse what is none, and what would fill the memory when unpacked."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        expected = "an Excel workbook (.xlsx); save it again, or name a CSV file .csv"
        raise InputError([Problem(file, "file", "no workbook", expected)]) from error
    if unpacked > 4 * limits.TABLE_BYTES_MAX:
        expected = (
            f"a workbook of at most {4 * limits.TABLE_BYTES_MAX} bytes; keep only the point table in it"
        )
        raise InputError([Problem(file, "file", f"{unpacked} bytes when unpacked", expected)])


def _sheet_rows(book: Any) -> Iterator[Sequence[Any]]:
    sheet = book["points"] if "points" in book.sheetnames else book.worksheets[0]
    sheet.reset_dimensions()
    yield from sheet.iter_rows(max_col=COLUMNS_MAX)


_EMPTY_TEXT = "str"
"""What openpyxl leaves as the type of a formula whose result is a text of no characters."""


def _cell(result: Any, written: Any) -> str:
    """A cell as text; a formula that no program has calculated yet as what it is, and not as empty."""
    value = result.value
    if value is None:
        calculated = written.value is None or result.data_type == _EMPTY_TEXT
        return "" if calculated else str(getattr(written.value, "text", written.value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat()
    return str(value).strip()


def format_number(value: float) -> str:
    """A number as briefly as it can be written without loss.

    >>> format_number(40001.0), format_number(0.1), format_number(1e300)
    ('40001', '0.1', '1e+300')
    """
    if math.isfinite(value) and value == int(value) and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def write_csv(rows: Sequence[Sequence[str]]) -> str:
    """Rows as CSV text, in the form that `parse_csv` reads."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_xlsx(path: Path, rows: Sequence[Sequence[str | float]], title: str) -> None:
    """Write rows into a new workbook; texts stay texts, whatever they begin with.

    Raises:
        InputError: The package for workbooks is missing.
    """
    try:
        import openpyxl
        from openpyxl.cell import WriteOnlyCell
    except ImportError as error:
        expected = "the package openpyxl to write workbooks; install catchment[edge], or write a .csv file"
        raise InputError([Problem(str(path), "file", "an Excel workbook", expected)]) from error
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    for row in rows:
        cells = []
        for value in row:
            cell = WriteOnlyCell(sheet, value if value != "" else None)
            if isinstance(value, str) and value:
                cell.data_type = "s"
                cell.number_format = "@"
            cells.append(cell)
        sheet.append(cells)
    book.save(path)
