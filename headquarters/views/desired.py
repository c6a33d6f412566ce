"""Desired states: what a gateway should run, every version of it, and how two differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headquarters.desired.difference import difference
from headquarters.desired.store import Entry
from headquarters.tenancy.scope import Scope
from headquarters.views.gateways import Item, items_of, settled
from headquarters.views.seeing import sees_gateway
from headquarters.views.sources import Sources
from protocols.desired import Document
from protocols.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One difference between two documents.

    Args:
        item: Of which item.
        field: Which of its fields, with dots; empty for the whole item.
        before: Its value, or `None` where there was none.
        after: The same.
    """

    item: str
    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document.

    Args:
        version: Counted up.
        made_us: When it was set.
        author: By whom: a person or a roll-out.
        comment: Why.
        published: Whether the update repository has it, or had it before a newer one.
        changes: What became different with it.
    """

    version: int
    made_us: int
    author: str
    comment: str
    published: bool
    changes: tuple[ChangeRow, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """What a gateway should run beside what it runs.

    Args:
        gateway: Which.
        version: Of the document; `None`: nothing is desired.
        made_us: When it was set.
        author: By whom.
        published: Whether the update repository has it.
        document: The document itself.
        state: How far the gateway is with it, in words.
        reported_us: When its newest report came.
        items: One by one.
    """

    gateway: str
    version: int | None
    made_us: int | None
    author: str
    published: bool
    document: dict[str, Any] | None
    state: str
    reported_us: int | None
    items: tuple[Item, ...]


def desired(sources: Sources, scope: Scope, gateway: str) -> Desired | None:
    """What a gateway should run; `None` when nothing is known of it, or it is not seen.

    Raises:
        StoreError: The store cannot be read.
    """
    if not sees_gateway(sources, scope, gateway):
        return None
    with sources.desired() as store:
        entry, said = store.newest(gateway), store.reported(gateway)
    if entry is None and said is None:
        return None
    document = None if entry is None else entry.document
    return Desired(
        gateway,
        None if document is None else document.version,
        None if entry is None else entry.made_us,
        "" if entry is None else entry.author,
        entry is not None and entry.published,
        None if document is None else _fields(document),
        settled(None if document is None else document.version, said),
        None if said is None else said.received_us,
        items_of(entry, said),
    )


def history(sources: Sources, scope: Scope, gateway: str) -> tuple[Version, ...] | None:
    """Every version, the newest first; `None` when there is none, or the gateway is not seen.

    Raises:
        StoreError: The store cannot be read.
    """
    if not sees_gateway(sources, scope, gateway):
        return None
    with sources.desired() as store:
        entries = store.history(gateway)
    if not entries:
        return None
    before: list[Entry | None] = [*entries[1:], None]
    return tuple(
        Version(
            entry.document.version,
            entry.made_us,
            entry.author,
            entry.comment,
            entry.published,
            changes(None if former is None else former.document, entry.document),
        )
        for entry, former in zip(entries, before, strict=True)
    )


def compared(
    sources: Sources, scope: Scope, gateway: str, old: int | None = None, new: int | None = None
) -> tuple[ChangeRow, ...] | None:
    """How two versions differ; `None` when nothing is desired of the gateway, or it is not seen.

    Args:
        sources: Where to look.
        scope: Whose.
        gateway: Which.
        old: The version before; by default the one before `new`. 0 is the empty document.
        new: The version after; by default the newest.

    Raises:
        InputError: There is no such version.
        StoreError: The store cannot be read.
    """
    if not sees_gateway(sources, scope, gateway):
        return None
    with sources.desired() as store:
        newest = store.newest(gateway)
        if newest is None:
            return None
        last = newest.document.version if new is None else new
        first = last - 1 if old is None else old
        found = {number: store.entry(gateway, number) for number in (first, last)}
    for number, entry in found.items():
        if entry is None and not (number == 0 and number != last):
            expected = f"a version from 1 to {newest.document.version}"
            raise InputError([Problem("query", "version", str(number), expected)])
    former, latter = found[first], found[last]
    assert latter is not None, "only version 0 may be none, and only as the one before"
    return changes(None if former is None else former.document, latter.document)


def changes(old: Document | None, new: Document) -> tuple[ChangeRow, ...]:
    """How two documents differ."""
    return tuple(
        ChangeRow(change.ref, change.field, change.before, change.after) for change in difference(old, new)
    )


def _fields(document: Document) -> dict[str, Any]:
    return {"version": document.version, "items": [item.fields() for item in document.items]}
