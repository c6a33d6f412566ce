"""From a rule source to its syntax tree, or to every mistake in its form.

Rules:
1. All mistakes are found that can be found: after one, reading goes on behind the next
   `;` or `END_...` (panic-mode recovery, up to `FAULTS_MAX`).
2. A fault names the place, what may stand there, and often the likely slip.

>>> parse("PROGRAM p VAR x : INT; END_VAR x := 1 + ; END_PROGRAM")
Traceback (most recent call last):
edge_runtime.rules.errors.RuleError: line 1, column 41: expected a value or '(', got ';'
    PROGRAM p VAR x : INT; END_VAR x := 1 + ; END_PROGRAM
                                            ^
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedInput, UnexpectedToken

from edge_runtime.rules import limits
from edge_runtime.rules.comments import blank_comments
from edge_runtime.rules.errors import Fault, RuleError
from edge_runtime.rules.syntax import Source, Span
from edge_runtime.rules.treebuild import Builder

KEYWORDS = frozenset(
    {
        "PROGRAM", "END_PROGRAM", "FUNCTION", "END_FUNCTION", "FUNCTION_BLOCK", "END_FUNCTION_BLOCK", "VAR",
        "VAR_INPUT", "VAR_OUTPUT", "END_VAR", "CONSTANT", "RETAIN", "ARRAY", "OF", "IF", "THEN", "ELSIF",
        "ELSE", "END_IF", "CASE", "END_CASE", "FOR", "TO", "BY", "DO", "END_FOR", "OR", "XOR", "AND", "NOT",
        "MOD", "TRUE", "FALSE",
    }
)  # fmt: skip
"""Words that are no names."""

FORBIDDEN = {
    "WHILE": "time must be bounded: use FOR with constant bounds",
    "REPEAT": "time must be bounded: use FOR with constant bounds",
    "GOTO": "use IF or CASE",
    "EXIT": "use IF inside the loop",
    "RETURN": "use IF around what follows",
    "VAR_IN_OUT": "use VAR_INPUT and VAR_OUTPUT",
    "VAR_GLOBAL": "programs share nothing: bind an output to another program's input",
    "VAR_EXTERNAL": "programs share nothing: bind an output to another program's input",
    "VAR_TEMP": "use VAR: what need not live from scan to scan costs no state",
    "TYPE": "there are no types of one's own; use elementary types and arrays",
    "STRUCT": "there are no structures; use single variables or arrays",
}
"""Structured Text that this language leaves out, and what to write instead."""

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
_SLIPS = {
    "EQ": ("__ANON_0", "a value is assigned with ':='"),
    "__ANON_0": ("EQ", "values are compared with '='"),
}


_DOUBLED = {
    ("*", "*"): "there is no '**'; use EXPT(x, y)",
    ("=", "="): "values are compared with '='",
    (":=", "="): "values are compared with '='",
}
_ALIEN = {
    "!": "'not equal' is '<>', 'not' is NOT",
    '"': "texts stand in single quotes",
    "%": "the remainder is MOD; inputs are bound to points, not to %I addresses",
    "^": "there are no pointers; use EXPT(x, y) for a power",
}


def parse(text: str, file: str = "") -> Source:
    """Read a source.

    Args:
        text: Structured Text.
        file: Its name, for messages.

    Raises:
        RuleError: With every mistake in its form.
    """
    return _Reading(text, file).source()


@cache
def _grammar() -> Lark:
    path = Path(__file__).with_name("grammar.lark")
    callbacks = {"NAME": _keyword}
    return Lark(path.read_text(encoding="utf-8"), parser="lalr", lexer="basic", lexer_callbacks=callbacks)


def _keyword(token: Token) -> Token:
    word = token.upper()
    if word in KEYWORDS:
        return Token.new_borrow_pos(word, token.value, token)
    if word in FORBIDDEN:
        return Token.new_borrow_pos("FORBIDDEN", token.value, token)
    return token


class _Reading:
    """One source on its way to a tree."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._lines = text.split("\n")
        self._text = text
        self._faults: list[Fault] = []

    def source(self) -> Source:
        if len(self._text) > limits.SOURCE_CHARS_MAX:
            self._fault(Span(1, 1, 2), f"expected at most {limits.SOURCE_CHARS_MAX} characters")
            raise RuleError(self._faults)
        plain, unclosed = blank_comments(self._text)
        if unclosed is not None:
            self._fault(unclosed, "this comment is not closed", "close it with '*)'")
            raise RuleError(self._faults)
        tree = self._tree(plain)
        if not self._faults:
            builder = Builder(self._fault)
            source = builder.source(tree)
        if self._faults:
            raise RuleError(self._faults)
        return source

    def _tree(self, plain: str) -> Any:
        interactive: Any = _grammar().parse_interactive(plain)
        tokens = _depth_bounded(interactive.lexer_thread.lex(interactive.parser_state))
        last: Token | None = None
        try:
            for token in tokens:
                try:
                    interactive.feed_token(token)
                except UnexpectedToken:
                    self._unexpected(interactive, token, last)
                    last = _recover(interactive, token, tokens)
                    if last is None or len(self._faults) >= limits.FAULTS_MAX:
                        return None
                    continue
                last = token
            return interactive.feed_eof(last)
        except _TooDeepError as error:
            self._fault(_span(error.token), f"expected at most {limits.NESTING_MAX} levels of nesting")
        except UnexpectedToken as error:
            self._unexpected(interactive, error.token, last)
        except UnexpectedInput as error:
            span = Span(error.line, error.column, error.column + 1)
            alien = self._lines[error.line - 1][error.column - 1]
            self._fault(span, f"expected no {alien!r} here", _ALIEN.get(alien, ""))
        return None

    def _unexpected(self, parser: Any, token: Token, last: Token | None) -> None:
        accepted = parser.accepts()
        if token.type == "FORBIDDEN":
            what = f"{token.upper()} does not exist in this language"
            self._fault(_span(token), what, FORBIDDEN[token.upper()])
            return
        span = _span(token)
        ends = token.type == "$END" or token.type.startswith("END_")
        if last is not None and (
            token.type == "$END" or ("SEMICOLON" in accepted and (ends or span.line > (last.end_line or 0)))
        ):
            end = last.end_column or 1
            span = Span(last.end_line or 1, max(1, end - 1), end)
            if "SEMICOLON" in accepted:
                self._fault(span, "expected ';' after this", "every statement and declaration ends with ';'")
                return
        found = "the end of the source" if token.type == "$END" else repr(str(token))
        hint = _hint(token, last, accepted)
        self._fault(span, f"expected {_expected(accepted)}, got {found}", hint)

    def _fault(self, span: Span, what: str, hint: str = "") -> None:
        line = self._lines[span.line - 1] if span.line <= len(self._lines) else ""
        self._faults.append(Fault(span, what, hint, line.rstrip("\r"), self._file))


