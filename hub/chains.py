"""What the hub knows of each chain, in memory, as it stands on disk.

The store publishes a chain here only after the transaction that changed it is durable, so
a reader in another thread never sees what a crash could take back. Every published value
is replaced whole and never altered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from protocols.batch import Chain, Stream
from protocols.records import Mark


class Hole(NamedTuple):
    """Sequences that this hub never got: from, to (exclusive)."""

    start: int
    end: int


@dataclass(slots=True)
class ChainRow:
    """One row of `chains`; a copy of it is changed and published after the commit.

    Args:
        id: Row id.
        chain: Which chain.
        first: The sequence at which the chain began here.
        floor: Oldest sequence still held; equal to `next` when all is trimmed.
        next: The sequence that is expected.
        head: SHA-256 of the header of `next - 1`; empty when it is not known.
        hq_next: Headquarters holds everything below it, and its head was compared with ours.
        backed_next: The same for backed-up.
        batches: Batches ever stored, tombstones included.
        samples: Samples that their headers count, tombstones not included.
        tombstones: Batches whose payload the gateway had dropped.
        bytes: Bytes ever stored.
        trimmed: Batches let go.
    """

    id: int
    chain: Chain
    first: int
    floor: int
    next: int
    head: bytes
    hq_next: int = 0
    backed_next: int = 0
    batches: int = 0
    samples: int = 0
    tombstones: int = 0
    bytes: int = 0
    trimmed: int = 0

    def custody(self, mark: Mark) -> int:
        """Everything below it is safe to the degree of `mark`."""
        return self.backed_next if mark is Mark.BACKED_UP else self.hq_next


class Chains:
    """All chains of a store, found by name; the newest epoch of each stream is its current one."""

    def __init__(self) -> None:
        self._rows: dict[Chain, ChainRow] = {}
        self._holes: dict[Chain, tuple[Hole, ...]] = {}
        self._current: dict[tuple[str, Stream], Chain] = {}
        self.next_id = 1

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Chains:
        """Read them from the store."""
        chains = cls()
        names = {}
        for id_, gateway, stream, epoch, *rest in connection.execute("select * from chains"):
            chain = names[id_] = Chain(gateway, Stream(stream), epoch)
            chains.publish(ChainRow(id_, chain, *rest))
        for id_, start, end in connection.execute("select * from holes order by seq_from"):
            chains.add_hole(names[id_], Hole(start, end))
        return chains

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ChainRow]:
        return iter(list(self._rows.values()))

    def get(self, chain: Chain) -> ChainRow | None:
        """The published row of a chain."""
        return self._rows.get(chain)

    def publish(self, row: ChainRow) -> None:
        """Show a row that is durable."""
        self._rows[row.chain] = row
        self.next_id = max(self.next_id, row.id + 1)
        key = (row.chain.gateway, row.chain.stream)
        current = self._current.get(key)
        if current is None or current.epoch < row.chain.epoch:
            self._current[key] = row.chain

    def forget(self, chain: Chain) -> None:
        """Drop a finished chain; never the current one of its stream."""
        assert not self.is_current(chain)
        del self._rows[chain]
        self._holes.pop(chain, None)

    def add_hole(self, chain: Chain, hole: Hole) -> None:
        """Show a hole that is durable."""
        self._holes[chain] = (*self._holes.get(chain, ()), hole)

    def holes(self, chain: Chain) -> tuple[Hole, ...]:
        """The holes of a chain, in order."""
        return self._holes.get(chain, ())

    def drop_holes(self, chain: Chain, from_seq: int) -> None:
        """Forget the holes that begin at `from_seq` or above it."""
        self._holes[chain] = tuple(hole for hole in self.holes(chain) if hole.start < from_seq)

    def is_current(self, chain: Chain) -> bool:
        """Whether no newer epoch of its stream is known."""
        return self._current.get((chain.gateway, chain.stream)) == chain

    def oldest_for(self, row: ChainRow, reached: int) -> int:
        """The first sequence that can be sent without a hole to a receiver that holds up to `reached`."""
        oldest = row.floor
        for hole in self.holes(row.chain):
            if hole.start <= reached:
                oldest = max(oldest, hole.end)
        return oldest
