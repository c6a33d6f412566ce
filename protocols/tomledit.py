"""Puts a table into a TOML file that a person wrote, and leaves the rest of it as it stands."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from protocols.errors import InputError, Problem
from protocols.tomlfile import TomlFile

_HEADING = re.compile(r"\s*(\[\[?[^\[\]]+\]\]?)\s*(#.*)?")


def read_editable(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a file and what it says.

    Raises:
        InputError: It cannot be read, or is not TOML.
    """
    document = TomlFile(path, "the configuration that init writes").document
    return path.read_text(encoding="utf-8-sig"), document


def put_table(path: Path, text: str, heading: str, fields: Mapping[str, str]) -> str:
    """The text with a table of these fields at its end; one of the same heading and id goes into it.

    Args:
        path: The file, for messages.
        text: What it holds.
        heading: `[name]`, or `[[name]]`.
        fields: Texts by key; `id` among them.

    Raises:
        InputError: The file is written so that this cannot be done safely.
    """
    name = heading.strip("[]")
    document = tomllib.loads(text)
    present = document.get(name, [])
    there = present if isinstance(present, list) else [present]
    before: dict[str, Any] = next((entry for entry in there if entry.get("id") == fields["id"]), {})
    merged = {**before, **fields}
    table = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in merged.items())
    kept = _without(text, heading, fields["id"]).rstrip("\n")
    changed = f"{kept}\n\n{heading}\n{table}"
    if heading.startswith("[["):
        document[name] = [*(entry for entry in there if entry.get("id") != fields["id"]), merged]
    else:
        document[name] = merged
    try:
        done = tomllib.loads(changed) == document
    except tomllib.TOMLDecodeError:
        done = False
    if not done:
        expected = (
            f"tables written as {heading} on lines of their own; put it there by hand:\n{heading}\n{table}"
        )
        raise InputError([Problem(str(path), heading, "a file that cannot be changed here", expected)])
    return changed


def _without(text: str, heading: str, id: str) -> str:
    """The text without the tables of a heading and an id, with the comments above them kept."""
    lines = text.splitlines(keepends=True)
    starts = [index for index, line in enumerate(lines) if _HEADING.fullmatch(line.rstrip("\r\n"))]
    kept = lines[: starts[0]] if starts else lines
    for start, end in pairwise([*starts, len(lines)]):
        part = lines[start:end]
        match = _HEADING.fullmatch(part[0].rstrip("\r\n"))
        assert match is not None
        if match[1] == heading and _says(part[1:], id):
            while part and not part[-1].strip().startswith("#"):
                part.pop()  # comments at its end belong to what follows
            part = [line for line in part if line.strip().startswith("#")]
        kept += part
    return "".join(kept)


def _says(lines: list[str], id: str) -> bool:
    try:
        return tomllib.loads("".join(lines)).get("id") == id
    except tomllib.TOMLDecodeError:
        return False
