"""One cell of a point table: its text to a value, or what was expected instead.

Spreadsheets change what people type: dates out of tag names, 4.0E+04 out of 40000, #REF!
out of formulas, 0,5 in half of Europe. Each is recognised and named with its remedy.

>>> number("0.5"), whole("12")
(0.5, 12)
>>> number("0,5")
Traceback (most recent call last):
    ...
protocols.cells.CellError: a number with a decimal point: 0.5
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from protocols.field.base import FieldType
from protocols.points import DeadbandUnit, Report


class CellError(ValueError):
    """A cell does not hold what it must; the message is what was expected."""


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_WHOLE = re.compile(r"\d{1,20}(\.0*)?")
_ERRORS = ("#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!")
_SCIENTIFIC = re.compile(r"\d(\.\d+)?E\+\d+")
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    r"\d{4}[-/]\d{1,2}[-/]\d{1,2}( 0?0:00(:00)?)?"
    rf"|\d{{1,2}}[-/]{_MONTH}([-/]\d{{2,4}})?|{_MONTH}[-/]\d{{1,4}}|\d{{1,2}}月\d{{1,2}}日",
    re.IGNORECASE,
)

TYPE_WORDS = {
    "float": "f32", "float32": "f32", "real": "f32", "single": "f32", "double": "f64", "float64": "f64",
    "lreal": "f64", "int": "int16", "short": "int16", "i16": "int16", "integer": "int16", "word": "uint16",
    "uint": "uint16", "u16": "uint16", "ushort": "uint16", "dint": "int32", "long": "int32", "i32": "int32",
    "dword": "uint32", "udint": "uint32", "u32": "uint32", "lint": "int64", "i64": "int64", "ulint": "uint64",
    "u64": "uint64", "lword": "uint64", "boolean": "bool", "bit": "bool", "coil": "bool", "text": "string",
    "str": "string", "char": "string", "byte": "uint16", "int8": "int16", "uint8": "uint16",
}  # fmt: skip
"""How others call our field types, for the suggestion."""

REPORT_WORDS = {
    "period": "always", "periodic": "always", "cyclic": "always", "on_change": "change", "changed": "change",
    "dead_band": "deadband", "swinging": "swinging_door", "sdt": "swinging_door",
    "compression": "swinging_door",
}  # fmt: skip
UNIT_WORDS = {
    "%": "percent",
    "abs": "absolute",
    "value": "absolute",
    "relative": "percent",
    "range": "percent",
}


def text(cell: str, chars_max: int) -> str:
    """A text of one line.

    Raises:
        CellError: Too long, or with characters that cannot be printed.
    """
    value = unicodedata.normalize("NFC", cell)
    if len(value) > chars_max:
        raise CellError(f"at most {chars_max} characters")
    if not value.isprintable():
        odd = next(character for character in value if not character.isprintable())
        raise CellError(f"printable text on one line; remove the character U+{ord(odd):04X}")
    return value


def tag(cell: str, chars_max: int, example: str) -> str:
    """A text that means something by its exact characters: a name or an address.

    Raises:
        CellError: Empty, unprintable, or changed by a spreadsheet.
    """
    if not cell:
        raise CellError(example)
    value = text(cell, chars_max)
    spoiled = spreadsheet_artefact(value)
    if spoiled:
        raise CellError(f"{example}; {spoiled}")
    return value


def spreadsheet_artefact(value: str) -> str:
    """What a spreadsheet made of a text and how to undo it, or an empty text.

    >>> spreadsheet_artefact("4.0E+04")
    'a spreadsheet shortened a number: format the column as text and type it again'
    >>> spreadsheet_artefact("FT-101")
    ''
    """
    if value.upper() in _ERRORS:
        return "this is a spreadsheet's error: correct the formula, or type the text itself"
    if value.startswith("="):
        return "this is a formula: save its value, not the formula"
    if _SCIENTIFIC.fullmatch(value):
        return "a spreadsheet shortened a number: format the column as text and type it again"
    if _DATE.fullmatch(value):
        return "a spreadsheet made a date of it: format the column as text and type it again"
    return ""


def number(cell: str) -> float:
    """A finite number with a decimal point.

    Raises:
        CellError: It is none.
    """
    plain = cell.replace("\u2212", "-")
    if _NUMBER.fullmatch(plain) and plain.isascii():
        value = float(plain)
        if math.isfinite(value):
            return value
        raise CellError("a number below 1.8e308")
    if cell.upper() in _ERRORS or cell.startswith("="):
        raise CellError(f"a number; {spreadsheet_artefact(cell)}")
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", cell) and not re.fullmatch(r"[+-]?0,\d+", cell):
        raise CellError(f"a number without thousands separators: {cell.replace(',', '')}")
    if re.fullmatch(r"[+-]?\d+,\d+", cell):
        raise CellError(f"a number with a decimal point: {cell.replace(',', '.')}")
    if re.fullmatch(r"[+-]?[\d.]+ ?%", cell):
        raise CellError(f"a number without the percent sign: {cell.rstrip('% ')}")
    folded = unicodedata.normalize("NFKC", cell)
    if folded != cell and _NUMBER.fullmatch(folded) and folded.isascii():
        raise CellError(f"a number in plain digits: {folded}")
    raise CellError("a number such as 0.1 or -40")


def whole(cell: str) -> int:
    """A whole number; `12.0`, as spreadsheets write it, is one.

    Raises:
        CellError: It is none.
    """
    if _WHOLE.fullmatch(cell) and cell.isascii():
        return int(cell.split(".")[0])
    raise CellError("a whole number such as 12, or nothing")


Word = TypeVar("Word", bound=StrEnum)


def word(cell: str, kind: type[Word], others: Mapping[str, str]) -> Word:
    """One of a few words, however it is capitalised.

    Args:
        cell: The cell.
        kind: The words.
        others: How others call them, for the suggestion.

    Raises:
        CellError: It is none of them.
    """
    plain = cell.lower().replace("-", "_").replace(" ", "_")
    try:
        return kind(plain)
    except ValueError:
        known = [str(member) for member in kind]
    near = [others[plain]] if plain in others else difflib.get_close_matches(plain[:40], known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise CellError("one of " + ", ".join(known) + hint)


def field_type(cell: str) -> FieldType:
    """The column `type`. Raises `CellError`."""
    return word(cell, FieldType, TYPE_WORDS)


def report(cell: str) -> Report:
    """The column `report`, `always` when empty. Raises `CellError`."""
    return word(cell, Report, REPORT_WORDS) if cell else Report.ALWAYS


def deadband_unit(cell: str) -> DeadbandUnit:
    """The column `deadband_unit`, `absolute` when empty. Raises `CellError`."""
    return word(cell, DeadbandUnit, UNIT_WORDS) if cell else DeadbandUnit.ABSOLUTE
