"""Goes on reading behind a mistake in form, so that all mistakes are told and none twice.

Rules:
1. First a repair of one token is tried: one put in, replaced or left out. It is taken when
   the tokens behind fit.
2. Otherwise what could not be read is skipped to its end (a statement to its `;`, the head
   of an IF to its THEN), and a token `BAD_...` of the grammar stands for it.
3. Names in what was skipped are remembered: that they are not declared is no fault of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedToken

LOOK_AHEAD = 6
"""Tokens behind a repair that must fit, unless a `;` comes before: more would hide the next mistake."""

OPENERS = {
    "IF": "END_IF", "FOR": "END_FOR", "CASE": "END_CASE", "VAR": "END_VAR", "VAR_INPUT": "END_VAR",
    "VAR_OUTPUT": "END_VAR", "PROGRAM": "END_PROGRAM", "FUNCTION": "END_FUNCTION",
    "FUNCTION_BLOCK": "END_FUNCTION_BLOCK",
}  # fmt: skip
"""What begins with a word and must end with another."""

ALIEN = frozenset({"ALIEN", "UNKNOWN_LITERAL", "UNKNOWN_SIGN"})
"""Types of what is no token of the language."""

UNITS = {"PROGRAM", "FUNCTION", "FUNCTION_BLOCK"}
SECTIONS = {"VAR", "VAR_INPUT", "VAR_OUTPUT"}
_STOPS = {"IF", "FOR", "CASE", "ELSE", "ELSIF", *SECTIONS, *UNITS, *OPENERS.values(), "$END"}
"""Where a statement or declaration without its `;` surely ends."""

_STOPS_AT_ONCE = {"ELSE", "ELSIF", *SECTIONS, *UNITS}
"""The same, where it is what did not fit."""

_ENDS = {"BAD_HEAD": ("THEN", "DO", "OF"), "BAD_CHOICE": ("COLON",)}
_BAD = ("BAD_HEAD", "BAD_STATEMENT", "BAD_DECLARATION", "BAD_CHOICE", "BAD_SECTION", "BAD_UNIT")


class Repair(NamedTuple):
    """A change of one place.

    Args:
        puts: Tokens to feed before reading goes on.
        drops: How many tokens of the source to leave out.
    """

    puts: tuple[Token, ...]
    drops: int


class Parser:
    """Lark's LALR parser, fed token by token.

    Args:
        interactive: Fresh from lark.
    """

    def __init__(self, interactive: Any) -> None:
        self._interactive = interactive
        self._state = interactive.parser_state
        self._before: tuple[list[Any], list[Any]] = [], []

    def feed(self, token: Token) -> Any:
        """Take a token in; at `$END` returns the tree.

        Raises:
            UnexpectedToken: It cannot stand here; the parser is as it was before.
        """
        state = self._state
        before = list(state.state_stack), list(state.value_stack)
        try:
            return state.feed_token(token, token.type == "$END")
        except UnexpectedToken:
            state.state_stack[:], state.value_stack[:] = before
            raise

    def accepts(self) -> set[str]:
        """The types of tokens that can stand here."""
        return {
            type_
            for type_ in self._row()
            if type_.isupper() and not type_.startswith("BAD_") and self.would_take([Token(type_, "")])
        }

    def would_take(self, tokens: Sequence[Token]) -> int:
        """How many of these tokens could be fed in a row."""
        stack = list(self._state.state_stack)
        for taken, token in enumerate(tokens):
            if not self._shifts(stack, token.type):
                return taken
        return len(tokens)

    def opened(self) -> Iterator[Token]:
        """Words and brackets that are not closed yet, the innermost first."""
        states, values = list(self._state.state_stack), list(self._state.value_stack)
        while (size := self._complete(states)) is not None:
            values[len(values) - size :] = [None]
        return (value for value in reversed(values) if isinstance(value, Token))

    def _complete(self, stack: list[Any]) -> int | None:
        """Do to a stack of states what must be done whatever follows: `END_IF;` closes its IF.

        Returns:
            Of how many parts it made one; `None` when nothing must be done.
        """
        states = self._state.parse_conf.states
        actions = {action for type_, action in states[stack[-1]].items() if type_.isupper()}
        if len(actions) != 1:
            return None
        [(kind, rule)] = actions
        if kind.name == "Shift" or not rule.expansion:
            return None
        size = len(rule.expansion)
        del stack[-size:]
        stack.append(states[stack[-1]][rule.origin.name][1])
        return size

    def give_up(self, first: str = "") -> tuple[str, list[Token]]:
        """Go back to where one of `BAD_...` fits what is being read.

        Args:
            first: The one to be preferred.

        Returns:
            Which, and the tokens given up.
        """
        state = self._state
        given_up: list[Token] = []
        while True:
            row = self._row()
            for bad in (first, *_BAD):
                if bad in row and self.would_take([Token(bad, "")]):
                    return bad, given_up
            state.state_stack.pop()
            given_up += _tokens_of(state.value_stack.pop())

    def _row(self) -> dict[str, Any]:
        found: dict[str, Any] = self._state.parse_conf.states[self._state.state_stack[-1]]
        return found

    def _shifts(self, stack: list[Any], type_: str) -> bool:
        """Do to a stack of states what feeding does; whether the token is taken."""
        states = self._state.parse_conf.states
        while True:
            action = states[stack[-1]].get(type_)
            if action is None:
                return False
            kind, target = action
            if kind.name == "Shift":
                stack.append(target)
                return True
            size = len(target.expansion)
            if size:
                del stack[-size:]
            stack.append(states[stack[-1]][target.origin.name][1])
            if type_ == "$END" and stack[-1] == self._state.parse_conf.end_state:
                return True


def _tokens_of(value: Any) -> list[Token]:
    if isinstance(value, Tree):
        return list(value.scan_values(lambda each: isinstance(each, Token)))
    return [value] if isinstance(value, Token) else []


def repair(parser: Parser, tokens: Sequence[Token], at: int, replacements: Sequence[Token]) -> Repair | None:
    """The change of one place after which reading goes on best.

    Args:
        parser: Before the token that does not fit.
        tokens: All of the source.
        at: Which does not fit.
        replacements: What may have been meant in its place.
    """
    token = tokens[at]
    ahead = _ahead(tokens, at)
    wanted = len(ahead)
    candidates = [Repair((other,), 1) for other in replacements]
    if token.type in ALIEN and not replacements:
        candidates.append(Repair((), 1))
    if token.type in ("RPAR", "RSQB") or (at and token.type == tokens[at - 1].type):
        candidates.append(Repair((), 1))
    candidates += [Repair(puts, 0) for puts in _insertions(parser, token)]
    for candidate in candidates:
        row = [*candidate.puts, *ahead[candidate.drops :]]
        if parser.would_take(row) == len(row) and wanted:
            return candidate
    return None


def _insertions(parser: Parser, token: Token) -> Iterator[tuple[Token, ...]]:
    for type_, text in (
        ("SEMICOLON", ";"), ("THEN", "THEN"), ("DO", "DO"), ("OF", "OF"), ("RPAR", ")"), ("RSQB", "]"),
    ):  # fmt: skip
        yield (Token.new_borrow_pos(type_, text, token),)
    semicolon = Token.new_borrow_pos("SEMICOLON", ";", token)
    ends: list[Token] = []
    for opener in parser.opened():
        if opener.type in OPENERS:
            end = OPENERS[opener.type]
            ends.append(Token.new_borrow_pos(end, end, token))
            yield tuple(ends)
            if end in ("END_IF", "END_FOR", "END_CASE"):
                ends.append(semicolon)
                yield tuple(ends)


def _ahead(tokens: Sequence[Token], at: int) -> list[Token]:
    """The tokens from a place on that a repair must fit."""
    found = [tokens[at]]
    if tokens[at].type == "SEMICOLON":
        return found
    for token in tokens[at + 1 : at + LOOK_AHEAD]:
        if token.type in ALIEN:
            break
        found.append(token)
        if token.type == "SEMICOLON" and not found[0].type.startswith("END_"):
            break
    return found


def skip(tokens: Sequence[Token], at: int, bad: str) -> int:
    """Behind what could not be read.

    Args:
        tokens: All of the source; the last is `$END`.
        at: Where it went wrong.
        bad: What stands for it.
    """
    if bad == "BAD_SECTION":
        return at + 1
    if bad == "BAD_STATEMENT" and tokens[at].type in SECTIONS:
        return skip_to_word(tokens, at, tokens[at].type, "END_VAR")
    begin, ends = at, {"SEMICOLON", *_ENDS.get(bad, ())}
    while tokens[at].type != "$END":
        type_ = tokens[at].type
        if bad == "BAD_UNIT":
            if type_ in UNITS and at > begin:
                return at
        elif type_ in ends:
            return at + 1
        elif type_ in (_STOPS if at > begin else _STOPS_AT_ONCE):
            return at
        at += 1
    return at


def skip_to_word(tokens: Sequence[Token], at: int, begin: str, end: str) -> int:
    """Behind the word that closes what began at a place, and its `;`; `at` when there is none."""
    depth = 0
    for index in range(at, len(tokens)):
        word = tokens[index].upper()
        depth += (word == begin) - (word == end)
        if word == end and depth <= 0:
            return index + 2 if tokens[index + 1].type == "SEMICOLON" else index + 1
    return at
