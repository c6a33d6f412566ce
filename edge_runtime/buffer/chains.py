"""Chains and their batches in the store: sealing, reading, burying, trimming, moving.

Everything here runs inside a transaction of its caller. Nothing is cached: another thread
with a connection of its own may have opened an epoch since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from edge_runtime.store import SEQ_BITS, Store
from protocols.batch import (
    BATCH_DOMAIN,
    FLAG_ZSTD,
    SIGNATURE_BYTES,
    VERSION,
    ZERO_HASH,
    Batch,
    Chain,
    Clock,
    Header,
    Kind,
    Signer,
    Stream,
    bury,
    check_payload,
    header_hash,
    seal,
)
from protocols.errors import PeerError
from protocols.records import Opening, OpenReason

EPOCH_RANDOM_BYTES = 2
"""Beside the milliseconds, so that two clones that open an epoch in the same one still differ."""

_COLUMNS = (
    "no, stream, epoch, closed, oldest, next, head, final, stored, holder, stripped, emptied, handed, "
    "samples, bytes, t_min, t_max, heir, move_from, move_to"
)


class ClockSource(Protocol):
    """Where batches get their clock from."""

    def now_us(self) -> int:
        """Gateway time, microseconds UTC."""
        ...

    def stamp(self) -> Clock:
        """The clock as a batch states it."""
        ...


class ChainRow(NamedTuple):
    """One chain as stored.

    Args:
        no: Its number in this file.
        stream: Its stream.
        epoch: Its epoch.
        closed: No more batches are added to it.
        oldest: First sequence still held, in whatever form.
        next: The sequence to be made next; of a closed chain, its end.
        head: Hash of the header at `next - 1`.
        final: Headquarters signed for everything below.
        stored: `holder` holds everything below, as far as we remember.
        holder: The upstream that said so.
        stripped: Below it payloads may have been given up because `holder` has them.
        emptied: Below it no payload is left to give up.
        handed: Everything from here on was certainly never given to a link.
        samples: Samples whose home is this chain, buried ones included.
        bytes: What its batches take.
        t_min_us: Earliest time in any batch it ever had, or `None` while it has none.
        t_max_us: Latest time, likewise.
        heir: The chain into which a part of this one is being re-signed, or `None`.
        move_from: That part's first sequence,
        move_to: and its end.
    """

    no: int
    stream: Stream
    epoch: int
    closed: bool
    oldest: int
    next: int
    head: bytes
    final: int
    stored: int
    holder: str
    stripped: int
    emptied: int
    handed: int
    samples: int
    bytes: int
    t_min_us: int | None
    t_max_us: int | None
    heir: int | None
    move_from: int
    move_to: int

    def id_of(self, seq: int) -> int:
        """The rowid of a batch of this chain."""
        return self.no << SEQ_BITS | seq


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch before it has a place in a chain.

    Args:
        kind: What the payload holds.
        payload: Encoded; may be empty.
        n: Samples in it.
        t_min_us: Earliest sample, or when the record was made.
        t_max_us: Latest sample, or the same.
        clock: The clock when it was cut.
        table_hash: Point table of its samples.
        compressed: Whether the payload is a zstd frame.
        thinned: How often its samples were thinned out under quota pressure.
    """

    kind: Kind
    payload: bytes
    n: int
    t_min_us: int
    t_max_us: int
    clock: Clock
    table_hash: bytes = ZERO_HASH
    compressed: bool = False
    thinned: int = 0


