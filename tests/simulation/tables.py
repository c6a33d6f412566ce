"""Headquarters' tables and archive in memory, each append atomic, as the real ones are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from headquarters.ingest.repeats import Epoch, Key, Wanted, keys_of
from headquarters.ingest.rows import EventRow, GapRow, LedgerRow, SampleChunk, SeriesRow
from headquarters.ingest.stores import Reference
from protocols.batch import Chain, header_hash

Row = TypeVar("Row")


class MemoryTable(Generic[Row]):
    """Rows and marks; `watermark` off is the ablation that must make duplicates."""

    def __init__(self, watermark: bool = True) -> None:
        self.rows: list[Row] = []
        self.marks: dict[Chain, int] = {}
        self.watermark = watermark

    def append(self, rows: Sequence[Row], marks: Mapping[Chain, int]) -> None:
        for chain, seq in marks.items():
            assert not self.watermark or seq >= self.marks.get(chain, -1), "a mark went back"
        self.rows.extend(rows)
        self.marks.update(marks)

    def mark(self, chain: Chain) -> int | None:
        return self.marks.get(chain) if self.watermark else None


class MemoryLedger(MemoryTable[LedgerRow]):
    """The ledger with its index."""

    def __init__(self, watermark: bool = True) -> None:
        super().__init__(watermark)
        self._index: dict[tuple[Chain, int], LedgerRow] = {}

    def append(self, rows: Sequence[LedgerRow], marks: Mapping[Chain, int]) -> None:
        for row in rows:
            key = (row.fields.chain, row.fields.seq)
            assert not self.watermark or key not in self._index, f"{key} is in the ledger already"
            self._index[key] = row
        super().append(rows, marks)

    def find(self, chain: Chain, seq: int) -> LedgerRow | None:
        return self._index.get((chain, seq)) if self.watermark else None

    def last_batch(self) -> int:
        return max((row.batch for row in self.rows), default=0)

    def chains(self) -> dict[Chain, int]:
        return dict(self.marks) if self.watermark else {}


class MemorySamples(MemoryTable[SampleChunk]):
    """The samples, which can be looked at."""

    def known(self, wanted: Wanted) -> set[Key]:
        return wanted.among(key for chunk in self.rows for key in keys_of(chunk))


class MemorySeries(MemoryTable[SeriesRow]):
    """The series table."""

    def load(self) -> list[SeriesRow]:
        return list(self.rows)


class MemoryTables:
    """All tables of a lake."""

    def __init__(self, watermark: bool = True) -> None:
        self.ledger = MemoryLedger(watermark)
        self.series = MemorySeries(watermark)
        self.gaps: MemoryTable[GapRow] = MemoryTable(watermark)
        self.events: MemoryTable[EventRow] = MemoryTable(watermark)
        self.samples = MemorySamples(watermark)

    def epochs(self) -> list[Epoch]:
        rows = {row.batch: row for row in self.ledger.rows}
        found = []
        for row in self.events.rows:
            if (row.kind, row.stream) == ("open", "data"):
                said = json.loads(row.detail)
                fields = rows[row.batch].fields
                times = fields.t_min_us, row.received_us
                found.append(Epoch.of(fields.chain, said["follows"], said["next"], *times))
        return found


class MemoryArchive:
    """Payloads by place."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.quarantined: dict[tuple[Chain, int], bytes] = {}

    def append(self, payloads: Sequence[bytes]) -> list[Reference]:
        first = len(self.payloads)
        self.payloads.extend(payloads)
        return [Reference("segment", first + i) for i in range(len(payloads))]

    def read(self, reference: Reference, size: int) -> bytes | None:
        if reference.offset >= len(self.payloads):
            return None
        payload = self.payloads[reference.offset]
        assert len(payload) == size
        return payload

    def quarantine(self, chain: Chain, seq: int, payload: bytes) -> None:
        self.quarantined[(chain, seq)] = payload


class TableMarks:
    """What a receiver at headquarters knows to be durable."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    def mark(self, chain: Chain) -> tuple[int, bytes] | None:
        last = self._tables.samples.mark(chain)
        if last is None:
            return None
        row = self._tables.ledger.find(chain, last)
        assert row is not None, "samples are ahead of the ledger"
        return last + 1, header_hash(row.header)

    def header_hash(self, chain: Chain, seq: int) -> bytes | None:
        row = self._tables.ledger.find(chain, seq)
        return None if row is None else header_hash(row.header)
