"""Cells of CSV files that people open in spreadsheets."""

from __future__ import annotations

FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with, also in the full width that spreadsheets of East Asia take for it."""


def cell(value: object) -> str:
    """A cell of a CSV file (RFC 4180); text that a spreadsheet would take for a formula is kept from it.

    Source: OWASP, "CSV Injection".

    >>> cell(1.5), cell(None), cell('a "b", c'), cell("=1+1"), cell(-2.5), cell(" @x")
    ('1.5', '', '"a ""b"", c"', "'=1+1", '-2.5', "' @x")
    """
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, str) and (text.strip()[:1] in FORMULAS or text[:1] in ("\t", "\r", "\n")):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
