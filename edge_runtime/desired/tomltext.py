"""Writes TOML: as much of it as configurations and settings of apps need.

>>> print(dump({"a": 1, "t": {"b": [1.5, "x"], "u.v": {"c": True}}, "l": [{"d": "e"}]}), end="")
a = 1
<BLANKLINE>
[t]
b = [1.5, "x"]
<BLANKLINE>
[t."u.v"]
c = true
<BLANKLINE>
[[l]]
d = "e"
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dump(document: Mapping[str, Any]) -> str:
    """A document as text; the values are those of JSON but null."""
    return "\n".join(_lines((), document)).lstrip("\n") + "\n" if document else ""


def _lines(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if _is_table(value) or _is_tables(value)}
    for key, value in table.items():
        if key not in inner:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        deeper = (*path, key)
        heading = ".".join(map(_key, deeper))
        if _is_table(value):
            if not value or any(not _is_table(each) and not _is_tables(each) for each in value.values()):
                yield from ("", f"[{heading}]")
            yield from _lines(deeper, value)
        else:
            for entry in value:
                yield from ("", f"[[{heading}]]")
                yield from _lines(deeper, entry)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)
