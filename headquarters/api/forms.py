"""What requests are made of, and how answers are written."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import TypeAdapter

from headquarters.views.paging import CURSOR_CHARS_MAX, LIMIT_DEFAULT, LIMIT_MAX, Paging
from headquarters.views.seeing import UnseenError
from protocols.errors import InputError, Problem

TIME_US_MAX = 7_258_118_400_000_000
"""The year 2200; the lake opens no partition beyond."""

_NAME = r"^[a-z0-9][a-z0-9._-]*$"

Name = Annotated[str, Path(max_length=64, pattern=_NAME, description="A node's name.", examples=["unit-1"])]
NameText = Annotated[str, Query(max_length=64, pattern=_NAME)]
Number = Annotated[int, Path(ge=1, le=2**53, examples=[17])]
Search = Annotated[
    str, Query(max_length=200, description="Words that all must occur.", examples=["LBA10 temp"])
]
Series = Annotated[
    list[Annotated[int, Query(ge=0, le=2**53)]],
    Query(description="Numbers of series; repeat the parameter.", max_length=2000, examples=[[1, 2]]),
]
Instant = Annotated[
    str,
    Query(
        max_length=40,
        description="ISO 8601 with its zone, or whole microseconds since 1970.",
        examples=["2026-11-26T20:00:00Z"],
    ),
]


def paging(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows at most.")] = LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(max_length=CURSOR_CHARS_MAX, description="`next` of the page before.")
    ] = None,
) -> Paging:
    """Which part of a list is wanted."""
    return Paging(limit, cursor)


def instant(name: str, text: str) -> int:
    """A time of a request in microseconds.

    >>> instant("from", "1970-01-01T00:00:01Z"), instant("from", "1500000")
    (1000000, 1500000)

    Raises:
        InputError: It is none.
    """
    try:
        if text.isascii() and text.isdigit():
            found = int(text)
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError("no zone")
            elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
            found = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
        if not 0 <= found < TIME_US_MAX:
            raise ValueError("too early or late")
    except (ValueError, OverflowError) as error:
        expected = "a time from 1970 to 2199 such as 2026-11-26T20:00:00Z, or microseconds since 1970"
        raise InputError([Problem("query", name, text, expected)]) from error
    return found


class SecretResponse(Response):
    """An answer that holds a secret, which is kept nowhere."""


def shown(value: Any, type: Any, status: int = 200, *, secret: bool = False) -> Response:
    """A value of a view as JSON.

    Args:
        value: What is shown.
        type: Its type, as the route declares it.
        status: Of HTTP.
        secret: Whether it holds something that nobody else may read later.
    """
    response = SecretResponse if secret else Response
    return response(_adapter(type).dump_json(value), status, media_type="application/json")


def there(value: Any, what: str, name: object) -> Any:
    """What a view gave.

    Raises:
        UnseenError: It gave nothing.
    """
    if value is None:
        raise UnseenError(what, name)
    return value


@cache
def _adapter(type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type)
