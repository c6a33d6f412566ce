"""Makes a program that shows a fault smaller: lines, and then parts of expressions, are left out
while the fault stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator


def shrunk(text: str, fails: Callable[[str], bool], tries: int = 3000) -> str:
    """A smaller source that still fails.

    Args:
        text: One that fails.
        fails: Whether a source shows the fault; it must take sources that do not compile.
        tries: At most so many are looked at.
    """
    found = True
    while found and tries > 0:
        found = False
        for smaller in _smaller(text):
            tries -= 1
            if tries <= 0:
                break
            if len(smaller) < len(text) and fails(smaller):
                text, found = smaller, True
                break
    return text


def _smaller(text: str) -> Iterator[str]:
    lines = text.split("\n")
    size = len(lines) // 2
    while size >= 1:
        for at in range(0, len(lines), max(1, size // 2)):
            yield "\n".join(lines[:at] + lines[at + size :])
        size //= 2
    for at, line in enumerate(lines):
        for shorter in _shorter(line):
            yield "\n".join([*lines[:at], shorter, *lines[at + 1 :]])


def _shorter(line: str) -> Iterator[str]:
    """A line with one expression replaced by a part of it or a constant, or one argument less."""
    stack = []
    for at, letter in enumerate(line):
        if letter == "(":
            stack.append(at)
        elif letter == ")" and stack:
            begin = stack.pop()
            head = re.search(r"\w*$", line[:begin])
            start = head.start() if head else begin
            inside = line[begin + 1 : at]
            for part in (
                *re.split(r",| [-+*/] | AND | OR | XOR | MOD | = | <> | < | > ", inside),
                "TRUE",
                "1",
                "0.5",
            ):
                yield line[:start] + part.strip() + line[at + 1 :]
    for match in re.finditer(r"\w+ (:=|=>) [^,()]*(\([^()]*\))?[^,()]*,? ?", line):
        yield line[: match.start()] + line[match.end() :]
    yield re.sub(r" := [^;]*;$", ";", line)
