"""What can still be read from a buffer that was set aside goes into the new one.

Batches keep their chain, header and signature, so that receivers drop what they have
already, and nothing is doubled. Of each chain the newest unbroken run is taken: what lies
before a hole cannot be sent behind it. Each batch is held against its hashes and its own
signature first. After `SALVAGE_S` it ends: samples that are collected now count as much.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edge_runtime import ledger, limits
from edge_runtime.buffer.chains import Chains, samples_of
from edge_runtime.ledger import Counts
from edge_runtime.store import SEQ_BITS, Store
from protocols import columns
from protocols.batch import Batch, Header, Stream, check_payload, header_hash
from protocols.errors import PeerError
from protocols.records import GapCause

SALVAGE_S = 2.0
"""Time for reading a damaged file; about 200 MB from a flash disk."""


class Salvaged(NamedTuple):
    """What came of it.

    Args:
        batches: Batches that are in the new buffer.
        lost_from_us: Earliest time of what is not; 0 when that cannot be known.
    """

    batches: int
    lost_from_us: int


class _Found(NamedTuple):
    """One batch that can be read and holds."""

    header: Header
    batch: Batch
    thinned: int


class _Old(NamedTuple):
    """A chain as the damaged file has it."""

    no: int
    stream: int
    epoch: int
    oldest: int
    next: int
    head: bytes
    t_min_us: int | None


def salvage(
    damaged: Path, store: Store, chains: Chains, monotonic: Callable[[], float] = time.monotonic
) -> Salvaged:
    """Copy what holds from a damaged file into a new, still empty store.

    Args:
        damaged: The file that was set aside.
        store: The new store.
        chains: Its chains, none opened yet.
        monotonic: Seconds that never jump.
    """
    end = monotonic() + SALVAGE_S
    batches = 0
    lost: list[int] = []
    try:
        with closing(sqlite3.connect(damaged)) as old:
            rows = old.execute(
                "select no, stream, epoch, oldest, next, head, t_min from chains order by epoch desc"
            ).fetchall()
            latest = old.execute("select max(instant) from progress").fetchone()[0]
            for chain in [_Old(*row) for row in rows]:
                run = _newest_run(old, chain, chains, lambda: monotonic() < end)
                if run:
                    _adopt(store, chain, run)
                    batches += len(run)
                if run and run[0].header.seq == chain.oldest and len(run) < chain.next - chain.oldest:
                    lost.append(run[-1].header.t_max_us + 1)
                elif len(run) < chain.next - chain.oldest:
                    lost.append(chain.t_min_us or 0)
            lost += _adopt_journal(old, store)
            lost.append(0 if latest is None else int(latest) + 1)
    except sqlite3.Error:
        lost.append(0)
    return Salvaged(batches, min(lost))


def _newest_run(
    old: sqlite3.Connection, chain: _Old, chains: Chains, in_time: Callable[[], bool]
) -> list[_Found]:
    """The newest batches of a chain that follow each other without a hole, oldest first."""
    run: list[_Found] = []
    head = chain.head
    size = 0
    for seq in range(chain.next - 1, chain.oldest - 1, -1):
        found = _read(old, chain, seq, chains)
        if found is None or (run and header_hash(found.batch.header) != head):
            if run:
                break
            continue
        size += found.batch.size
        if not in_time() or size > limits.SALVAGE_BYTES_MAX:
            break
        run.append(found)
        head = found.header.previous
    run.reverse()
    return run


def _read(old: sqlite3.Connection, chain: _Old, seq: int, chains: Chains) -> _Found | None:
    """A batch, if it can be read and holds."""
    try:
        row = old.execute(
            "select header, payload, signature, thinned from batches where id = ?",
            (chain.no << SEQ_BITS | seq,),
        ).fetchone()
    except sqlite3.Error:
        return None
    if row is None or (row[1] is None and len(row[2]) == 64):
        return None  # its payload was left to a hub
    batch = Batch(row[0], row[1] or b"", row[2])
    try:
        header = Header.parse(batch.header)
        check_payload(header, batch)
    except PeerError:
        return None
    ours = (header.stream, header.epoch, header.seq) == (chain.stream, chain.epoch, seq)
    return _Found(header, batch, row[3]) if ours and chains.signature_holds(batch) else None


def _adopt_journal(old: sqlite3.Connection, store: Store) -> list[int]:
    """Take over what was journalled. Returns the earliest times of what cannot be decoded."""
    names = "n, t_min, t_max, table_hash, boot_id, monotonic, clock_state, clock_offset, payload"
    lost = []
    for row in old.execute(f"select {names} from journal order by no").fetchall():
        try:
            holds = sum(map(len, columns.decode(row[-1]))) == row[0]
        except PeerError:
            holds = False
        if not holds:
            lost.append(row[1])
            continue
        with store.transaction():
            store.execute(f"insert into journal({names}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            ledger.add(store, Counts(collected=row[0], journalled=row[0]))
    return lost


def _adopt(store: Store, chain: _Old, run: list[_Found]) -> None:
    """Make a closed chain of a run."""
    first, last = run[0].header, run[-1].header
    samples = sum(samples_of(found.header) for found in run)
    with store.transaction():
        cursor = store.execute(
            "insert into chains(stream, epoch, reason, closed, oldest, next, head, final, handed, samples, "
            "bytes, t_min, t_max) values (?, ?, 'salvaged', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                chain.stream,
                chain.epoch,
                first.seq,
                last.seq + 1,
                header_hash(run[-1].batch.header),
                first.seq,
                last.seq + 1,
                samples,
                sum(found.batch.size for found in run),
                min(found.header.t_min_us for found in run),
                max(found.header.t_max_us for found in run),
            ),
        )
        no = cursor.lastrowid
        assert no is not None
        store.execute_each(
            "insert into batches(id, thinned, header, signature, payload) values (?, ?, ?, ?, ?)",
            [
                (
                    no << SEQ_BITS | found.header.seq,
                    found.thinned,
                    found.batch.header,
                    found.batch.signature,
                    None if found.batch.is_tombstone else found.batch.payload,
                )
                for found in run
            ],
        )
        counts = Counts(collected=samples, sealed=samples)
        buried = sum(samples_of(found.header) for found in run if found.batch.is_tombstone)
        if buried:
            counts.buried[str(GapCause.QUOTA)] = buried
        ledger.add(store, counts)
        name = f"epoch:{Stream(chain.stream).name}"
        store.remember(name, max(chain.epoch, int(store.fact(name) or 0)))
