"""Pages of long lists, and the cursors between them.

A cursor is the key of the last row that was shown, so a page stays right while rows come and go.

>>> first = page_of(["a", "b", "c"], lambda row: (row,), Paging(2))
>>> first.items, decode(first.next)
(('a', 'b'), ('b',))
>>> page_of(["a", "b", "c"], lambda row: (row,), Paging(2, first.next))
Page(items=('c',), next=None)
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protocols.errors import InputError, Problem

LIMIT_DEFAULT = 50
LIMIT_MAX = 1000
"""Rows in one answer: some hundred kilobytes."""

CURSOR_CHARS_MAX = 4096

T = TypeVar("T")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list.

    Args:
        items: The rows.
        next: The cursor that continues after them; `None` at the end.
    """

    items: tuple[T, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is wanted.

    Args:
        limit: So many rows at most.
        cursor: `Page.next` of the page before; `None` for the first.
    """

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None

    @property
    def after(self) -> Key | None:
        """The key after which the page begins.

        Raises:
            InputError: The cursor is none of ours.
        """
        return None if self.cursor is None else decode(self.cursor)


def encode(key: Key) -> str:
    """A key as a cursor: URL-safe text."""
    return base64.urlsafe_b64encode(json.dumps(key, ensure_ascii=False).encode()).decode().rstrip("=")


def decode(cursor: str) -> Key:
    """The key of a cursor.

    Raises:
        InputError: It is none of ours.
    """
    try:
        if len(cursor) > CURSOR_CHARS_MAX:
            raise ValueError("too long")
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        if not isinstance(key, list) or not key or not all(isinstance(part, (str, int)) for part in key):
            raise ValueError("no key")
    except (ValueError, binascii.Error, RecursionError) as error:
        expected = "the cursor that the page before ended with, unchanged"
        raise InputError([Problem("query", "cursor", cursor[:60], expected)]) from error
    return tuple(key)


def page_of(rows: Sequence[T], key: Callable[[T], Key], paging: Paging) -> Page[T]:
    """A page of rows that are sorted by their keys.

    Raises:
        InputError: The cursor is none of this list.
    """
    start = 0
    after = paging.after
    if after is not None:
        start = _after(rows, key, after)
    end = start + paging.limit
    chosen = tuple(rows[start:end])
    return Page(chosen, encode(key(chosen[-1])) if end < len(rows) and chosen else None)


def _after(rows: Sequence[T], key: Callable[[T], Key], after: Key) -> int:
    """The first row beyond a key; by halves."""
    low, high = 0, len(rows)
    try:
        while low < high:
            middle = (low + high) // 2
            if key(rows[middle]) <= after:
                low = middle + 1
            else:
                high = middle
    except TypeError as error:
        raise InputError([Problem("query", "cursor", "of another list", "a cursor of this list")]) from error
    return low
