"""What was refused above us, and what to do when it was our copy that rotted.

Headquarters checks everything again. When it refuses a batch that we took, either our disk
changed it, then our copy no longer passes the checks it once passed, and the gateway is
asked again; or our copy is as sound as it ever was, and the refusal is the gateway's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hub import limits, schema
from hub.store import UPSERT_CHAIN, Store, columns
from protocols.batch import Batch, Chain, Header, Verifier, check_payload, check_signature
from protocols.errors import PeerError
from protocols.records import Refusal
from protocols.sqlitefile import sqlite_errors


def remember(store: Store, refusal: Refusal, signed: bytes, now_us: int) -> None:
    """Keep a refusal, whoever signed it, for people to look at."""
    chain = refusal.chain
    entry = (
        *(chain.gateway, int(chain.stream), chain.epoch, refusal.seq, int(refusal.reason)),
        *(refusal.text, refusal.receiver, now_us, signed),
    )
    with store.transaction():
        cursor = store.connection.execute(
            "insert into refusals(gateway, stream, epoch, seq, reason, text, receiver, time_us, signed)"
            " values(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            entry,
        )
        oldest = (cursor.lastrowid or 0) - limits.REFUSALS_MAX
        store.connection.execute("delete from refusals where id <= ?", (oldest,))


def held(store: Store, chain: Chain, seq: int) -> Batch | None:
    """One batch as it lies on the disk now."""
    row = store.chains.get(chain)
    if row is None or not row.floor <= seq < row.next:
        return None
    query = "select header, payload, signature from batches where chain = ? and seq = ?"
    with sqlite_errors(schema.WHAT):
        found = store.connection.execute(query, (row.id, seq)).fetchone()
    return None if found is None else Batch(*found)


def fault(
    store: Store, chain: Chain, seq: int, verifier_of: Callable[[bytes], Verifier | None]
) -> str | None:
    """What is wrong with our copy of a batch, or `None` when it is sound or not held.

    It passed these very checks before it was stored: a fault is the disk's. How it is linked
    need not be looked at again: the signature covers that.
    """
    batch = held(store, chain, seq)
    if batch is None:
        return None
    try:
        header = Header.parse(batch.header)
        if header.chain != chain or header.seq != seq:
            return "the header names another batch"
        verifier = verifier_of(header.key_id)
        if verifier is None:
            return None  # the key was taken off the allow-list since; the batch may be sound
        check_payload(header, batch)
        check_signature(batch, verifier)
    except PeerError as error:
        return str(error)
    return None


def set_aside(store: Store, chain: Chain, seq: int, why: str, now_us: int) -> int:
    """Move a chain's batches from `seq` on to the quarantine and lower its mark to `seq`.

    The receiver then asks for them again; a gateway keeps what headquarters has not signed
    for.

    Returns:
        How many batches were set aside.
    """
    row = store.chains.get(chain)
    assert row is not None and row.floor <= seq < row.next
    head = store.header_hash(chain, seq - 1) if seq else b""
    lowered = replace(row, next=seq, head=head or b"")
    execute = store.connection.execute
    with store.transaction():
        batches, samples, tombstones, size = execute(
            "select count(*), total(samples), total(length(signature) > 64),"
            " total(length(header) + length(payload) + length(signature))"
            " from batches where chain = ? and seq >= ?",
            (row.id, seq),
        ).fetchone()
        lowered.batches -= batches
        lowered.samples -= int(samples)
        lowered.tombstones -= int(tombstones)
        lowered.bytes -= int(size)
        execute(
            "insert into quarantine(gateway, stream, epoch, seq, header, payload, signature, why, time_us)"
            " select ?, ?, ?, seq, header, payload, signature, ?, ? from batches"
            " where chain = ? and seq >= ?",
            (chain.gateway, int(chain.stream), chain.epoch, why, now_us, row.id, seq),
        )
        execute("delete from batches where chain = ? and seq >= ?", (row.id, seq))
        execute("delete from holes where chain = ? and seq_from >= ?", (row.id, seq))
        newest = execute("select coalesce(max(id), 0) from quarantine").fetchone()[0]
        execute("delete from quarantine where id <= ?", (newest - limits.QUARANTINE_BATCHES_MAX,))
        store.connection.executemany(UPSERT_CHAIN, [columns(lowered)])
    store.rewound(lowered)
    return int(batches)


def counts(store: Store) -> dict[str, int]:
    """How many refusals and quarantined batches are remembered."""
    with sqlite_errors(schema.WHAT):
        return {
            "refusals": store.connection.execute("select count(*) from refusals").fetchone()[0],
            "quarantined": store.connection.execute("select count(*) from quarantine").fetchone()[0],
        }