def _hint(token: Token, last: Token | None, accepted: set[str]) -> str:
    """The likely slip."""
    slip = _SLIPS.get(token.type)
    if slip is not None and slip[0] in accepted:
        return slip[1]
    if token.type in KEYWORDS and "NAME" in accepted and not _VALUES <= accepted:
        return f"{token.upper()} is a keyword and cannot be a name"
    return _DOUBLED.get((str(last), str(token)), _ALIEN.get(str(token), ""))


class _TooDeepError(Exception):
    def __init__(self, token: Token) -> None:
        super().__init__()
        self.token = token


_OPENERS = {"LPAR", "LSQB", "IF", "CASE", "FOR"}
_CLOSERS = {"RPAR", "RSQB", "END_IF", "END_CASE", "END_FOR"}


def _depth_bounded(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens, up to where they nest too deep or run on too long without an end."""
    depth = run = 0
    for token in tokens:
        depth += (token.type in _OPENERS) - (token.type in _CLOSERS)
        run = 0 if token.type == "SEMICOLON" else run + 1
        if depth > limits.NESTING_MAX or run > limits.STATEMENT_TOKENS_MAX:
            raise _TooDeepError(token)
        yield token


def _recover(parser: Any, token: Token, tokens: Iterator[Token]) -> Token | None:
    """Take up reading at the next `;` or `END_...`. Returns that token, `None` at the end."""
    at: Token | None = token
    while at is not None:
        if at.type == "SEMICOLON" or at.type.startswith("END_"):
            state = parser.parser_state
            kept = list(state.state_stack), list(state.value_stack)
            while len(state.state_stack) > 1 and at.type not in parser.accepts():
                state.state_stack.pop()
                state.value_stack.pop()
            if at.type in parser.accepts():
                parser.feed_token(at)
                return at
            state.state_stack[:], state.value_stack[:] = kept
        at = next(tokens, None)
    return None


def _span(token: Token) -> Span:
    line, column = token.line or 1, token.column or 1
    end = token.end_column or column + 1
    return Span(line, column, end if token.end_line == line else column + 1)


def _expected(accepted: Iterable[str]) -> str:
    """The terminals that may stand somewhere, in a few words."""
    names = set(accepted)
    words: list[str] = []
    if names >= _VALUES:
        names -= _VALUES | {"NAME", "MINUS", "NOT"}
        words.append("a value")
    if len(names & _OPERATORS) > 4:
        names -= _OPERATORS
        words.append("an operator")
    words += sorted(_SHOWN.get(name, name) for name in names if name != "FORBIDDEN")
    shown = words[:6]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "nothing more"
