"""From a rule source to its syntax tree, and to every mistake in its form.

Rules:
1. All mistakes are found that can be found: behind one, reading goes on as `recovery` says
   (up to `FAULTS_MAX`).
2. A fault names the place, what may stand there, and often the likely slip.
3. What could be read is a tree even so, so that `check` can tell what else is wrong.

>>> parse("PROGRAM p VAR x : INT; END_VAR x := 1 + ; END_PROGRAM")
Traceback (most recent call last):
edge_runtime.rules.reading.errors.RuleError: line 1, column 41: expected a value or '(', got ';'
    PROGRAM p VAR x : INT; END_VAR x := 1 + ; END_PROGRAM
                                            ^
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from lark import Lark, Token
from lark.exceptions import UnexpectedToken

from edge_runtime.rules import limits
from edge_runtime.rules.reading import slips
from edge_runtime.rules.reading.comments import blank_comments
from edge_runtime.rules.reading.errors import Fault, RuleError
from edge_runtime.rules.reading.expectations import end_of, expected, hint_at
from edge_runtime.rules.reading.recovery import (
    ALIEN,
    OPENERS,
    SECTIONS,
    Parser,
    Repair,
    repair,
    skip,
    skip_to_word,
)
from edge_runtime.rules.reading.syntax import Source, Span
from edge_runtime.rules.reading.treebuild import Builder, span_of

_SLIPS = {
    "EQ": ("__ANON_0", ":=", "a value is assigned with ':='"),
    "__ANON_0": ("EQ", "=", "values are compared with '='"),
}


class Reading(NamedTuple):
    """What became of a source.

    Args:
        source: What could be read, or `None`.
        faults: Mistakes in its form.
        skipped: Keys of the names in what could not be read: what is said of them is an echo.
    """

    source: Source | None
    faults: Sequence[Fault]
    skipped: frozenset[str]


def parse(text: str, file: str = "") -> Source:
    """Read a source.

    Args:
        text: Structured Text.
        file: Its name, for messages.

    Raises:
        RuleError: With every mistake in its form.
    """
    reading = read(text, file)
    if reading.faults or reading.source is None:
        raise RuleError(reading.faults)
    return reading.source


def read(text: str, file: str = "") -> Reading:
    """Read as much of a source as can be read.

    Args:
        text: Structured Text.
        file: Its name, for messages.
    """
    return _Reading(text.removeprefix("\ufeff"), file).result()


@cache
def _grammar() -> Lark:
    path = Path(__file__).with_name("grammar.lark")
    callbacks = {"NAME": _keyword}
    return Lark(path.read_text(encoding="utf-8"), parser="lalr", lexer="basic", lexer_callbacks=callbacks)


def _keyword(token: Token) -> Token:
    word = token.upper()
    if word in slips.KEYWORDS:
        return Token.new_borrow_pos(word, token.value, token)
    if word in slips.FORBIDDEN:
        return Token.new_borrow_pos("FORBIDDEN", token.value, token)
    return token


class _Reading:
    """One source on its way to a tree."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._lines = text.split("\n")
        self._text = text
        self._faults: list[Fault] = []
        self._skipped: set[str] = set()
        self._told: set[str] = set()
        self._tokens: list[Token] = []
        self._mended = self._fed = -1
        self._mends = 0

    def result(self) -> Reading:
        source = None
        tree = self._tree()
        if tree is not None:
            source = Builder(self._fault).source(tree)
        return Reading(source, self._faults, frozenset(self._skipped))

    def _tree(self) -> Any:
        if len(self._text) > limits.SOURCE_CHARS_MAX:
            self._fault(Span(1, 1, 2), f"expected at most {limits.SOURCE_CHARS_MAX} characters")
            return None
        long = next((n for n, line in enumerate(self._lines, 1) if len(line) > limits.LINE_CHARS_MAX), 0)
        if long:
            self._fault(Span(long, 1, 2), f"expected at most {limits.LINE_CHARS_MAX} characters in a line")
            return None
        plain, unclosed = blank_comments(self._text)
        if unclosed is not None:
            self._fault(unclosed, "this comment is not closed", "close it with '*)'")
            return None
        interactive: Any = _grammar().parse_interactive(plain)
        if not self._take_in(interactive.lexer_thread.lex(interactive.parser_state)):
            return None
        last = self._tokens[-1] if self._tokens else None
        end = Token.new_borrow_pos("$END", "", last) if last else Token("$END", "", 0, 1, 1)
        self._tokens.append(end)
        return self._fed_to(Parser(interactive))

    def _take_in(self, tokens: Iterable[Token]) -> bool:
        """Take the tokens; whether nothing nests too deep or runs on too long without an end."""
        depth = run = 0
        for token in tokens:
            self._tokens.append(token)
            if token.type == "NAME" and len(token) > limits.NAME_CHARS_MAX and str(token) not in self._told:
                self._told.add(str(token))
                self._fault(span_of(token), f"expected a name of at most {limits.NAME_CHARS_MAX} characters")
            depth += (token.type in _OPENERS) - (token.type in _CLOSERS)
            run = 0 if token.type == "SEMICOLON" else run + 1
            if depth > limits.NESTING_MAX:
                self._fault(span_of(token), f"expected at most {limits.NESTING_MAX} levels of nesting")
            elif run > limits.STATEMENT_TOKENS_MAX:
                what = f"expected a ';' after at most {limits.STATEMENT_TOKENS_MAX} words and signs"
                self._fault(span_of(token), what, "split it into several statements")
            elif len(self._tokens) > limits.TOKENS_MAX:
                self._fault(span_of(token), f"expected at most {limits.TOKENS_MAX} words and signs")
            else:
                continue
            return False
        return True

    def _fed_to(self, parser: Parser) -> Any:
        at, tree = 0, None
        while at < len(self._tokens):
            try:
                tree = parser.feed(self._tokens[at])
                self._fed, at = at, at + 1
            except UnexpectedToken:
                self._mends += 1
                if len(self._faults) >= limits.FAULTS_MAX or self._mends > 4 * limits.FAULTS_MAX:
                    return None
                at = self._mend(parser, at)
        return tree

    # -- behind a mistake ----------------------------------------------------------------------------

    def _mend(self, parser: Parser, at: int) -> int:
        """Tell a fault and bring the parser to where it can go on. Returns with which token."""
        token = self._tokens[at]
        if at == self._mended:  # no way to go on was found with this token: go on without it
            self._skip(at, at + 1)
            self._mended = at + 1
            return at if token.type == "$END" and not self._closed(parser) else at + 1
        loud = self._mended < 0 or self._fed >= self._mended
        self._mended = at
        left_out = self._left_out(parser, at, loud=loud)
        if left_out is not None:
            return left_out
        if at and self._is_end_in_two_words(parser, at):
            return at + 1
        if at and self._ends_declarations(parser, at):
            return at - 1
        found = repair(parser, self._tokens, at, self._replacements(token))
        if loud:
            self._tell(parser, at, found)
        if found is not None:
            return self._put(parser, found.puts, at + found.drops)
        bad = self._give_up(parser)
        behind = at
        if bad == "BAD_STATEMENT" and token.type in ("COLON", "COMMA"):  # a declaration among statements
            behind = skip_to_word(self._tokens, at, "", "END_VAR")
        if behind == at:
            behind = skip(self._tokens, at, bad)
        self._skip(at, behind)
        return self._put(parser, (Token.new_borrow_pos(bad, "", token),), behind)

    def _is_end_in_two_words(self, parser: Parser, at: int) -> bool:
        """Whether `END IF` stands for `END_IF`: then that is put in."""
        last, token = self._tokens[at - 1], self._tokens[at]
        end = OPENERS.get(token.type, "")
        if last.upper() != "END" or not self._is_open(parser, end):
            return False
        self._give_up(parser)  # the name END
        put = Token.new_borrow_pos(end, end, token)
        if not parser.would_take((put,)):
            return False
        self._fault(span_of(last), f"expected {end}, got '{last} {token}'", "write it in one word")
        parser.feed(put)
        return True

    def _ends_declarations(self, parser: Parser, at: int) -> bool:
        """Whether a statement stands among declarations: then END_VAR is put in before it."""
        name, token = self._tokens[at - 1], self._tokens[at]
        if name.type != "NAME" or token.type not in ("LPAR", "LSQB", "__ANON_0"):
            return False
        section = next((word for word in parser.opened() if word.type in OPENERS), None)
        if section is None or section.type not in SECTIONS or parser.give_up()[0] != "BAD_DECLARATION":
            return False
        end = Token.new_borrow_pos("END_VAR", "END_VAR", name)
        if parser.would_take((end, name, token)) < 3:
            return False
        hint = f"it is missing before {str(name)!r} in line {name.line}"
        self._fault(span_of(section), f"expected END_VAR for this {section.type}", hint)
        parser.feed(end)
        return True

    def _give_up(self, parser: Parser, first: str = "") -> str:
        bad, given_up = parser.give_up(first)
        self._skipped |= {token.upper() for token in given_up}
        return bad

    def _closed(self, parser: Parser) -> bool:
        """At the end of the source, when nothing else helps."""
        return bool(parser.would_take([self._tokens[-1]]))

    def _put(self, parser: Parser, tokens: Sequence[Token], behind: int) -> int:
        for token in tokens:
            parser.feed(token)
        return behind

    def _skip(self, begin: int, end: int) -> None:
        self._skipped |= {token.upper() for token in self._tokens[begin:end]}

    def _left_out(self, parser: Parser, at: int, *, loud: bool) -> int | None:
        """Go on behind something that this language leaves out; `None` when that is not it."""
        token = self._tokens[at]
        if token.type == "FORBIDDEN":
            hint, begin = slips.FORBIDDEN[token.upper()], at
        elif (
            at
            and token.type in ("NAME", "TO", "SEMICOLON")
            and self._tokens[at - 1].upper() in slips.LEFT_OUT
        ):
            hint, begin = slips.LEFT_OUT[self._tokens[at - 1].upper()], at - 1
        elif token.upper() == "AT":
            hint, begin = slips.LEFT_OUT["AT"], at
        else:
            return None
        word = self._tokens[begin]
        if loud:
            self._fault(span_of(word), f"{word.upper()} does not exist in this language", hint)
        section = word.upper().startswith("VAR_")
        bad = self._give_up(parser, "BAD_SECTION" if section else "")
        end = slips.ENDS.get(word.upper())
        behind = skip_to_word(self._tokens, begin, word.upper(), end) if end else begin
        if behind == begin:
            behind = skip(self._tokens, at, "BAD_STATEMENT" if bad == "BAD_HEAD" else bad)
        self._skip(begin, behind)
        return self._put(parser, (Token.new_borrow_pos(bad, "", word),), behind)

    def _replacements(self, token: Token) -> list[Token]:
        if token.type in _SLIPS:
            type_, text, _ = _SLIPS[token.type]
            return [Token.new_borrow_pos(type_, text, token)]
        if token.type in ALIEN:
            meant = slips.meant_by(str(token))
            if meant.type is None or (meant.text == "''" and str(token).startswith("'")):
                return []
            return [Token.new_borrow_pos(meant.type, meant.text, token)]
        if token.type in slips.KEYWORDS:
            return [Token.new_borrow_pos("NAME", token.value, token)]
        return []

    # -- what is told --------------------------------------------------------------------------------

    def _tell(self, parser: Parser, at: int, found: Repair | None) -> None:
        token, last = self._tokens[at], self._tokens[at - 1] if at else None
        span, put = span_of(token), found.puts[0].type if found is not None and found.puts else ""
        if token.type in ALIEN:
            self._tell_alien(token)
        elif token.type in slips.KEYWORDS and put == "NAME":
            if token.upper() not in self._told:
                hint = f"{token.upper()} is a keyword and cannot be a name"
                self._fault(span, f"expected a name, got {str(token)!r}", hint)
            self._told.add(token.upper())
        elif token.type in _SLIPS and put == _SLIPS[token.type][0]:
            _, sign, hint = _SLIPS[token.type]
            self._fault(span, f"expected {sign!r}, got {str(token)!r}", hint)
        elif put in ("SEMICOLON", "THEN", "DO", "OF") and last is not None:
            what = "';'" if put == "SEMICOLON" else put
            hint = "every statement and declaration ends with ';'" if put == "SEMICOLON" else ""
            self._fault(end_of(last), f"expected {what} after this", hint)
        elif put in OPENERS.values() and found is not None:
            self._tell_unclosed(parser, at, found)
        elif token.type.startswith("END_") and found is None and not self._is_open(parser, token.type):
            opener = next(word for word, end in OPENERS.items() if end == token.type)
            self._fault(span, f"expected no {token.type} here", f"there is no {opener} that it closes")
        else:
            self._tell_unexpected(parser, at, found)

    def _tell_alien(self, token: Token) -> None:
        if token.upper() in self._told and len(token) > 1:
            return
        self._told.add(token.upper())
        self._skipped.add(token.upper())
        meant = slips.meant_by(str(token))
        self._fault(span_of(token), meant.what, meant.hint)

    def _tell_unclosed(self, parser: Parser, at: int, found: Repair) -> None:
        token = self._tokens[at]
        openers = [word for word in parser.opened() if word.type in OPENERS]
        ends = [put for put in found.puts if put.type != "SEMICOLON"]
        for opener, end in zip(openers, ends, strict=False):
            place = (
                f"{token.upper()} in line {token.line}" if token.type != "$END" else "the end of the source"
            )
            hint = f"it is missing before {place}"
            if opener.type == "IF" and self._has_else_if(opener, at):
                hint = "ELSE IF begins another IF with an END_IF of its own; write ELSIF"
            self._fault(span_of(opener), f"expected {end.type} for this {opener.type}", hint)

    def _has_else_if(self, opener: Token, at: int) -> bool:
        begin = next(n for n, token in enumerate(self._tokens) if token is opener)
        between = self._tokens[max(0, begin - 1) : at]
        return any(
            one.type == "ELSE" and two.type == "IF" and one.line == two.line for one, two in pairwise(between)
        )

    @staticmethod
    def _is_open(parser: Parser, end: str) -> bool:
        return any(OPENERS.get(word.type) == end for word in parser.opened())

    def _tell_unexpected(self, parser: Parser, at: int, found: Repair | None) -> None:
        token, last = self._tokens[at], self._tokens[at - 1] if at else None
        accepted = parser.accepts()
        what = f"expected {expected(accepted)}"
        hint = hint_at(self._tokens, at, accepted)
        if found is not None and not found.puts:
            what = f"expected no {str(token)!r} here"
            hint = "there is no '(' that it closes" if token.type == "RPAR" else hint
            self._fault(span_of(token), what, hint)
            return
        if found is not None and found.puts[0].type in ("RPAR", "RSQB"):
            bracket = "(" if found.puts[0].type == "RPAR" else "["
            what = f"expected {str(found.puts[0])!r}"
            hint = hint or self._opened_where(parser, bracket)
        if token.type == "$END" and last is not None:
            self._fault(end_of(last), f"{what} after this", hint)
            return
        self._fault(span_of(token), f"{what}, got {str(token)!r}", hint)

    def _opened_where(self, parser: Parser, bracket: str) -> str:
        opener = next((each for each in parser.opened() if str(each) == bracket), None)
        return "" if opener is None else f"the {bracket!r} in column {opener.column} is not closed"

    def _fault(self, span: Span, what: str, hint: str = "") -> None:
        line = self._lines[span.line - 1] if span.line <= len(self._lines) else ""
        self._faults.append(Fault.clipped(span, what, hint, line.rstrip("\r"), self._file))


_OPENERS = {"LPAR", "LSQB", "IF", "CASE", "FOR"}
_CLOSERS = {"RPAR", "RSQB", "END_IF", "END_CASE", "END_FOR"}
