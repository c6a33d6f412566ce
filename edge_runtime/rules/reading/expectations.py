"""What may stand at a place, in words, and why something else does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lark import Token

from edge_runtime.rules.reading import slips
from edge_runtime.rules.reading.recovery import ALIEN, SECTIONS
from edge_runtime.rules.reading.syntax import Span

_SHOWN = {
    "NAME": "a name", "INTEGER": "an integer", "REAL": "a number", "TYPED": "a typed literal",
    "DURATION": "a time", "TEXT": "a text", "SEMICOLON": "';'", "COLON": "':'", "COMMA": "','", "LPAR": "'('",
    "RPAR": "')'", "LSQB": "'['", "RSQB": "']'", "LBRACE": "'{'", "RBRACE": "'}'", "DOT": "'.'",
    "__ANON_0": "':='", "__ANON_1": "'..'", "__ANON_2": "'=>'", "$END": "the end",
}  # fmt: skip
_VALUES = {"INTEGER", "REAL", "TYPED", "DURATION", "TEXT", "TRUE", "FALSE"}
_OPERATORS = {
    "OR", "XOR", "AND", "AMP", "EQ", "NE", "LT", "GT", "LE", "GE", "PLUS", "MINUS", "STAR", "SLASH", "MOD",
}  # fmt: skip
_STATEMENTS = {"NAME", "IF", "CASE", "FOR", "SEMICOLON"}


def hint_at(tokens: Sequence[Token], at: int, accepted: set[str]) -> str:
    """The likely slip; empty when there is none to be seen.

    Args:
        tokens: All of the source.
        at: Which does not fit.
        accepted: Types of tokens that would fit.
    """
    token, last = tokens[at], tokens[at - 1] if at else None
    if token.type in slips.KEYWORDS and "NAME" in accepted and not _VALUES <= accepted:
        if token.type in SECTIONS:
            return "declarations stand above all statements"
        return f"{token.upper()} is a keyword and cannot be a name"
    behind = tokens[at + 1] if at + 1 < len(tokens) else token
    if "PROGRAM" in accepted and "NAME" not in accepted:
        return "statements stand between PROGRAM and END_PROGRAM"
    if last is None:
        return ""
    if accepted == {"LPAR", "LSQB", "__ANON_0"}:
        return _hint_at_target(token, last)
    if token.type == "COMMA" and "RSQB" in accepted:
        return "arrays have one dimension"
    if token.type == "COMMA" and last.type == behind.type == "INTEGER":
        return f"decimals stand behind a point: {last}.{behind}"
    if token.type == "DOT" and last.type == "RSQB":
        return "there are no arrays of blocks: declare an instance for each"
    if token.type == "MINUS" and "COLON" in accepted:
        return "names are of the letters A to Z, digits and '_'"
    if token.type == "NAME" and "COLON" in accepted and "COMMA" in accepted:
        return "a declaration is written name : type;"
    if accepted == {"COLON"} and token.type in (*SECTIONS, "NAME", "IF", "FOR", "CASE"):
        return f"a function has a type: FUNCTION {last} : LREAL"
    if token.type == "NAME" and accepted == {"TEXT"}:
        return f"a unit stands in quotes: '{token}'"
    return ""


def _hint_at_target(token: Token, last: Token) -> str:
    if token.type in ("COLON", "COMMA"):
        return "declarations stand between VAR, VAR_INPUT or VAR_OUTPUT and END_VAR"
    if token.type == "DOT":
        return f"inputs of a block are given in its call: {last}(IN := x);"
    if token.type in _OPERATORS or token.type == "SEMICOLON":
        return "a value alone does nothing: assign it, y := ...;"
    return ""


def end_of(token: Token) -> Span:
    """The last character of a token."""
    end = token.end_column or 1
    return Span(token.end_line or 1, max(1, end - 1), end)


def expected(accepted: Iterable[str]) -> str:
    """The terminals that may stand somewhere, in a few words."""
    names = set(accepted)
    words: list[str] = []
    if names >= SECTIONS:
        names -= SECTIONS
        words.append("a declaration")
    if names >= _STATEMENTS:
        names -= _STATEMENTS
        words.append("a statement")
    if names >= _VALUES:
        names -= _VALUES | {"NAME", "MINUS", "NOT"}
        words.append("a value")
    if len(names & _OPERATORS) > 4:
        names -= _OPERATORS
        words.append("an operator")
    words += sorted(_SHOWN.get(name, name) for name in names if name not in ("FORBIDDEN", *ALIEN))
    shown = words[:6]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "nothing more"
