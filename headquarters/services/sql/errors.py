"""What can become of a query besides a result.

::

    InputError
    `-- QueryError       the asker's: refused, wrong, too expensive, stopped at a limit, cancelled
"""

from __future__ import annotations

from enum import StrEnum

from protocols.errors import InputError, Problem

SHOWN_CHARS = 120
"""So much of a value is repeated in a message: a line of a terminal."""


class Fault(StrEnum):
    """Why a query has no result."""

    REFUSED = "refused"
    """It names something that queries may not, or is no single statement that reads."""
    WRONG = "wrong"
    """It is allowed and not right: no such column, a text that is no number."""
    COSTLY = "costly"
    """It would read more than one query may."""
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    MEMORY = "memory"
    """It needs more memory, or more room for what it sets aside, than one query may have."""
    BUSY = "busy"
    """Too many queries wait already."""


class QueryError(InputError):
    """A query has no result, through what it asks for.

    >>> print(QueryError(Fault.REFUSED, "line 1, column 15", "passwd", "one of the tables gaps, samples"))
    query: line 1, column 15: got 'passwd'; expected one of the tables gaps, samples

    Args:
        fault: Why.
        place: Where in the text, such as `"line 2, column 7"`; empty where there is no one place.
        value: What stands there.
        expected: What would have been right, or what to do.
    """

    def __init__(self, fault: Fault, place: str, value: str, expected: str) -> None:
        shown = value if len(value) <= SHOWN_CHARS else value[: SHOWN_CHARS - 3] + "..."
        super().__init__([Problem("query", place, shown, expected)])
        self.fault = fault
        self.place = place
        self.value = shown
        self.expected = expected

    def __reduce__(self) -> tuple[type[QueryError], tuple[Fault, str, str, str]]:
        return QueryError, (self.fault, self.place, self.value, self.expected)


def place_of(sql: str, offset: int) -> str:
    """Line and column of a character, both from 1.

    >>> place_of("SELECT 1\\nFROM x", 14)
    'line 2, column 6'
    """
    before = sql[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"
