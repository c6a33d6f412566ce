"""What a sender to one upstream reads: offers from memory, batches from memory or the disk.

An `UpstreamOutbox` belongs to the thread that relays; the store tells it what changed, from
the thread that stores. Batches that were just stored are taken from `Recent`, so that a hub
in step with its upstream never reads its disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from threading import Lock

from hub import limits, schema
from hub.chains import ChainRow
from hub.store import Store
from protocols.batch import Batch, Chain, Stream
from protocols.session import Offer
from protocols.sqlitefile import sqlite_errors


class Recent:
    """The batches stored last, within a bound of bytes; safe between threads.

    Args:
        bytes_max: The oldest go when more than this is held.
    """

    def __init__(self, bytes_max: int = limits.RECENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._batches: dict[tuple[int, int], Batch] = {}
        self._lock = Lock()

    def add(self, row: ChainRow, batches: Sequence[Batch]) -> None:
        """Take in what was just stored; it ends at `row.next`. A listener of the store."""
        with self._lock:
            for seq, batch in enumerate(batches, row.next - len(batches)):
                former = self._batches.pop((row.id, seq), None)
                self._bytes += batch.size - (former.size if former else 0)
                self._batches[row.id, seq] = batch
            while self._bytes > self._bytes_max:
                oldest = next(iter(self._batches))
                self._bytes -= self._batches.pop(oldest).size

    def run(self, row: ChainRow, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        """The consecutive batches held from `seq` on, within the bounds but for the first."""
        found: list[Batch] = []
        size = 0
        with self._lock:
            for at in range(seq, min(seq + batches_max, row.next)):
                batch = self._batches.get((row.id, at))
                if batch is None or (found and size + batch.size > bytes_max):
                    break
                found.append(batch)
                size += batch.size
        return found


class UpstreamOutbox:
    """The chains of a store as offered to one upstream.

    Args:
        store: Told us what changes; only its published chains are read here.
        upstream: The upstream's name, for its cursor.
        connection: For reading batches; the relaying thread's own.
        recent: What was just stored; the store's listener fills it.
    """

    def __init__(self, store: Store, upstream: str, connection: sqlite3.Connection, recent: Recent) -> None:
        self._store = store
        self._upstream = upstream
        self._connection = connection
        self._recent = recent
        self._offers: dict[Chain, Offer] = {}
        self._newest: dict[tuple[str, Stream], Chain] = {}
        self._news: dict[Chain, None] = {}
        self._news_lock = Lock()
        self._generation = 0
        store.listen(self._changed)  # first, so that nothing between the two is missed
        with self._news_lock:
            self._news.update(dict.fromkeys(row.chain for row in store.chains))

    @property
    def generation(self) -> int:
        """Grows whenever `offers` would answer differently."""
        return self._generation

    def offers(self) -> list[Offer]:
        """Every chain of which something is held, and the current ones."""
        with self._news_lock:
            news, self._news = self._news, {}
        for chain in news:
            self._renew(chain)
        return list(self._offers.values())

    def read(self, chain: Chain, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        """Consecutive batches from `seq`, at least one if it is held.

        Raises:
            StoreError: The disk failed.
        """
        row = self._store.chains.get(chain)
        if row is None or not row.floor <= seq < row.next:
            return []
        found = self._recent.run(row, seq, batches_max, bytes_max)
        return found or self._from_disk(row, seq, batches_max, bytes_max)

    def _from_disk(self, row: ChainRow, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        query = (
            "select seq, header, payload, signature from batches"
            " where chain = ? and seq >= ? and seq < ? order by seq"
        )
        found: list[Batch] = []
        size = 0
        with sqlite_errors(schema.WHAT):
            cursor = self._connection.execute(query, (row.id, seq, min(seq + batches_max, row.next)))
            for at, *parts in cursor:
                batch = Batch(*parts)
                if at != seq + len(found) or (found and size + batch.size > bytes_max):
                    break
                found.append(batch)
                size += batch.size
            cursor.close()
        return found

    def _changed(self, row: ChainRow, batches: Sequence[Batch]) -> None:
        with self._news_lock:  # each chain once: nobody takes them while the upstream is away
            self._news[row.chain] = None
        self._generation += 1

    def _renew(self, chain: Chain) -> None:
        key = (chain.gateway, chain.stream)
        before = self._newest.setdefault(key, chain)
        if before.epoch < chain.epoch:
            self._newest[key] = chain
            self._renew(before)
        row = self._store.chains.get(chain)
        if row is None or (row.floor == row.next and not self._store.chains.is_current(chain)):
            self._offers.pop(chain, None)
            return
        oldest = self._store.chains.oldest_for(row, self._store.cursor(self._upstream, chain))
        self._offers[chain] = Offer(chain, oldest, row.next, row.head)
