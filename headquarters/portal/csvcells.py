"""Cells of CSV files that people open in spreadsheets."""

from __future__ import annotations


def cell(value: object) -> str:
    """A cell of a CSV file (RFC 4180); text that a spreadsheet would take for a formula is kept from it.

    >>> cell(1.5), cell(None), cell('a "b", c'), cell("=1+1"), cell(-2.5)
    ('1.5', '', '"a ""b"", c"', "'=1+1", '-2.5')
    """
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t"):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
