"""What the tests of the gateway's buffer share: a clock, keys, and an eye on its chains."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable

from edge_runtime.buffer import Buffer, Limits, Shared, Store
from protocols import columns
from protocols.batch import (
    ZERO_HASH,
    Batch,
    Chain,
    Clock,
    ClockState,
    Header,
    Kind,
    Stream,
    check_payload,
    check_signature,
    header_hash,
)
from protocols.identity import SigningKey, VerifyKey
from protocols.records import Gap, Mark, Receipt, inflate, parse_gaps, sign_record
from protocols.samples import SampleBlock, ValueType

S = 1_000_000
T0 = 1_700_000_000 * S

GATEWAY = SigningKey(b"g" * 32)
HEADQUARTERS = SigningKey(b"h" * 32)


class PowerCutError(Exception):
    """The simulated end of a process."""


class TestClock:
    """A clock that goes where it is told."""

    __test__ = False

    def __init__(self) -> None:
        self.us = T0

    def now_us(self) -> int:
        return self.us

    def stamp(self) -> Clock:
        return Clock(b"boot" * 4, self.us - T0, ClockState.SYNCHRONISED, 0)


class World:
    """A buffer on a disk that outlives it."""

    def __init__(
        self, limits: Limits | None = None, seed: int = 1, trim: Mark = Mark.HEADQUARTERS, begin: bool = True
    ) -> None:
        self.disk = sqlite3.connect(":memory:", check_same_thread=False)
        self.clock = TestClock()
        self.random = random.Random(seed)
        self.limits = limits
        self.trim = trim
        self.boot(begin)

    def boot(self, begin: bool = True) -> Buffer:
        """Start anew on what the disk holds."""
        store = Store(self.disk)
        store.prepare()
        self.buffer = Buffer(
            store,
            "gw1",
            GATEWAY,
            headquarters=VerifyKey(HEADQUARTERS.public),
            clock=self.clock,
            limits=self.limits,
            trim=self.trim,
            random=self.random.randbytes,
            shared=Shared(),
        )
        if begin:
            self.buffer.begin()
        return self.buffer

    def append(
        self, count: int = 1, *, stream: Stream = Stream.DATA, size: int | None = None, n: int = 10
    ) -> None:
        """Append data batches of `n` samples, a second apart."""
        for _ in range(count):
            self.clock.us += S
            at = self.clock.us
            payload = self.random.randbytes(size) if size else encoded(at, n)
            kind = Kind.DATA if stream is Stream.DATA else Kind.EVENT
            self.buffer.append(stream, kind, payload, n, at, at, compressed=size is None)

    def chain(self, stream: Stream = Stream.DATA) -> Chain:
        """The stream's newest chain."""
        return max(offer.chain for offer in self.buffer.offers() if offer.chain.stream is stream)

    def held(self, chain: Chain) -> list[Batch]:
        """Every batch of a chain that is held, as it lies on the disk; looking changes nothing."""
        rows = self.disk.execute("select header, coalesce(payload, x''), signature from batches order by id")
        batches = [Batch(*row) for row in rows]
        return [batch for batch in batches if Header.parse(batch.header).chain == chain]

    def headers(self, chain: Chain) -> list[Header]:
        """Their headers."""
        return [Header.parse(batch.header) for batch in self.held(chain)]

    def gaps(self) -> list[Gap]:
        """Every gap that was declared and is still held."""
        found: list[Gap] = []
        for offer in sorted(self.buffer.offers()):
            if offer.chain.stream is Stream.META:
                for batch in self.held(offer.chain):
                    header = Header.parse(batch.header)
                    if header.kind is Kind.GAP:
                        found += parse_gaps(inflate(batch.payload, bool(header.flags)))
        return found

    def receipt(
        self,
        chain: Chain,
        next_: int,
        *,
        key: SigningKey = HEADQUARTERS,
        head: bytes | None = None,
        mark: Mark = Mark.HEADQUARTERS,
    ) -> bool:
        """Give a receipt for a chain, as headquarters would."""
        own = next(o for o in self.buffer.offers() if o.chain == chain)
        if head is None:
            before = self.buffer.read(chain, next_ - 1, 1, 1)
            head = header_hash(before[0].header) if before else own.head
        receipt = Receipt(chain, next_, head, mark, self.clock.us)
        return self.buffer.on_receipt(receipt, sign_record(receipt, key))

    def check(self) -> None:
        """Whatever happened, the chains hold and the ledger is closed."""
        offers = self.buffer.offers()
        for offer in offers:
            head, seq = None, offer.oldest
            for batch in self.held(offer.chain):
                header = Header.parse(batch.header)
                check_signature(batch, VerifyKey(GATEWAY.public))
                if batch.payload:
                    check_payload(header, batch)
                assert (header.chain, header.seq) == (offer.chain, seq)
                if seq == 0:
                    assert header.kind is Kind.OPEN and header.previous == ZERO_HASH
                assert head is None or header.previous == head
                head, seq = header_hash(batch.header), seq + 1
            assert seq == offer.next
            assert head is None or head == offer.head
        counts = self.buffer.counts()
        assert counts.journalled == sum(chunk.n for chunk in self.buffer.journalled())

    def samples(self) -> list[int]:
        """The time of every sample that is held in a data batch, in order."""
        times: list[int] = []
        for offer in self.buffer.offers():
            if offer.chain.stream is Stream.DATA:
                for batch in self.held(offer.chain):
                    header = Header.parse(batch.header)
                    if header.kind is Kind.DATA and batch.payload:
                        times += [int(t) for block in columns.decode(batch.payload) for t in block.time]
        return sorted(times)


def encoded(time_us: int, n: int, spacing_us: int = 0) -> bytes:
    """A payload of `n` samples."""
    times = [time_us + i * spacing_us for i in range(n)]
    points = range(n) if not spacing_us else [1] * n
    return columns.encode([SampleBlock.make(ValueType.F64, points, times, [float(i) for i in range(n)])])


def crash_at(name: str, visit: int, error: BaseException) -> Callable[[str], None]:
    """A hook for `protocols.crash`: raises at the so-manieth visit of a point."""
    left = [visit]

    def hook(point: str) -> None:
        if point == name:
            left[0] -= 1
            if left[0] == 0:
                raise error

    return hook
