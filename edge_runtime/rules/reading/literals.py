"""Literals: from their spelling to their value (docs/rules-reference.md, section 2)."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from edge_runtime.rules import limits
from edge_runtime.rules.reading import syntax
from edge_runtime.rules.reading.syntax import Span

BITS = {"INT": 16, "DINT": 32, "LINT": 64}
"""Widths of the integer types."""

INTEGER_CHARS_MAX = 100
"""64 bits in base 2, and some zeros before them."""

DURATION_CHARS_MAX = 100
"""All units with 18 digits each; Python refuses to read numbers of thousands."""

_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_PART = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)(ms|[dhms])")


class LiteralFaultError(Exception):
    """A literal that means nothing.

    Args:
        what: What was expected.
        hint: What to write.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def read(kind: str, spelling: str, span: Span) -> syntax.Expression:
    """A literal by the name of its grammar rule.

    Raises:
        LiteralFaultError: It means nothing.
    """
    match kind:
        case "integer":
            return syntax.IntLiteral(_integer(spelling), None, span)
        case "real":
            return syntax.RealLiteral(_real(spelling), None, span)
        case "boolean":
            return syntax.BoolLiteral(spelling.upper() == "TRUE", span)
        case "duration":
            return syntax.TimeLiteral(duration(spelling), span)
        case "text":
            return syntax.TextLiteral(_text(spelling), span)
        case _:
            return _typed(spelling, span)


def _joined(spelling: str) -> str:
    """Digits without their separators (IEC 61131-3, 6.3.2: one underline at a time, between digits)."""
    if re.search(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])", spelling):
        hint = "1_000_000, 16#FF_00 or T#1h_30m"
        raise LiteralFaultError(
            f"expected underlines one at a time and between digits, got {spelling!r}", hint
        )
    return spelling.replace("_", "")


def text(spelling: str) -> str:
    """A text literal without its quotes and escapes."""
    return re.sub(r"\$(.)", r"\1", spelling[1:-1])


def _text(spelling: str) -> str:
    for escape in re.findall(r"\$.", spelling[1:-1]):
        if escape not in ("$'", "$$"):
            raise LiteralFaultError(f"expected $' or $$ in a text, got {escape!r}", "a dollar is written $$")
    value = text(spelling)
    if len(value) > limits.TEXT_CHARS_MAX:
        raise LiteralFaultError(f"expected at most {limits.TEXT_CHARS_MAX} characters in a text")
    return value


def _integer(spelling: str) -> int:
    base, mark, digits = spelling.partition("#")
    if not mark:
        base, digits = "10", spelling
    plain = _joined(digits)
    if len(plain) > INTEGER_CHARS_MAX:
        raise LiteralFaultError("expected an integer of at most 64 bits")
    try:
        value = int(plain, int(base))
    except ValueError:
        raise LiteralFaultError(f"expected digits of base {base} after '#', got {digits!r}") from None
    if value > 1 << 63:
        raise LiteralFaultError("expected an integer of at most 64 bits")
    return value


def _real(spelling: str) -> float:
    value = float(_joined(spelling))
    if math.isinf(value):
        raise LiteralFaultError("expected a number within LREAL, at most 1.797E308")
    return value


def duration(spelling: str) -> int:
    """Milliseconds of a time literal.

    >>> duration("T#1m30s")
    90000

    Raises:
        LiteralFaultError: It means nothing.
    """
    body = spelling.partition("#")[2].lower()
    sign = -1 if body.startswith("-") else 1
    body = _joined(body.lstrip("-+"))
    if len(body) > DURATION_CHARS_MAX:
        raise LiteralFaultError(f"expected a time of at most {DURATION_CHARS_MAX} characters")
    total, at, order = Fraction(0), 0, list(_UNITS_MS)
    for part in _PART.finditer(body):
        number, unit = part.groups()
        if part.start() != at or unit not in order or ("." in number and part.end() != len(body)):
            break
        order = order[order.index(unit) + 1 :]
        total += Fraction(number) * _UNITS_MS[unit]
        at = part.end()
    if not body or at != len(body):
        hint = "units d, h, m, s, ms in this order, each once; only the last may have decimals"
        raise LiteralFaultError(f"expected a time such as T#1m30s, got {spelling!r}", hint)
    if total.denominator != 1:
        raise LiteralFaultError("expected whole milliseconds")
    if total >= 1 << 63:
        raise LiteralFaultError("expected a time of at most 64 bits of milliseconds")
    return sign * int(total)


def _typed(spelling: str, span: Span) -> syntax.Expression:
    prefix, _, body = spelling.partition("#")
    type_ = prefix.upper()
    sign = -1 if body.startswith("-") else 1
    body = body.lstrip("+-")
    if type_ == "BOOL":
        known = {"0": False, "1": True, "FALSE": False, "TRUE": True}
        if body.upper() not in known:
            raise LiteralFaultError(f"expected BOOL#TRUE or BOOL#FALSE, got {spelling!r}")
        return syntax.BoolLiteral(known[body.upper()], span)
    if type_ in BITS:
        if not re.fullmatch(r"(2|8|16)#[0-9A-Fa-f_]+|[0-9][0-9_]*", body):
            raise LiteralFaultError(f"expected an integer after {type_}#, got {body!r}")
        value = sign * _integer(body)
        bits = BITS[type_]
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            if "#" in body and 0 <= value < 1 << bits:  # the bits of a negative number
                value -= 1 << bits
            else:
                raise LiteralFaultError(f"expected a value within {type_}, got {value}")
        return syntax.IntLiteral(value, type_, span)
    if not re.fullmatch(r"[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][+-]?[0-9]+)?", body):
        raise LiteralFaultError(f"expected a number after {type_}#, got {body!r}")
    return syntax.RealLiteral(sign * _real(body), type_, span)
