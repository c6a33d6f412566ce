"""One commit cycle: from accepted batches to rows that are durable in every table.

Rules:
1. Order: payloads into the archive, then the tables `ledger`, `series`, `gaps`, `events`,
   and `samples` last. Each step is durable before the next begins.
2. Each table remembers with its rows, in one transaction, the last sequence of every chain
   that it holds (its *marks*). A table never takes what is below its own mark.
3. A chain is durable up to the mark of `samples`, the table written last; every cycle
   moves that mark, with rows or without. So what stands below it stands in every table.
4. A crash between two tables leaves a prefix of them ahead. The batch is then taken in
   again, from the archive (`recover`) or from its sender: it finds its number in the
   ledger and fills only the tables that lack it.
5. A sample is taken once: where a gateway's history has branched, rows that another batch
   has brought are left out, and the ledger says how many (`repeats`).
6. A batch that is signed and chained but cannot be read is refused, not lost: the ledger
   keeps its header, quarantine its payload, `gaps` says what is missing, and the chain
   goes on behind it.

Nothing here opens a file: tables, archive and time are handed in, and the deterministic
simulation hands in its own.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headquarters.ingest.repeats import Branches, Epoch, Wanted
from headquarters.ingest.rows import (
    DeclaredBy,
    EventRow,
    GapRow,
    LedgerRow,
    SampleChunk,
    SeriesRow,
    Status,
    check_blocks,
    chunk,
    event_rows,
    record_body,
)
from headquarters.ingest.series import SeriesRegistry
from headquarters.ingest.stores import Archive, Reference, Table, Tables
from protocols import columns, crash
from protocols.batch import Batch, Chain, Header, Kind, Stream, check_payload, header_hash, opened_us
from protocols.errors import IntegrityError, PeerError
from protocols.records import Gap, GapCause, Opening, RefusalReason, parse_definitions, parse_gaps
from protocols.session import Accepted

RECOVERED_TOGETHER = 64
"""Batches finished in one commit after a crash: bounds memory to what one commit takes."""


class Refused(NamedTuple):
    """A batch that cannot be read; `accepted` was taken all the same."""

    accepted: Accepted
    reason: RefusalReason
    text: str


@dataclass(slots=True)
class Cycle:
    """What one commit will write.

    Args:
        accepted: The batches that will be durable, in the order they came.
        payloads: One for each row of `ledger`, empty for a tombstone.
        refused: Those whose sender must be told.
        forked: Chains whose last batch is not the one that the ledger knows; the rest of
            what came of them was left out.
    """

    accepted: list[Accepted] = field(default_factory=list)
    ledger: list[LedgerRow] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    series: list[SeriesRow] = field(default_factory=list)
    gaps: list[GapRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    samples: list[SampleChunk] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    forked: set[Chain] = field(default_factory=set)

    @property
    def marks(self) -> dict[Chain, int]:
        """The last sequence of every chain in this cycle."""
        return {accepted.chain: accepted.header.seq for accepted in self.accepted}

    @property
    def rows(self) -> int:
        """Sample rows to write."""
        return sum(map(len, self.samples))


class Ingest:
    """The one that takes in; see the module's docstring.

    `prepare` may run for the next cycle while `commit` writes the one before; both are
    called in order. After a commit that failed, nothing of this object holds any more:
    begin a new one over the same tables.

    Args:
        tables: Where rows go.
        archive: Where payloads go.
        site_of: The site of a gateway, by the allow-list.
        buckets: Partitions of each date; a site's rows always go to the same one.
        once: Leave out rows that came before; a verification wants all rows of every batch.
    """

    def __init__(
        self,
        tables: Tables,
        archive: Archive,
        site_of: Callable[[str], str],
        buckets: int = 1,
        *,
        once: bool = True,
    ) -> None:
        self._once = once
        self._tables = tables
        self._archive = archive
        self._site_of = site_of
        self._buckets = buckets
        self._registry = SeriesRegistry(tables.series.load(), site_of)
        self._next_batch = tables.ledger.last_batch() + 1
        self._branches = Branches(tables.epochs(), tables.samples.mark)
        self._last: list[SampleChunk] = []

    @property
    def registry(self) -> SeriesRegistry:
        """The series bound so far."""
        return self._registry

    def prepare(self, accepted: Iterable[Accepted], received_us: int) -> Cycle:
        """Decode batches into rows; nothing is written.

        Args:
            accepted: Verified batches, each chain in order.
            received_us: Now, in microseconds since 1970.
        """
        cycle = Cycle()
        for item in accepted:
            if item.chain not in cycle.forked:
                cycle.accepted.append(item)
                self._prepare_one(cycle, item, received_us)
        cycle.series = self._registry.take_new()
        self._last = cycle.samples  # not durable yet, perhaps
        return cycle

    def commit(self, cycle: Cycle) -> None:
        """Make a prepared cycle durable, in the order of rule 1.

        Raises:
            StoreError: A table or the archive could not be written; begin a new `Ingest`.
        """
        marks = cycle.marks
        for refused in cycle.refused:
            item = refused.accepted
            self._archive.quarantine(item.chain, item.header.seq, item.batch.payload)
        if cycle.ledger:
            self._tables.ledger.append(self._archived(cycle), _ahead(self._tables.ledger, marks))
            crash.point("hq:after-ledger")
        if cycle.series:
            self._tables.series.append(cycle.series, {})
            crash.point("hq:after-series")
        if cycle.gaps:
            self._tables.gaps.append(cycle.gaps, _ahead(self._tables.gaps, marks))
            crash.point("hq:after-gaps")
        if cycle.events:
            self._tables.events.append(cycle.events, _ahead(self._tables.events, marks))
            crash.point("hq:after-events")
        self._tables.samples.append(cycle.samples, _ahead(self._tables.samples, marks))
        crash.point("hq:after-samples")

    def recover(self, received_us: int) -> int:
        """Finish, from the archive, what a crash left in some tables only; call before taking in.

        What the archive no longer has stays below the mark of `samples` open, and comes
        again from its sender.

        Returns:
            How many batches were finished.
        """
        behind: list[tuple[int, Accepted]] = []
        for chain, last in self._tables.ledger.chains().items():
            durable = self._tables.samples.mark(chain)
            behind += self._from_archive(chain, range(0 if durable is None else durable + 1, last + 1))
        behind.sort(key=lambda pair: pair[0])  # as they came the first time
        for at in range(0, len(behind), RECOVERED_TOGETHER):
            together = [item for _, item in behind[at : at + RECOVERED_TOGETHER]]
            self.commit(self.prepare(together, received_us))
        return len(behind)

    # -- leaves --------------------------------------------------------------------------

    def _archived(self, cycle: Cycle) -> list[LedgerRow]:
        """Put the payloads into the archive; the ledger rows with where they lie."""
        references = iter(self._archive.append([payload for payload in cycle.payloads if payload]))
        crash.point("hq:after-archive")
        rows = []
        for row, payload in zip(cycle.ledger, cycle.payloads, strict=True):
            if payload:
                segment, offset = next(references)
                row = row._replace(segment=segment, offset=offset)
            rows.append(row)
        return rows

    def _from_archive(self, chain: Chain, sequences: range) -> list[tuple[int, Accepted]]:
        """Batches with their numbers."""
        accepted: list[tuple[int, Accepted]] = []
        hole_from = None
        for seq in sequences:
            row = self._tables.ledger.find(chain, seq)
            if row is None:  # given up as a hole, which the batch after it declares
                hole_from = seq if hole_from is None else hole_from
                continue
            batch = self._archived_batch(row)
            if batch is None:
                break
            accepted.append((row.batch, Accepted(chain, row.fields, batch, hole_from)))
            hole_from = None
        return accepted

    def _archived_batch(self, row: LedgerRow) -> Batch | None:
        """A batch as it came, if the archive still has its very payload."""
        payload: bytes | None = b""
        if row.segment:
            payload = self._archive.read(Reference(row.segment, row.offset), row.fields.payload_bytes)
        if payload is None:
            return None
        batch = Batch(row.header, payload, row.signature)
        try:
            check_payload(row.fields, batch)
        except IntegrityError:
            return None
        return batch

    def _prepare_one(self, cycle: Cycle, item: Accepted, received_us: int) -> None:
        chain, header = item.chain, item.header
        known = None
        if _held(self._tables.ledger, chain, header.seq):
            known = self._tables.ledger.find(chain, header.seq)
        if known is not None and header_hash(known.header) != header_hash(item.batch.header):
            self._fork(cycle, item, known, received_us)
            return
        batch = self._next_batch if known is None else known.batch
        status = Status.TOMBSTONE if item.batch.is_tombstone else Status.STORED
        repeated = 0
        if status is Status.STORED:
            try:
                repeated = self._take(cycle, item, batch, known, received_us)
            except PeerError as error:
                status = Status.REFUSED
                cycle.refused.append(Refused(item, RefusalReason.PAYLOAD, str(error)))
                self._declare(cycle, header, batch, received_us, GapCause.REFUSED, str(error))
        if item.hole_from is not None:
            self._declare_hole(cycle, header, item.hole_from, batch, received_us)
        if known is None:
            self._next_batch += 1
            cycle.ledger.append(
                LedgerRow(
                    *(batch, item.batch.header, item.batch.signature, status, received_us, "", 0),
                    header,
                    repeated,
                )
            )
            cycle.payloads.append(item.batch.payload)

    def _fork(self, cycle: Cycle, item: Accepted, known: LedgerRow, received_us: int) -> None:
        """What the ledger knows under this sequence is another batch, whose payload nobody has.

        It can only be one that a crash left in the ledger alone, the archive being lost too
        and the gateway restored from an image older than it.
        """
        text = f"sequence {item.header.seq} is in the ledger with another header"
        cycle.forked.add(item.chain)
        cycle.refused.append(Refused(item, RefusalReason.FORK, text))
        self._declare(cycle, known.fields, known.batch, received_us, GapCause.STORE_DAMAGED, text)

    def _take(
        self, cycle: Cycle, item: Accepted, batch: int, known: LedgerRow | None, received_us: int
    ) -> int:
        """Read a payload into the rows of those tables that lack it.

        What the ledger knows already is taken as it was the first time: compared with the lake or not.

        Returns:
            How many rows were left out because another batch had brought them.

        Raises:
            PeerError: The payload cannot be read; no row was added.
        """
        header, payload = item.header, item.batch.payload
        gateway = header.gateway
        if header.kind is Kind.DATA:
            blocks = columns.decode(payload)
            check_blocks(header, blocks)
            self._branches.grew(item.chain, header.seq)
            if _held(self._tables.samples, item.chain, header.seq):
                return 0
            bound = [
                (block, self._registry.bind(gateway, block, header.t_min_us))
                for block in blocks
                if len(block)
            ]
            chunks = [chunk(block, *runs, batch, self._bucket(gateway)) for block, runs in bound]
            compared = self._once and (
                self._branches.may_repeat(header) if known is None else known.repeated > 0
            )
            fresh = self._fresh(chunks, cycle) if compared else chunks
            cycle.samples += fresh
            return sum(map(len, chunks)) - sum(map(len, fresh))
        body = record_body(header, payload)
        if header.kind is Kind.META:
            definitions = parse_definitions(body)
            self._registry.define(gateway, definitions, hashlib.sha256(body).digest(), header.t_min_us)
        elif header.kind is Kind.GAP:
            declared = [
                GapRow(gap, gateway, DeclaredBy.GATEWAY, batch, received_us) for gap in parse_gaps(body)
            ]
            if not _held(self._tables.gaps, item.chain, header.seq):
                cycle.gaps.extend(declared)
        else:
            events = event_rows(header, body, batch, received_us)
            if not _held(self._tables.events, item.chain, header.seq):
                cycle.events += events
            if header.kind is Kind.OPEN and header.stream is Stream.DATA:
                opening = Opening.parse(body)
                said = (opening.follows, opening.follows_next)
                self._branches.opened(Epoch.of(item.chain, *said, header.t_min_us, received_us))
        return 0

    def _fresh(self, chunks: list[SampleChunk], cycle: Cycle) -> list[SampleChunk]:
        """What neither the lake nor the cycles before it have yet of the rows of a batch."""
        found = []
        for part in chunks:
            wanted = Wanted(part)
            known = self._tables.samples.known(wanted)
            for other in (*self._last, *cycle.samples):
                known |= wanted.among_chunk(other)
            fresh = wanted.fresh(known)
            if fresh.any():
                found.append(part if fresh.all() else part.take(fresh))
        return found

    def _declare(
        self, cycle: Cycle, header: Header, batch: int, received_us: int, cause: GapCause, text: str
    ) -> None:
        """Say in our own name that the samples of one batch are missing."""
        gap = Gap(
            cause,
            header.t_min_us,
            header.t_max_us + 1,
            samples=header.n,
            epoch=header.epoch,
            seq_from=header.seq,
            seq_to=header.seq + 1,
            detail=text,
        )
        self._add_gap(cycle, header, GapRow(gap, header.gateway, DeclaredBy.HEADQUARTERS, batch, received_us))

    def _declare_hole(
        self, cycle: Cycle, header: Header, hole_from: int, batch: int, received_us: int
    ) -> None:
        """Say in our own name that the batches from `hole_from` up to this one are missing.

        Where all before it are, they begin when their epoch was opened.
        """
        before = self._tables.ledger.find(header.chain, hole_from - 1) if hole_from else None
        began_us = header.t_min_us if hole_from else opened_us(header.epoch)
        t_from = began_us if before is None else before.fields.t_max_us + 1
        gap = Gap(
            GapCause.TRIMMED,
            min(t_from, header.t_min_us),
            header.t_min_us,
            epoch=header.epoch,
            seq_from=hole_from,
            seq_to=header.seq,
            detail="no sender holds these batches any more",
        )
        self._add_gap(cycle, header, GapRow(gap, header.gateway, DeclaredBy.HEADQUARTERS, batch, received_us))

    def _add_gap(self, cycle: Cycle, header: Header, row: GapRow) -> None:
        if not _held(self._tables.gaps, header.chain, header.seq):
            cycle.gaps.append(row)

    def _bucket(self, gateway: str) -> int:
        return zlib.crc32(self._site_of(gateway).encode()) % self._buckets


def _held(table: Table[Any], chain: Chain, seq: int) -> bool:
    mark = table.mark(chain)
    return mark is not None and seq <= mark


def _ahead(table: Table[Any], marks: Mapping[Chain, int]) -> dict[Chain, int]:
    """Those marks that are beyond what a table holds already: a mark never falls."""
    return {chain: seq for chain, seq in marks.items() if not _held(table, chain, seq)}
