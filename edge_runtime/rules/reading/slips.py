"""Likely slips: what was written, what was probably meant, and how it is written here.

Most come from other languages (C, Python, other PLCs' Structured Text) or from keyboards.
"""

from __future__ import annotations

import re
import unicodedata
from math import isfinite
from typing import NamedTuple

KEYWORDS = frozenset(
    {
        "PROGRAM", "END_PROGRAM", "FUNCTION", "END_FUNCTION", "FUNCTION_BLOCK", "END_FUNCTION_BLOCK", "VAR",
        "VAR_INPUT", "VAR_OUTPUT", "END_VAR", "CONSTANT", "RETAIN", "ARRAY", "OF", "IF", "THEN", "ELSIF",
        "ELSE", "END_IF", "CASE", "END_CASE", "FOR", "TO", "BY", "DO", "END_FOR", "OR", "XOR", "AND", "NOT",
        "MOD", "TRUE", "FALSE",
    }
)  # fmt: skip
"""Words that are no names."""

_BOUNDED = "time must be bounded: use FOR with constant bounds"
_SHARED = "programs share nothing: bind an output to another program's input"

FORBIDDEN = {
    "WHILE": _BOUNDED,
    "REPEAT": _BOUNDED,
    "GOTO": "use IF or CASE",
    "EXIT": "use IF inside the loop",
    "RETURN": "use IF around what follows",
    "VAR_IN_OUT": "use VAR_INPUT and VAR_OUTPUT",
    "VAR_GLOBAL": _SHARED,
    "VAR_EXTERNAL": _SHARED,
    "VAR_TEMP": "use VAR: what need not live from scan to scan costs no state",
    "TYPE": "there are no types of one's own; use elementary types and arrays",
    "STRUCT": "there are no structures; use single variables or arrays",
}
"""Structured Text that this language leaves out, and what to write instead. No names either."""

ENDS = {
    "WHILE": "END_WHILE", "REPEAT": "END_REPEAT", "VAR_IN_OUT": "END_VAR", "VAR_GLOBAL": "END_VAR",
    "VAR_EXTERNAL": "END_VAR", "VAR_TEMP": "END_VAR", "TYPE": "END_TYPE", "STRUCT": "END_STRUCT",
    "METHOD": "END_METHOD", "CLASS": "END_CLASS", "INTERFACE": "END_INTERFACE", "ACTION": "END_ACTION",
    "NAMESPACE": "END_NAMESPACE",
}  # fmt: skip
"""Where that which this language leaves out ends."""

LEFT_OUT = {
    "CONTINUE": "use IF inside the loop",
    "POINTER": "there are no pointers; use an array and an index",
    "REF_TO": "there are no references; use an array and an index",
    "REFERENCE": "there are no references; use an array and an index",
    "METHOD": "a block has one body; use several blocks or functions",
    "ACTION": "a block has one body; use several blocks or functions",
    "CLASS": "use FUNCTION_BLOCK",
    "INTERFACE": "use FUNCTION_BLOCK",
    "NAMESPACE": "names are those of one source",
    "AT": "inputs are bound to points in app.toml, not to addresses",
}
"""The same, of words that may be names: told only where they cannot be one."""

TYPES = {
    "SINT": "use INT", "USINT": "use INT", "BYTE": "use INT", "UINT": "use DINT", "WORD": "use DINT",
    "UDINT": "use LINT", "DWORD": "use LINT", "ULINT": "use LINT: 64 bits with a sign",
    "LWORD": "use LINT: 64 bits with a sign", "FLOAT": "use REAL (32 bits) or LREAL (64 bits)",
    "DOUBLE": "use LREAL", "INTEGER": "use INT, DINT or LINT", "BOOLEAN": "use BOOL", "LTIME": "use TIME",
    "DATE": "use TIME: NOW() counts from 1970", "TOD": "use TIME", "DT": "use TIME: NOW() counts from 1970",
    "TIME_OF_DAY": "use TIME", "DATE_AND_TIME": "use TIME: NOW() counts from 1970", "CHAR": "use STRING",
    "WSTRING": "use STRING", "ANY": "name the type",
}  # fmt: skip
"""Types of other Structured Text, and what is used here."""

FUNCTIONS = {
    "ADR": "there are no pointers; use an array and an index",
    "REF": "there are no references; use an array and an index",
    "POW": "use EXPT(x, y)", "POWER": "use EXPT(x, y)", "FABS": "use ABS(x)", "TIME": "use NOW()",
}  # fmt: skip
"""Functions of other languages."""

