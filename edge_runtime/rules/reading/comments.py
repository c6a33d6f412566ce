"""Comments: blanked out before reading: `(* *)` and `/* */` may nest, which no regular expression reads."""

from __future__ import annotations

import re

from edge_runtime.rules.reading.syntax import Span

_OUTSIDE = re.compile(r"'(?:\$.|[^'$\n])*'|//[^\n]*|\(\*|/\*")
_INSIDE = {"(*": re.compile(r"\(\*|\*\)"), "/*": re.compile(r"/\*|\*/")}


def blank_comments(text: str) -> tuple[str, Span | None]:
    """The text with spaces in the place of comments, lines kept.

    Returns:
        The text, and where a comment begins that is never closed, or `None`.

    >>> blank_comments("a (* b (* c *) *) d // e")
    ('a                 d     ', None)
    """
    pieces: list[str] = []
    at = 0
    while (mark := _OUTSIDE.search(text, at)) is not None:
        if mark.group().startswith("'"):
            pieces.append(text[at : mark.end()])
            at = mark.end()
            continue
        pieces.append(text[at : mark.start()])
        end = mark.end() if mark.group() not in _INSIDE else _end(text, mark.group(), mark.end())
        if end is None:
            pieces.append(_blank(text[mark.start() :]))
            return "".join(pieces), _place(text, mark.start())
        pieces.append(_blank(text[mark.start() : end]))
        at = end
    return "".join([*pieces, text[at:]]), None


def _end(text: str, opener: str, at: int) -> int | None:
    """Behind the end of the comment that began just before `at`."""
    depth = 1
    for mark in _INSIDE[opener].finditer(text, at):
        depth += 1 if mark.group() == opener else -1
        if depth == 0:
            return mark.end()
    return None


def _place(text: str, at: int) -> Span:
    column = at - text.rfind("\n", 0, at)
    return Span(text.count("\n", 0, at) + 1, column, column + 2)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
