"""The hub's own account of what went through it, and its signed statement of it.

Headquarters reconciles three tiers: what a gateway says it sealed, what each hub says it
stored and let go of, and what lies in the lake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hub import limits, schema
from hub.chains import ChainRow
from hub.store import Store
from protocols.batch import Stream
from protocols.sqlitefile import sqlite_errors


@dataclass(slots=True)
class Totals:
    """What a hub ever took from one gateway, and what it still holds of it.

    Args:
        batches: Stored, tombstones included.
        samples: In their payloads.
        tombstones: Batches whose payload the gateway had dropped.
        bytes: Stored.
        trimmed: Batches let go.
        held: Batches still held.
    """

    batches: int = 0
    samples: int = 0
    tombstones: int = 0
    bytes: int = 0
    trimmed: int = 0
    held: int = 0


def totals(store: Store) -> dict[str, Totals]:
    """The account of every gateway, forgotten chains included."""
    account: dict[str, Totals] = {}
    with sqlite_errors(schema.WHAT):
        forgotten = store.connection.execute(
            "select gateway, batches, samples, tombstones, bytes from forgotten"
        ).fetchall()
    for gateway, batches, samples, tombstones, size in forgotten:
        account[gateway] = Totals(batches, samples, tombstones, size, batches)
    for row in store.chains:
        entry = account.setdefault(row.chain.gateway, Totals())
        entry.batches += row.batches
        entry.samples += row.samples
        entry.tombstones += row.tombstones
        entry.bytes += row.bytes
        entry.trimmed += row.trimmed
        entry.held += row.batches - row.trimmed
    return account


def forget_finished(store: Store, epochs_max: int = limits.FINISHED_CHAINS_MAX) -> int:
    """Forget the oldest wholly trimmed epochs of each stream; their counts stay. Returns how many."""
    surplus = list(_surplus(store, epochs_max))
    if not surplus:
        return 0
    execute = store.connection.execute
    with store.transaction():
        for row in surplus:
            for statement in _FORGET:
                execute(statement, (row.id,))
            counts = (row.chain.gateway, 1, row.batches, row.samples, row.tombstones, row.bytes)
            execute(_ADD_FORGOTTEN, counts)
    for row in surplus:
        store.forget(row.chain)
    return len(surplus)


def _surplus(store: Store, epochs_max: int) -> Iterator[ChainRow]:
    finished: dict[tuple[str, Stream], list[ChainRow]] = {}
    for row in store.chains:
        if row.floor == row.next and not store.chains.is_current(row.chain):
            finished.setdefault((row.chain.gateway, row.chain.stream), []).append(row)
    for rows in finished.values():
        rows.sort(key=lambda row: row.chain.epoch)
        yield from rows[: max(0, len(rows) - epochs_max)]


_FORGET = (
    "delete from holes where chain = ?",
    "delete from hashes where chain = ?",
    "delete from receipts where chain = ?",
    "delete from cursors where chain = ?",
    "delete from chains where id = ?",
)

_ADD_FORGOTTEN = """
insert into forgotten values(?, ?, ?, ?, ?, ?)
on conflict(gateway) do update set
    chains = chains + excluded.chains, batches = batches + excluded.batches,
    samples = samples + excluded.samples, tombstones = tombstones + excluded.tombstones,
    bytes = bytes + excluded.bytes
"""
