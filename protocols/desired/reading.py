"""JSON from outside, bounded and field by field; every misfit is a `MalformedError` with its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Any, TypeVar

from protocols.batch import is_name
from protocols.errors import LimitError, MalformedError
from protocols.limits import (
    APP_INSTANCES_MAX,
    APP_NAMES_MAX,
    DESIRED_BYTES_MAX,
    DESIRED_PATH_CHARS_MAX,
    INT63_MAX,
    POINT_NAME_CHARS_MAX,
)

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.+-]*(/[0-9A-Za-z_-][0-9A-Za-z_.+-]*)*")

Choice = TypeVar("Choice", bound=StrEnum)


def canonical(document: object) -> bytes:
    """A document in its one form: sorted keys, no blanks, UTF-8.

    >>> canonical({"b": 1.0, "a": "水"}).decode()
    '{"a":"水","b":1.0}'
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def load(data: bytes) -> Any:
    """JSON in bounded memory.

    Raises:
        LimitError: It is too long.
        MalformedError: It is not JSON.
    """
    if len(data) > DESIRED_BYTES_MAX:
        raise LimitError(f"expected at most {DESIRED_BYTES_MAX} bytes, got {len(data)}")
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"expected JSON: {error!s:.120}") from error


class Reader:
    """A JSON object, read field by field.

    Args:
        found: What should be one.
        what: Its name in messages.

    Raises:
        MalformedError: It is no object.
    """

    def __init__(self, found: object, what: str) -> None:
        if not isinstance(found, dict):
            raise MalformedError(f"expected an object as {what}, got {found!r:.40}")
        self._found: dict[str, Any] = found
        self._what = what

    def only(self, names: Collection[str]) -> None:
        """Refuse every other field: it would mean something to a newer release."""
        for name in self._found:
            if name not in names:
                raise MalformedError(f"expected no field {name!r:.40} in {self._what}; upgrade this node")

    def has(self, name: str) -> bool:
        """Whether a field is there that may be left out."""
        return name in self._found

    def value(self, name: str) -> Any:
        """A field of any type."""
        if name not in self._found:
            raise MalformedError(f"expected field {name!r} in {self._what}")
        return self._found[name]

    def text(self, name: str, chars_max: int = POINT_NAME_CHARS_MAX) -> str:
        """A text that can be printed and written to files."""
        value = self.value(name)
        return self._text(name, value, chars_max)

    def label(self, name: str, empty: bool = False) -> str:
        """A text that is not empty, unless it may be."""
        value = self.text(name)
        if not value and not empty:
            raise self._wrong(name, value, "a text")
        return value

    def name(self, name: str) -> str:
        """A name as nodes and apps have them."""
        value = self.value(name)
        if not isinstance(value, str) or not is_name(value):
            raise self._wrong(name, value, "a name of lower-case letters, digits, '-', '_' and '.'")
        return value

    def version(self, name: str) -> str:
        """A version."""
        return self._matching(name, _VERSION, "a version such as '1.2.0'")

    def digest(self, name: str) -> str:
        """A SHA-256."""
        return self._matching(name, _SHA256, "64 lower-case hexadecimal digits")

    def path(self, name: str) -> str:
        """A path of a target: no part begins with a dot, none is empty."""
        value = self._matching(name, _PATH, "the path of a target")
        if len(value) > DESIRED_PATH_CHARS_MAX:
            raise self._wrong(name, value, f"at most {DESIRED_PATH_CHARS_MAX} characters")
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number."""
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(name, value, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str) -> float | None:
        """A finite number or null."""
        value = self.value(name)
        if value is None:
            return None
        if not _is_number(value):
            raise self._wrong(name, value, "a finite number or null")
        return value  # type: ignore[no-any-return]

    def choice(self, name: str, kind: type[Choice]) -> Choice:
        """One of the texts of an enumeration."""
        value = self.value(name)
        for member in kind:
            if value == member.value:
                return member
        raise self._wrong(name, value, "one of " + ", ".join(kind))

    def rows(self, name: str, most: int) -> list[Any]:
        """A list, whatever is in it."""
        value = self.value(name)
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        if len(value) > most:
            raise LimitError(f"expected at most {most} entries as {name!r}, got {len(value)}")
        return value

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """A list of texts, each once."""
        values = self.rows(name, most)
        found = [self._text(name, value, POINT_NAME_CHARS_MAX) for value in values]
        if len(set(found)) < len(found):
            raise self._wrong(name, found, "each once")
        return tuple(found)

    def table(self, name: str) -> Reader:
        """An object within."""
        return Reader(self.value(name), name)

    def tables(self, name: str) -> list[tuple[str, Reader]]:
        """An object of objects, by name."""
        return list(self.table(name).all_tables())

    def all_tables(self) -> Iterator[tuple[str, Reader]]:
        """All fields, each an object."""
        self._count(APP_INSTANCES_MAX)
        for name, value in self._found.items():
            yield self._text("name", name, POINT_NAME_CHARS_MAX), Reader(value, name)

    def labels(self, name: str) -> dict[str, str]:
        """An object of texts."""
        table = self.table(name)
        table._count(APP_NAMES_MAX)
        return {self._text("name", key, POINT_NAME_CHARS_MAX): table.label(key) for key in table._found}

    def scalars(self, name: str) -> dict[str, bool | int | float | str]:
        """An object of texts, numbers and truth values."""
        table = self.table(name)
        table._count(APP_NAMES_MAX)
        found: dict[str, bool | int | float | str] = {}
        for key, value in table._found.items():
            if isinstance(value, str):
                value = table._text(key, value, POINT_NAME_CHARS_MAX)
            elif not isinstance(value, bool) and not _is_number(value):
                raise self._wrong(key, value, "a text, a finite number, true or false")
            found[self._text("name", key, POINT_NAME_CHARS_MAX)] = value
        return found

    def _count(self, most: int) -> None:
        if len(self._found) > most:
            raise LimitError(f"expected at most {most} entries in {self._what}, got {len(self._found)}")

    def _text(self, name: str, value: object, chars_max: int) -> str:
        if not isinstance(value, str) or len(value) > chars_max or not value.isprintable():
            raise self._wrong(name, value, f"printable text of at most {chars_max} characters")
        return value

    def _matching(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        value = self.value(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._wrong(name, value, expected)
        return value

    def _wrong(self, name: str, value: object, expected: str) -> MalformedError:
        return MalformedError(f"expected {expected} as {name!r:.60} in {self._what:.60}, got {value!r:.60}")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -INT63_MAX <= value <= INT63_MAX if isinstance(value, int) else math.isfinite(value)
