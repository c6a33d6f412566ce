"""What the hub keeps: batches as they came, where each chain stands, who signed for what.

Rules:
1. One writer. Everything is written by the thread that owns the `Store`; other threads read
   rows over connections of their own and chains through `chains`.
2. `append` makes a group of batches durable in one transaction with the marks that
   acknowledge them, or not at all.
3. A batch is let go only when headquarters signed for it (or, by policy, for its backup),
   the receipt names the very header held here, and every upstream that batches are kept
   for has it.
4. Batches are blobs: nothing here decodes a payload. They were verified before they came.

>>> import sqlite3
>>> store = Store(sqlite3.connect(":memory:"))
>>> store.mark(Chain("unit-1", Stream.DATA, 1)) is None
True
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from typing import Any

from hub import limits, schema
from hub.chains import ChainRow, Chains, Hole
from protocols import crash
from protocols.batch import Batch, Chain, Stream, header_hash
from protocols.records import Mark, Receipt
from protocols.session import Accepted
from protocols.sqlitefile import sqlite_errors

Listener = Callable[[ChainRow, Sequence[Batch]], None]
"""Told of a chain that changed and of the batches that joined it."""

_BatchRow = tuple[int, int, int, bytes, bytes, bytes]


class Custody(Enum):
    """What a receipt from headquarters meant to this hub."""

    ADVANCED = "advanced"
    STALE = "stale"
    UNKNOWN = "unknown"
    """For a chain that this hub does not hold, or beyond what it holds: passed down, nothing trimmed."""
    CONFLICT = "conflict"
    """For another header than ours: headquarters holds a fork of the chain."""


class Store:
    """The hub's store over one SQLite connection.

    Args:
        connection: Where to keep it; a file opened by `schema.connect`, or one in memory.
        trim: The mark at which batches may go.
        keep_for: Upstreams beside the way to headquarters that must hold a batch as well.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        trim: Mark = Mark.HEADQUARTERS,
        keep_for: Collection[str] = (),
    ) -> None:
        schema.prepare(connection)
        self.connection = connection
        self._trim_at = trim
        self._keep_for = frozenset(keep_for)
        with sqlite_errors(schema.WHAT):
            self.chains = Chains.load(connection)
            self._cursors = self._load_cursors()
        self._cursor_news: set[tuple[str, Chain]] = set()
        self._trimmable = {row.chain for row in self.chains if row.floor < self._limit(row)}
        self._listeners: list[Listener] = []
        self._unproven: dict[Chain, list[Receipt]] = {}
        for receipt, _ in self.receipts():
            self._note_unproven(receipt)
        for chain in list(self._unproven):
            self._prove(chain)

    # -- what a receiver asks --------------------------------------------------------------

    def mark(self, chain: Chain) -> tuple[int, bytes] | None:
        """(next sequence, hash of the header before it), or `None` for a chain never seen."""
        row = self.chains.get(chain)
        return None if row is None else (row.next, row.head)

    def header_hash(self, chain: Chain, seq: int) -> bytes | None:
        """Hash of a durable header, or `None` when it is no longer known."""
        row = self.chains.get(chain)
        if row is None or not 0 <= seq < row.next:
            return None
        if seq == row.next - 1 and row.head:
            return row.head
        with sqlite_errors(schema.WHAT):
            held = self._one("select header from batches where chain = ? and seq = ?", row.id, seq)
            if held is not None:
                return header_hash(held[0])
            known = self._one("select hash from hashes where chain = ? and seq = ?", row.id, seq)
        return None if known is None else bytes(known[0])

    # -- storing ---------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Have a listener told of every change, after the commit and in this thread."""
        self._listeners.append(listener)

    def append(self, accepted: Sequence[Accepted]) -> None:
        """Make verified batches durable, all or none of them.

        Raises:
            StoreFullError: No room; nothing was stored.
            StoreError: The disk failed; nothing was stored.
        """
        grown: dict[Chain, ChainRow] = {}
        joined: dict[Chain, list[Batch]] = {}
        holes: list[tuple[ChainRow, Hole]] = []
        rows: list[_BatchRow] = []
        next_id = self.chains.next_id
        for chain, header, batch, hole_from in accepted:
            row = grown.get(chain)
            if row is None:
                held = self.chains.get(chain)
                if held is None:
                    row = ChainRow(next_id, chain, header.seq, header.seq, header.seq, b"")
                    next_id += 1
                else:
                    row = replace(held)
                grown[chain] = row
                joined[chain] = []
            if hole_from is not None and row.next < header.seq:
                if row.floor == row.next:
                    row.floor = header.seq
                else:
                    holes.append((row, Hole(row.next, header.seq)))
                row.next = header.seq
            assert header.seq == row.next, f"{chain} expects {row.next}, got {header.seq}"
            samples = 0 if batch.is_tombstone else header.n
            rows.append((row.id, header.seq, samples, *batch))
            joined[chain].append(batch)
            _count(row, samples, batch)
        for chain, row in grown.items():
            row.head = header_hash(joined[chain][-1].header)
        with self.transaction():
            self._insert(grown.values(), rows, holes)
        for row, hole in holes:
            self.chains.add_hole(row.chain, hole)
        for chain, row in grown.items():
            self.publish(row, joined[chain])
            if chain in self._unproven:
                self._prove(chain)

    def _insert(
        self,
        grown: Iterable[ChainRow],
        rows: Sequence[_BatchRow],
        holes: Sequence[tuple[ChainRow, Hole]],
    ) -> None:
        execute = self.connection.executemany
        execute(_INSERT_BATCH, rows)
        execute(UPSERT_CHAIN, [columns(row) for row in grown])
        if holes:
            execute("insert into holes values(?, ?, ?)", [(row.id, *hole) for row, hole in holes])

    # -- custody -----------------------------------------------------------------------------

    def receipts(self) -> list[tuple[Receipt, bytes]]:
        """The newest receipt of every chain and mark, with its signed form."""
        query = (
            "select gateway, stream, epoch, r.next, r.head, mark, time_us, signed"
            " from receipts r join chains c on c.id = r.chain"
        )
        with sqlite_errors(schema.WHAT):
            found = self.connection.execute(query).fetchall()
        return [
            (Receipt(Chain(gateway, Stream(stream), epoch), next_, head, Mark(mark), time_us), signed)
            for gateway, stream, epoch, next_, head, mark, time_us, signed in found
        ]

    def receipted(self, news: Sequence[tuple[Receipt, bytes]]) -> list[Custody]:
        """Keep receipts whose signature was checked, and learn from them what is safe.

        Args:
            news: Receipts with their signed form.

        Returns:
            For each of them what it meant.
        """
        outcomes = [self._weigh(receipt) for receipt, _ in news]
        changed: dict[Chain, ChainRow] = {}
        with self.transaction():
            for (receipt, signed), outcome in zip(news, outcomes, strict=True):
                held = self.chains.get(receipt.chain)
                if held is None or outcome not in (Custody.ADVANCED, Custody.UNKNOWN):
                    continue
                if outcome is Custody.UNKNOWN and held.custody(receipt.mark) >= held.next:
                    continue  # the receipt for all that is held here is worth more to its gateway
                row = changed.setdefault(receipt.chain, replace(held))
                if outcome is Custody.ADVANCED:
                    _advance(row, receipt)
                self.connection.execute(
                    "insert or replace into receipts values(?, ?, ?, ?, ?, ?)",
                    (row.id, receipt.mark, receipt.next, receipt.head, receipt.time_us, signed),
                )
            self.connection.executemany(UPSERT_CHAIN, [columns(row) for row in changed.values()])
        for row in changed.values():
            self.publish(row)
        for receipt, _ in news:
            self._note_unproven(receipt)
        return outcomes

    def reached(self, upstream: str, chain: Chain, next_: int) -> None:
        """An upstream holds the chain below `next_`; written with the next transaction."""
        row = self.chains.get(chain)
        if row is not None and self._cursors.get((upstream, chain)) != next_:
            self._cursors[(upstream, chain)] = next_
            self._cursor_news.add((upstream, chain))
            if row.floor < self._limit(row):
                self._trimmable.add(chain)

    def cursor(self, upstream: str, chain: Chain) -> int:
        """How far an upstream holds a chain, as far as we heard."""
        return self._cursors.get((upstream, chain), 0)

    def trim(self, batches_max: int = limits.TRIM_BATCHES_MAX) -> int:
        """Let go of what is safe, at most so many batches; returns how many went.

        Their header hashes are remembered for a while, so that a sender which comes back
        with older or other batches is recognised.
        """
        if not self._trimmable:
            return 0
        left = batches_max
        trimmed: list[ChainRow] = []
        with self.transaction():
            for chain in list(self._trimmable):
                held = self.chains.get(chain)
                if held is not None and left > 0:
                    row = replace(held)
                    upto = min(self._limit(row), row.floor + left)
                    left -= self._let_go(row, upto)
                    trimmed.append(row)
            self.connection.executemany(UPSERT_CHAIN, [columns(row) for row in trimmed])
        for row in trimmed:
            self.publish(row)
        return batches_max - left

    def _let_go(self, row: ChainRow, upto: int) -> int:
        execute = self.connection.execute
        at = (row.id, row.floor, upto)
        gone = execute(
            "select seq, header from batches where chain = ? and seq >= ? and seq < ?", at
        ).fetchall()
        kept = [(row.id, seq, header_hash(header)) for seq, header in gone]
        self.connection.executemany("insert or replace into hashes values(?, ?, ?)", kept)
        execute(
            "delete from hashes where chain = ? and seq < ?", (row.id, upto - limits.HASHES_PER_CHAIN_MAX)
        )
        execute("delete from batches where chain = ? and seq >= ? and seq < ?", at)
        row.floor = upto
        row.trimmed += len(gone)
        return upto - at[1]

    def _limit(self, row: ChainRow) -> int:
        """Everything below it may go."""
        safe = min(row.next, row.custody(self._trim_at))
        return min([safe, *(self.cursor(upstream, row.chain) for upstream in self._keep_for)])

    def _weigh(self, receipt: Receipt) -> Custody:
        row = self.chains.get(receipt.chain)
        if row is None:
            return Custody.UNKNOWN
        if receipt.next <= row.custody(receipt.mark):
            return Custody.STALE
        ours = self.header_hash(receipt.chain, receipt.next - 1)
        if ours is None:
            return Custody.UNKNOWN
        return Custody.ADVANCED if ours == receipt.head else Custody.CONFLICT

    def _note_unproven(self, receipt: Receipt) -> None:
        """Remember a receipt that was not held against our header yet, until what it names has come."""
        row = self.chains.get(receipt.chain)
        if row is not None and receipt.next > row.custody(receipt.mark):
            self._unproven.setdefault(receipt.chain, []).append(receipt)

    def _prove(self, chain: Chain) -> None:
        row = self.chains.get(chain)
        assert row is not None
        for receipt in self._unproven.pop(chain):
            if receipt.next > row.next:
                self._note_unproven(receipt)
            elif self._weigh(receipt) is Custody.ADVANCED:
                row = replace(row)
                _advance(row, receipt)
                self.publish(row)

    # -- housekeeping ----------------------------------------------------------------------------

    def rewound(self, row: ChainRow) -> None:
        """Show a chain whose mark was lowered; its rows and holes above are gone already."""
        self.chains.drop_holes(row.chain, row.next)
        self.publish(row)

    def forget(self, chain: Chain) -> None:
        """Drop a finished chain whose rows are gone already."""
        self.chains.forget(chain)
        self._trimmable.discard(chain)
        self._unproven.pop(chain, None)
        for key in [key for key in self._cursors if key[1] == chain]:
            del self._cursors[key]

    def used_bytes(self) -> int:
        """Bytes of the file that hold something; pages freed by trimming are used again."""
        with sqlite_errors(schema.WHAT):
            pages, free, size = (
                self.connection.execute(f"pragma {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    # -- leaves --------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Durable as a whole or not at all; carries the cursors that moved since the last one."""
        news = self._cursor_news
        with sqlite_errors(schema.WHAT):
            self.connection.execute("begin immediate")
            try:
                yield
                if news:
                    self._write_cursors(news)
                crash.point("hub:before-commit")
                self.connection.execute("commit")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("rollback")
                raise
        self._cursor_news = set()
        crash.point("hub:after-commit")

    def _write_cursors(self, news: Iterable[tuple[str, Chain]]) -> None:
        entries = []
        for upstream, chain in news:
            row = self.chains.get(chain)
            if row is not None:
                entries.append((upstream, row.id, self._cursors[(upstream, chain)]))
        self.connection.executemany("insert or replace into cursors values(?, ?, ?)", entries)

    def _load_cursors(self) -> dict[tuple[str, Chain], int]:
        query = (
            "select upstream, gateway, stream, epoch, u.next from cursors u join chains c on c.id = u.chain"
        )
        return {
            (upstream, Chain(gateway, Stream(stream), epoch)): next_
            for upstream, gateway, stream, epoch, next_ in self.connection.execute(query)
        }

    def publish(self, row: ChainRow, batches: Sequence[Batch] = ()) -> None:
        """Show a chain that is durable, with the batches that joined it, to all who listen."""
        self.chains.publish(row)
        if row.floor < self._limit(row):
            self._trimmable.add(row.chain)
        else:
            self._trimmable.discard(row.chain)
        for listener in self._listeners:
            listener(row, batches)

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self.connection.execute(query, values).fetchone()
        return found


def _count(row: ChainRow, samples: int, batch: Batch) -> None:
    row.next += 1
    row.batches += 1
    row.bytes += batch.size
    row.samples += samples
    row.tombstones += batch.is_tombstone


def _advance(row: ChainRow, receipt: Receipt) -> None:
    row.hq_next = max(row.hq_next, receipt.next)
    if receipt.mark is Mark.BACKED_UP:
        row.backed_next = max(row.backed_next, receipt.next)


def columns(row: ChainRow) -> tuple[Any, ...]:
    """A row as `UPSERT_CHAIN` takes it."""
    gateway, stream, epoch = row.chain
    return (
        *(row.id, gateway, int(stream), epoch, row.first, row.floor, row.next, row.head),
        *(row.hq_next, row.backed_next),
        *(row.batches, row.samples, row.tombstones, row.bytes, row.trimmed),
    )


_INSERT_BATCH = (
    "insert into batches(chain, seq, samples, header, payload, signature) values(?, ?, ?, ?, ?, ?)"
)

UPSERT_CHAIN = """
insert into chains values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict(id) do update set
    floor = excluded.floor, next = excluded.next, head = excluded.head,
    hq_next = excluded.hq_next, backed_next = excluded.backed_next, batches = excluded.batches,
    samples = excluded.samples, tombstones = excluded.tombstones, bytes = excluded.bytes,
    trimmed = excluded.trimmed
"""
