"""What headquarters tells its receiver to be durable.

A chain stands where the table written last has its mark; the hash of the header there
comes from the ledger. Both are asked at each offer and each repeated batch, so what was
answered lately is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from headquarters import limits
from headquarters.ingest.cycle import Cycle
from headquarters.ingest.stores import Tables
from protocols.batch import Chain, header_hash


class LakeMarks:
    """The receiver's `Marks` over the tables of a lake."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._hashes: OrderedDict[tuple[Chain, int], bytes] = OrderedDict()
        self._asked: set[Chain] = set()

    def replace(self, tables: Tables) -> None:
        """Look into other tables from now on: the lake was opened again."""
        self._tables = tables
        self._hashes.clear()

    def mark(self, chain: Chain) -> tuple[int, bytes] | None:
        """(next sequence, hash of the header before it), or `None` for a chain never seen."""
        self._asked.add(chain)
        return self.durable(chain)

    def durable(self, chain: Chain) -> tuple[int, bytes] | None:
        """The same, asked by ourselves."""
        last = self._tables.samples.mark(chain)
        if last is None:
            return None
        return last + 1, self.header_hash(chain, last) or b""

    def header_hash(self, chain: Chain, seq: int) -> bytes | None:
        """Hash of a durable header, or `None` when the ledger has no such row."""
        known = self._hashes.get((chain, seq))
        if known is None:
            row = self._tables.ledger.find(chain, seq)
            if row is None:
                return None
            known = header_hash(row.header)
            self._remember(chain, seq, known)
        return known

    def remember(self, heads: Mapping[tuple[Chain, int], bytes]) -> None:
        """Take over header hashes that were found together, which costs less than one by one."""
        for (chain, seq), hash_ in heads.items():
            self._remember(chain, seq, hash_)

    def committed(self, cycle: Cycle) -> None:
        """Remember the hashes of what has just become durable."""
        for item in cycle.accepted:
            if item.chain not in cycle.forked:
                self._remember(item.chain, item.header.seq, header_hash(item.batch.header))

    def asked(self) -> set[Chain]:
        """Chains that were asked for since the last call: someone offers them and waits for receipts."""
        asked, self._asked = self._asked, set()
        return asked

    def _remember(self, chain: Chain, seq: int, hash_: bytes) -> None:
        self._hashes[(chain, seq)] = hash_
        if len(self._hashes) > limits.HASHES_MAX:
            self._hashes.popitem(last=False)
