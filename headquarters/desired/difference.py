"""How two documents differ, for people and machines.

>>> from protocols.desired import Item, ItemKind
>>> old = Document("unit-1", 1, (Item(ItemKind.POINTS, "p", "1", "config/p-1.csv", 3, "00" * 32),))
>>> new = Document("unit-1", 2, (Item(ItemKind.POINTS, "p", "2", "config/p-2.csv", 3, "11" * 32),))
>>> [str(change) for change in difference(old, new)][:2]
["points path: 'config/p-1.csv' -> 'config/p-2.csv'", "points sha256: '000000000000...' -> '111111111111...'"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from protocols.desired import Document, WriteRange


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Args:
        ref: Of the item.
        field: Which of its fields, with dots; empty for the whole item.
        before: Its value, or `None` where there was none.
        after: The same.
    """

    ref: str
    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if not self.field:
            return f"{self.ref}: {'new' if self.before is None else 'gone'}"
        return f"{self.ref} {self.field}: {_shown(self.before)} -> {_shown(self.after)}"

    def to_json(self) -> dict[str, Any]:
        """For a machine."""
        return {"item": self.ref, "field": self.field, "before": self.before, "after": self.after}


def difference(old: Document | None, new: Document) -> list[Change]:
    """What is different in `new`."""
    before = {} if old is None else old.by_ref
    after = new.by_ref
    found: list[Change] = []
    for ref in sorted(before.keys() | after.keys()):
        if ref not in before:
            found.append(Change(ref, "", None, after[ref].version))
        elif ref not in after:
            found.append(Change(ref, "", before[ref].version, None))
        else:
            found += _fields(ref, "", before[ref].fields(), after[ref].fields())
    found += _writes({} if old is None else old.writes, new.writes)
    return found


def _writes(before: Mapping[str, WriteRange], after: Mapping[str, WriteRange]) -> Iterator[Change]:
    """What commands may write: one change a point."""
    for point in sorted(before.keys() | after.keys()):
        old, new = before.get(point), after.get(point)
        if old != new:
            field = "" if old is None or new is None else "range"
            yield Change(f"write/{point}", field, _range(old), _range(new))


def _range(range: WriteRange | None) -> list[float] | None:
    return None if range is None else [range.low, range.high]


def _fields(ref: str, path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield Change(ref, path, before, after)
        return
    for name in sorted(before.keys() | after.keys()):
        yield from _fields(ref, f"{path}.{name}".lstrip("."), before.get(name), after.get(name))


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        value = value[:12] + "..."
    return repr(value)