_SIGNS = {
    "!=": ("NE", "<>", "'not equal' is '<>'"),
    "==": ("EQ", "=", "values are compared with '='"),
    "&&": ("AND", "AND", "write AND"),
    "||": ("OR", "OR", "write OR"),
    "**": ("STAR", "*", "there is no '**'; use EXPT(x, y)"),
    "->": ("DOT", ".", "outputs of a block are read as name.Q"),
}
_NEXT = {
    "!": "'not equal' is '<>', 'not' is NOT",
    "%": "the remainder is MOD",
    "^": "there are no pointers; use EXPT(x, y) for a power",
    "|": "write OR",
    "?": "use IF or SEL(condition, a, b)",
    "'": "texts stand in single quotes within one line",
    "#": "a literal with its type is written INT#5, 16#FF or T#5s",
    "@": "inputs are bound to points in app.toml",
}
_ASCII = {
    ";": "SEMICOLON", ":": "COLON", ",": "COMMA", "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB",
    "+": "PLUS", "-": "MINUS", "*": "STAR", "/": "SLASH", "=": "EQ", "<": "LT", ">": "GT", ".": "DOT",
}  # fmt: skip
_DURATION = re.compile(r"[0-9][0-9_.]*(d|h|m|s|ms)([0-9][0-9.]*(h|m|s|ms))*", re.IGNORECASE)
_EXPONENT = re.compile(r"[0-9][0-9_]*e[0-9]*", re.IGNORECASE)


class Meant(NamedTuple):
    """What is no token of the language.

    Args:
        what: The fault.
        hint: What to write.
        type: The token that was probably meant, or `None` to go on without it.
        text: Its text.
    """

    what: str
    hint: str
    type: str | None
    text: str = ""


def meant_by(text: str) -> Meant:
    """The likely slip behind what is no token.

    >>> meant_by("!=")
    Meant(what="expected an operator, got '!='", hint="'not equal' is '<>'", type='NE', text='<>')
    """
    if text in _SIGNS:
        type_, sign, hint = _SIGNS[text]
        return Meant(f"expected an operator, got {text!r}", hint, type_, sign)
    if text[0] in "+-*/" and len(text) == 2:
        written = "y := y + 1" if text[0] == "+" else f"y := y {text[0]} x"
        return Meant(f"expected ':=', got {text!r}", f"write {written};", None)
    if text.startswith("%") and len(text) > 1:
        return Meant(f"expected no address, got {text!r}", LEFT_OUT["AT"], "NAME", "_")
    if text.startswith('"'):
        hint = f"texts stand in single quotes: '{text.strip(chr(34))}'"
        return Meant("expected a text in single quotes", hint, "TEXT", "''")
    if text.startswith("'") and len(text) > 1:
        hint = "a text ends in its line; a quote within it is written $'"
        return Meant("expected a quote at the end of the text", hint, "TEXT", "''")
    if "#" in text:
        hint = "literals with a type are BOOL#, INT#, DINT#, LINT#, REAL#, LREAL#, T#, 2#, 8# and 16#"
        return Meant(f"expected a literal of this language, got {text!r}", hint, "INTEGER", "0")
    if text[0] in "0123456789." or text[-1] == ".":
        return _number(text)
    return _sign(text)


def _number(text: str) -> Meant:
    if text.endswith("."):
        return Meant("expected a digit behind the point", f"write {text}0", "REAL", f"{text}0")
    if text.startswith("."):
        return Meant("expected a digit before the point", f"write 0{text}", "REAL", f"0{text}")
    if _DURATION.fullmatch(text):
        return Meant(f"expected a time, got {text!r}", f"write T#{text}", "DURATION", f"T#{text}")
    if _EXPONENT.fullmatch(text):
        digits, _, exponent = text.upper().partition("E")
        meant = f"{digits}.0E{exponent or 6}"
        fits = len(meant) < 40 and isfinite(float(meant))
        hint = f"a number with an exponent has a point: {meant if fits else '1.0E6'}"
        return Meant(f"expected a number, got {text!r}", hint, "REAL", "1.0")
    return Meant(f"expected a number or a name, got {text!r}", "names begin with a letter", "NAME", text)


def _sign(text: str) -> Meant:
    plain = unicodedata.normalize("NFKC", text)
    if plain in _ASCII and plain != text:
        hint = "this is a full-width sign; write the plain one"
        return Meant(f"expected {plain!r}, got {text!r}", hint, _ASCII[plain], plain)
    if text[0].isalnum() or len(text) > 1:
        hint = "names are of the letters A to Z, digits and '_'"
        return Meant(f"expected a name, got {text!r}", hint, "NAME", text)
    if text in "‘’“”":
        return Meant(f"expected no {text!r} here", "texts stand in plain single quotes: '...'", None)
    if text.isspace() or not text.isprintable():
        code = f"U+{ord(text):04X}"
        return Meant(f"expected no invisible character here, got {code}", "delete it", None)
    return Meant(f"expected no {text!r} here", _NEXT.get(text, ""), None)
