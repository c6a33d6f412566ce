"""The live view: one table that redraws itself, or a line now and then where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

LINE_EVERY_S = 5.0
_CLEAR_LINE = "\x1b[2K"
_UP = "\x1b[{}A"

Statuses = Mapping[str, Mapping[str, Any]]


class View:
    """Shows what the nodes say of themselves.

    Args:
        output: Where to; redrawn in place when it is a terminal.
    """

    def __init__(self, output: TextIO = sys.stdout) -> None:
        self._output = output
        self._live = output.isatty()
        self._drawn = 0
        self._next_line_s = 0.0

    def show(self, elapsed_s: float, statuses: Statuses, news: str = "") -> None:
        """Draw the state after `elapsed_s` seconds; `news` is said at once, once."""
        if self._live:
            self._redraw(table(elapsed_s, statuses), news)
        elif news or elapsed_s >= self._next_line_s:
            self._next_line_s = elapsed_s + LINE_EVERY_S
            self._output.write(f"{line(elapsed_s, statuses)}{'  ' + news if news else ''}\n")
            self._output.flush()

    def say(self, text: str) -> None:
        """Write lines below what was drawn."""
        self._drawn = 0
        self._output.write(text + "\n")
        self._output.flush()

    def _redraw(self, lines: Sequence[str], news: str) -> None:
        if self._drawn:
            self._output.write(_UP.format(self._drawn))
        if news:
            self._output.write(f"{_CLEAR_LINE}{news}\n")
        for each in lines:
            self._output.write(f"{_CLEAR_LINE}{each}\n")
        self._output.flush()
        self._drawn = len(lines)


def table(elapsed_s: float, statuses: Statuses) -> list[str]:
    """The live table, one line a node."""
    return [line(elapsed_s, statuses)]


def line(elapsed_s: float, statuses: Statuses) -> str:
    """Everything in one line."""
    return f"{elapsed_s:6.1f} s  " + "  ".join(f"{name}: {dict(status)}" for name, status in statuses.items())