class Chains:
    """The chains of one gateway.

    Args:
        store: The file.
        gateway: The gateway's name, as headers carry it.
        signer: The gateway's key.
        clock: For records that are made here.
        random: Gives so many random bytes.
    """

    def __init__(
        self, store: Store, gateway: str, signer: Signer, clock: ClockSource, random: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._signer = signer
        self._clock = clock
        self._random = random

    # -- finding ---------------------------------------------------------------------------

    def name(self, row: ChainRow) -> Chain:
        """The chain as the wire names it."""
        return Chain(self._gateway, row.stream, row.epoch)

    def all(self) -> list[ChainRow]:
        """Every chain that is remembered, by stream, the newest epoch of each first."""
        return [
            _row(r) for r in self._store.rows(f"select {_COLUMNS} from chains order by stream, epoch desc")
        ]

    def find(self, chain: Chain) -> ChainRow | None:
        """A chain by its name, if remembered and ours."""
        if chain.gateway != self._gateway:
            return None
        found = self._store.row(
            f"select {_COLUMNS} from chains where stream = ? and epoch = ?", (int(chain.stream), chain.epoch)
        )
        return None if found is None else _row(found)

    def by_no(self, no: int) -> ChainRow:
        """A chain by its number, which must exist."""
        return _row(self._store.row(f"select {_COLUMNS} from chains where no = ?", (no,)))

    def current(self, stream: Stream) -> ChainRow | None:
        """The chain of a stream that grows, or `None` when there is none yet."""
        found = self._store.row(
            f"select {_COLUMNS} from chains where stream = ? and closed = 0 order by epoch desc limit 1",
            (int(stream),),
        )
        return None if found is None else _row(found)

    def header(self, row: ChainRow, seq: int) -> bytes | None:
        """The packed header at a sequence, if held."""
        found = self._store.row("select header from batches where id = ?", (row.id_of(seq),))
        return None if found is None else bytes(found[0])

    def batches(self, row: ChainRow, seq: int, end: int) -> Iterator[tuple[int, int, Batch, bool]]:
        """(sequence, times thinned, batch, stripped) from `seq` below `end`; close it when done early."""
        cursor = self._store.execute(
            "select id, thinned, header, signature, payload from batches "
            "where id >= ? and id < ? order by id",
            (row.id_of(seq), row.id_of(end)),
        )
        try:
            for id_, thinned, header, signature, payload in cursor:
                batch = Batch(header, payload or b"", signature)
                yield id_ - row.id_of(0), thinned, batch, payload is None and not batch.is_tombstone
        finally:
            cursor.close()

    def draft_now(self, kind: Kind, payload: bytes, *, compressed: bool = False) -> Draft:
        """A record that is made now."""
        now_us = self._clock.now_us()
        return Draft(kind, payload, 0, now_us, now_us, self._clock.stamp(), compressed=compressed)

    # -- growing -----------------------------------------------------------------------------

    def open(self, stream: Stream, reason: OpenReason, follows: ChainRow | None) -> ChainRow:
        """Begin a new epoch with its OPEN record; what was current in the stream is closed."""
        now_us = self._clock.now_us()
        latest = self._store.fact(f"epoch:{stream.name}")
        drawn = max(0, now_us // 1000) << 16 | int.from_bytes(self._random(EPOCH_RANDOM_BYTES), "big")
        epoch = drawn if latest is None else max(drawn, latest + 1)
        self._store.remember(f"epoch:{stream.name}", epoch)
        self._store.execute("update chains set closed = 1 where stream = ? and closed = 0", (int(stream),))
        self._store.execute(
            "insert into chains(stream, epoch, reason, head) values (?, ?, ?, ?)",
            (int(stream), epoch, str(reason), ZERO_HASH),
        )
        record = Opening(
            reason, None if follows is None else follows.epoch, None if follows is None else follows.next
        )
        row = self.find(Chain(self._gateway, stream, epoch))
        assert row is not None
        self.add(row, self.draft_now(Kind.OPEN, record.pack()))
        return self.by_no(row.no)

    def add(self, row: ChainRow, draft: Draft) -> Header:
        """Seal a draft as the chain's next batch."""
        clock = draft.clock
        header = Header(
            version=VERSION,
            flags=FLAG_ZSTD if draft.compressed else 0,
            gateway=self._gateway,
            stream=row.stream,
            epoch=row.epoch,
            seq=row.next,
            kind=draft.kind,
            n=draft.n,
            t_min_us=draft.t_min_us,
            t_max_us=draft.t_max_us,
            boot_id=clock.boot_id,
            monotonic_us=clock.monotonic_us,
            clock_state=clock.state,
            clock_offset_us=clock.offset_us,
            table_hash=draft.table_hash,
            key_id=b"",
            previous=row.head,
            payload_hash=b"",
            payload_bytes=0,
        )
        batch = seal(header, draft.payload, self._signer)
        self._insert(row, batch, draft.thinned)
        self._grow(row, batch, header)
        return header

    def _insert(self, row: ChainRow, batch: Batch, thinned: int) -> None:
        self._store.execute(
            "insert into batches(id, thinned, header, signature, payload) values (?, ?, ?, ?, ?)",
            (
                row.id_of(row.next),
                thinned,
                batch.header,
                batch.signature,
                None if batch.is_tombstone else batch.payload,
            ),
        )

    def _grow(self, row: ChainRow, batch: Batch, header: Header) -> None:
        earliest = header.t_min_us if row.t_min_us is None else min(row.t_min_us, header.t_min_us)
        latest = header.t_max_us if row.t_max_us is None else max(row.t_max_us, header.t_max_us)
        self._store.execute(
            "update chains set next = ?, head = ?, samples = samples + ?, bytes = bytes + ?, "
            "t_min = ?, t_max = ? where no = ?",
            (
                row.next + 1,
                header_hash(batch.header),
                samples_of(header),
                batch.size,
                earliest,
                latest,
                row.no,
            ),
        )

    # -- giving up payloads --------------------------------------------------------------------

    def strip(self, row: ChainRow, seq: int, batch: Batch) -> int:
        """Give up the payload of a batch that an upstream holds. Returns the bytes won."""
        self._store.execute("update batches set payload = null where id = ?", (row.id_of(seq),))
        return self._shrink(row, len(batch.payload))

    def bury(self, row: ChainRow, seq: int, batch: Batch) -> tuple[Batch, int]:
        """Make a tombstone of a batch. Returns it, and the bytes won."""
        tombstone = bury(batch.header, batch.signature, self._signer)
        self._store.execute(
            "update batches set payload = null, signature = ? where id = ?",
            (tombstone.signature, row.id_of(seq)),
        )
        return tombstone, self._shrink(row, batch.size - tombstone.size)

    def trim(self, row: ChainRow, end: int) -> None:
        """Forget the batches below `end`."""
        (won,) = self._store.row(
            "select coalesce(sum(length(header) + length(signature) + coalesce(length(payload), 0)), 0) "
            "from batches where id >= ? and id < ?",
            (row.id_of(0), row.id_of(end)),
        )
        self._store.execute("delete from batches where id >= ? and id < ?", (row.id_of(0), row.id_of(end)))
        self._store.execute("update chains set oldest = max(oldest, ?) where no = ?", (end, row.no))
        self._shrink(row, won)

    def forget(self, row: ChainRow) -> None:
        """Remove a closed chain that holds nothing any more."""
        self._store.execute("delete from chains where no = ?", (row.no,))

    def _shrink(self, row: ChainRow, won: int) -> int:
        self._store.execute("update chains set bytes = bytes - ? where no = ?", (won, row.no))
        return won

    def remove(self, row: ChainRow, seq: int, batch: Batch) -> None:
        """Take one batch out of a chain that was cut before it."""
        self._store.execute("delete from batches where id = ?", (row.id_of(seq),))
        self._shrink(row, batch.size)

    def quarantine(self, batch: Batch, refusal: bytes) -> None:
        """Set a refused batch aside for people to look at, with the refusal as it was signed."""
        self._store.execute(
            "insert into quarantine(time, header, payload, signature, refusal) values (?, ?, ?, ?, ?)",
            (self._clock.now_us(), batch.header, batch.payload, batch.signature, refusal),
        )

    # -- looking for damage ------------------------------------------------------------------------

    def payload_holds(self, batch: Batch) -> bool:
        """Whether the payload is the one that the header was signed over."""
        try:
            check_payload(Header.parse(batch.header), batch)
        except PeerError:
            return False
        return True

    def signature_holds(self, batch: Batch) -> bool:
        """Whether the signature is the one we would make: Ed25519 signatures are deterministic (RFC 8032).

        Of a header that cannot be read, or that an earlier key signed, nothing is said.
        """
        try:
            if Header.parse(batch.header).key_id != self._signer.key_id:
                return True
        except PeerError:
            return True
        return batch.signature[:SIGNATURE_BYTES] == self._signer.sign(BATCH_DOMAIN, batch.header)

    def sign_again(self, row: ChainRow, seq: int, batch: Batch) -> Batch:
        """Replace a signature that was damaged on the disk; returns the batch with it."""
        signature = self._signer.sign(BATCH_DOMAIN, batch.header)
        if batch.is_tombstone:
            signature = bury(batch.header, signature, self._signer).signature
        self._store.execute("update batches set signature = ? where id = ?", (signature, row.id_of(seq)))
        return batch._replace(signature=signature)

    # -- moving to another chain -----------------------------------------------------------------

    def move(self, row: ChainRow, seq: int, batch: Batch, thinned: int, heir: ChainRow) -> ChainRow:
        """Sign a batch again as the next one of another chain; a tombstone stays one.

        Returns:
            The heir as it is now.
        """
        old = Header.parse(batch.header)
        header = old._replace(epoch=heir.epoch, seq=heir.next, previous=heir.head, key_id=self._signer.key_id)
        packed = header.pack()
        moved = Batch(packed, batch.payload, self._signer.sign(BATCH_DOMAIN, packed))
        if batch.is_tombstone:
            moved = bury(packed, moved.signature, self._signer)
        self._store.execute("delete from batches where id = ?", (row.id_of(seq),))
        self._insert(heir, moved, thinned)
        self._store.execute(
            "update chains set samples = samples - ?, bytes = bytes - ? where no = ?",
            (samples_of(old), batch.size, row.no),
        )
        self._grow(heir, moved, header)
        return self.by_no(heir.no)


def samples_of(header: Header) -> int:
    """Samples in a batch that the ledger counts."""
    return header.n if header.kind is Kind.DATA else 0


def _row(fields: tuple[Any, ...]) -> ChainRow:
    no, stream, epoch, closed, *rest = fields
    return ChainRow(no, Stream(stream), epoch, bool(closed), *rest)
