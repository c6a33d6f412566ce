"""Local point ids: given once, never used again.

Rules:
1. An id belongs to one (name, value type) for good. The same name with another value type
   is another point and gets a new id; a name that comes back with its old type gets its
   old id back, because it is the same point.
2. An id written in the point table is honoured when it is free or belongs to that very
   point; anything else is the operator's error, because its series at headquarters would
   go on with another meaning.
3. New ids are durable (fsync of file and directory) before anybody sees them. They are
   kept in `data/point_ids.json`, which remembers every id ever given.

>>> ids = PointIds()
>>> ids.assign("FT-101", ValueType.F32), ids.assign("FT-102", ValueType.F32)
(1, 2)
>>> ids.assign("FT-101", ValueType.F64), ids.assign("FT-101", ValueType.F32)
(3, 1)
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from protocols import limits
from protocols.durable import write_durably
from protocols.errors import Problem, StoreDamagedError, StoreError
from protocols.points import Point
from protocols.pointtable import PointTable
from protocols.samples import ValueType

FILE = Path("data/point_ids.json")
_VERSION = 1


class PointIds:
    """All ids ever given, in memory."""

    def __init__(self) -> None:
        self._owner: dict[int, tuple[str, ValueType]] = {}
        self._id: dict[tuple[str, ValueType], int] = {}
        self._next = 1
        self.changed = False

    def __len__(self) -> int:
        return len(self._owner)

    def owner(self, id: int) -> tuple[str, ValueType] | None:
        """Whose id it is, or `None` when it was never given."""
        return self._owner.get(id)

    def id_of(self, name: str, type: ValueType) -> int | None:
        """The point's id, or `None` when it has none yet."""
        return self._id.get((name, type))

    def assign(self, name: str, type: ValueType) -> int:
        """The point's id, a new one if it has none."""
        known = self._id.get((name, type))
        if known is not None:
            return known
        id_ = self._next
        assert id_ <= limits.POINT_ID_MAX, "`resolve` checks that ids are left"
        self.claim(id_, name, type)
        return id_

    def claim(self, id: int, name: str, type: ValueType) -> None:
        """Give a free id to a point that has none."""
        assert id not in self._owner and (name, type) not in self._id
        self._owner[id] = (name, type)
        self._id[name, type] = id
        self._next = max(self._next, id + 1)
        self.changed = True

    @property
    def left(self) -> int:
        """How many ids can still be given."""
        return limits.POINT_ID_MAX - self._next + 1

    def to_json(self) -> str:
        """As it is kept: one line an id, in the order of the ids."""
        lines = [
            json.dumps([id_, name, type_.name], ensure_ascii=False)
            for id_, (name, type_) in sorted(self._owner.items())
        ]
        return f'{{"version": {_VERSION}, "next": {self._next}, "ids": [\n' + ",\n".join(lines) + "\n]}\n"

    @classmethod
    def from_json(cls, text: str) -> PointIds:
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("version") != _VERSION:
            raise ValueError(f"expected version {_VERSION}")
        ids = cls()
        for entry in document["ids"]:
            id_, name, type_ = entry
            if not isinstance(id_, int) or not isinstance(name, str) or id_ in ids._owner:
                raise ValueError(f"expected [id, name, type], got {entry!r:.80}")
            ids.claim(id_, name, ValueType[type_])
        if not isinstance(document["next"], int) or document["next"] < ids._next:
            raise ValueError("expected 'next' beyond every id")
        ids._next = document["next"]
        ids.changed = False
        return ids


def resolve(table: PointTable, ids: PointIds) -> list[Point]:
    """The table's points with their ids; adds to `ids` and, for ids that clash, to `table.problems`.

    Ids that the table names are claimed first, so that no new point is given one of them.
    """
    clashes: set[int] = set()
    for index, (point, place) in enumerate(zip(table.points, table.places, strict=True)):
        if point.id:
            expected = _claim(point, ids)
            if expected is not None:
                place = f"{place}, column id"
                table.problems.append(Problem(table.file, place, str(point.id), expected))
                clashes.add(index)
    new = {
        (point.name, point.value_type)
        for point in table.points
        if not point.id and ids.id_of(point.name, point.value_type) is None
    }
    if len(new) > ids.left:
        expected = (
            f"ids below {limits.POINT_ID_MAX - len(new)}: no number beyond the highest is left for new points"
        )
        table.problems.append(Problem(table.file, "column id", str(limits.POINT_ID_MAX - ids.left), expected))
        return []
    return [
        point if point.id else replace(point, id=ids.assign(point.name, point.value_type))
        for index, point in enumerate(table.points)
        if index not in clashes
    ]


def _claim(point: Point, ids: PointIds) -> str | None:
    """Take the id that the table names, or say what was expected instead."""
    owner, own = ids.owner(point.id), ids.id_of(point.name, point.value_type)
    if owner == (point.name, point.value_type):
        return None
    if owner is not None and owner[0] == point.name:
        return (
            f"no id: {point.name} is now {point.value_type.name} and was {owner[1].name} under this id; "
            "leave the cell empty for a new id"
        )
    if owner is not None:
        return f"another id: this one belongs to {owner[0]!r} for good; leave the cell empty"
    if own is not None:
        return f"{own}, the id that {point.name} has had before; write that, or leave the cell empty"
    ids.claim(point.id, point.name, point.value_type)
    return None


def load(home: Path) -> PointIds:
    """The ids given so far; none when the file is not there yet.

    Raises:
        StoreError: It cannot be read; `StoreDamagedError` when it is there and damaged.
    """
    path = home / FILE
    try:
        return PointIds.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return PointIds()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; expected a file that this user can read") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreDamagedError(
            f"{path}: damaged ({error}); expected what the gateway wrote: restore it from a backup, "
            "or from the ids of an exported point table"
        ) from error


def save(home: Path, ids: PointIds) -> None:
    """Make the ids durable, if any was given since they were loaded.

    Raises:
        StoreError: The disk failed.
    """
    if ids.changed:
        write_durably(home / FILE, ids.to_json())
        ids.changed = False


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Nobody else gives ids of this home meanwhile.

    Raises:
        StoreError: The lock file cannot be made.
    """
    path = home / FILE.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}; expected a directory that this user can write"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
