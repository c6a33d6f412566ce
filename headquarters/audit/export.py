"""The audit as a file: one JSON object a line, which can be checked without the database.

The first line holds base and seals, each further one an entry with its hashes in hexadecimal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from headquarters.audit.chain import Base, Content, Entry, Report, Seal, check
from headquarters.audit.store import Audit
from headquarters.audit.trail import detail_of
from protocols.daemon import iso_time
from protocols.errors import InputError, Problem

FORMAT = "catchment-audit/1"


def row_of(entry: Entry) -> dict[str, Any]:
    """An entry for people and programs that list them."""
    content = entry.content
    return {
        "seq": content.seq,
        "time": iso_time(content.time_us / 1e6),
        "tenant": content.tenant,
        "actor": content.actor_name,
        "actor_id": content.actor_id,
        "actor_kind": content.actor_kind,
        "action": content.action,
        "target": content.target,
        "outcome": content.outcome,
        "detail": detail_of(content.detail),
    }


def write(session: Session, path: Path) -> int:
    """Write the whole audit to a file of mode 0600.

    Returns:
        How many entries.

    Raises:
        OSError: The disk failed.
    """
    audit = Audit(session)
    head = {
        "format": FORMAT,
        "base": _base(audit.base()),
        "seals": [seal_row(seal) for seal in audit.seals()],
    }
    count = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(_line(head))
        for entry in audit.walk():
            row = entry.content._asdict() | {"previous": entry.previous.hex(), "hash": entry.hash.hex()}
            stream.write(_line(row))
            count += 1
    return count


def verify_file(path: Path, keys: list[bytes]) -> Report:
    """Check a file that `write` made.

    Args:
        path: The file.
        keys: Public keys that may have signed seals.

    Raises:
        InputError: It is no such file; with its line.
    """
    with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        lines = enumerate(stream, 1)
        head = _parsed(path, *next(lines, (1, "")))
        try:
            if head["format"] != FORMAT:
                raise ValueError(head["format"])
            base = _base_of(head["base"])
            seals = [seal_of(each) for each in head["seals"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                [Problem(str(path), "line 1", "", "what catchment-hq audit export wrote")]
            ) from error
        return check(_entries(path, lines), base, seals, keys)


def _entries(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[Entry]:
    for number, line in lines:
        row = _parsed(path, number, line)
        try:
            previous, hash = _unhex(row.pop("previous")), _unhex(row.pop("hash"))
            yield Entry(Content(**row), previous, hash)
        except (KeyError, TypeError, ValueError) as error:
            expected = "an entry as catchment-hq audit export wrote it"
            raise InputError([Problem(str(path), f"line {number}", line[:60], expected)]) from error


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or _line(found) != line:
        expected = "a JSON object as catchment-hq audit export wrote it"
        raise InputError([Problem(str(path), f"line {number}", line[:60].strip(), expected)])
    return found


def _line(row: dict[str, Any]) -> str:
    """The one form of an object, so that every byte of a file counts."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def _unhex(text: str) -> bytes:
    found = bytes.fromhex(text)
    if found.hex() != text:
        raise ValueError(text)
    return found


def _base(base: Base) -> list[Any]:
    return [base.seq, base.hash.hex()]


def _base_of(value: Any) -> Base:
    return Base(int(value[0]), _unhex(value[1]))


def seal_row(seal: Seal) -> list[Any]:
    """A seal as JSON has it."""
    return [seal.seq, seal.hash.hex(), _base(seal.base), seal.time_us, seal.key.hex(), seal.signature.hex()]


def seal_of(value: Any) -> Seal:
    """The seal that `seal_row` wrote.

    Raises:
        ValueError, TypeError: It is none.
    """
    seq, hash, base, time_us, key, signature = value
    return Seal(seq, _unhex(hash), _base_of(base), time_us, _unhex(key), _unhex(signature))
