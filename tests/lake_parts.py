"""A gateway that writes chains by hand, and a lake on disk to take them in: for lake tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from headquarters import config, trust
from headquarters.config import HeadquartersConfig
from headquarters.ingest.cycle import Cycle, Ingest
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.tables import Lake, LakeTable
from protocols import columns
from protocols.batch import (
    FLAG_ZSTD,
    SIGNATURE_BYTES,
    ZERO_HASH,
    Batch,
    Chain,
    ClockState,
    Header,
    Kind,
    Stream,
    bury,
    header_hash,
    seal,
)
from protocols.identity import Identity
from protocols.records import (
    EventRecord,
    Gap,
    GapCause,
    Opening,
    OpenReason,
    PointDefinition,
    Statement,
    pack_definitions,
    pack_events,
    pack_gaps,
)
from protocols.samples import SampleBlock, ValueType
from protocols.session import Accepted

T0 = 1_790_000_000_000_000
"""2026-09-21T14:13:20Z: when the gateways of these tests began."""

NOW = T0 + 60_000_000
SECOND = 1_000_000


class HandGateway:
    """Chains of one gateway, grown batch by batch."""

    def __init__(self, name: str = "unit-1", site: str = "plant-a") -> None:
        self.identity = Identity.generate(name, "gateway", site)
        self.name = name
        self._next: dict[Chain, tuple[int, bytes]] = {}

    def chain(self, stream: Stream = Stream.DATA, epoch: int = 1) -> Chain:
        return Chain(self.name, stream, epoch)

    def batch(
        self,
        kind: Kind,
        payload: bytes,
        *,
        stream: Stream = Stream.DATA,
        epoch: int = 1,
        n: int = 0,
        times: tuple[int, int] = (T0, T0),
        flags: int = 0,
    ) -> Accepted:
        chain = self.chain(stream, epoch)
        seq, head = self._next.get(chain, (0, ZERO_HASH))
        header = Header(
            1, flags, self.name, stream, epoch, seq, kind, n, *times, bytes(16), 0,
            ClockState.SYNCHRONISED, 0, ZERO_HASH, bytes(8), head, bytes(32), 0,
        )  # fmt: skip
        batch = seal(header, payload, self.identity.signing)
        self._next[chain] = (seq + 1, header_hash(batch.header))
        return Accepted(chain, Header.parse(batch.header), batch)

    def open(
        self,
        stream: Stream = Stream.DATA,
        epoch: int = 1,
        follows: int | None = None,
        next_: int | None = None,
        at: int = T0,
    ) -> Accepted:
        reason = OpenReason.FIRST if follows is None else OpenReason.LIVE_FIRST
        payload = Opening(reason, follows, next_).pack()
        return self.batch(Kind.OPEN, payload, stream=stream, epoch=epoch, times=(at, at))

    def data(self, *blocks: SampleBlock, epoch: int = 1) -> Accepted:
        times = [t for block in blocks for t in block.time.tolist()]
        bounds = (min(times), max(times)) if times else (T0, T0)
        payload = columns.encode(list(blocks))
        return self.batch(Kind.DATA, payload, epoch=epoch, n=len(times), times=bounds, flags=FLAG_ZSTD)

    def meta(self, definitions: Iterable[PointDefinition], at: int = T0) -> Accepted:
        payload = pack_definitions(definitions)
        return self.batch(Kind.META, payload, stream=Stream.META, times=(at, at))

    def gaps(self, *gaps: Gap) -> Accepted:
        return self.batch(Kind.GAP, pack_gaps(gaps), stream=Stream.EVENT)

    def events(self, *events: EventRecord) -> Accepted:
        [payload] = pack_events(events)
        times = (payload.t_min_us, payload.t_max_us)
        return self.batch(Kind.EVENT, payload.data, stream=Stream.EVENT, times=times)

    def statement(
        self, chains: Sequence[tuple[int, int, int, int]], sealed: int = 0, at: int = T0
    ) -> Accepted:
        payload = Statement(at, sealed, 0, 0, sealed, {}, {}, tuple(chains)).pack()
        return self.batch(Kind.STATEMENT, payload, stream=Stream.META)

    def tombstone(self, accepted: Accepted) -> Accepted:
        batch = bury(accepted.batch.header, accepted.batch.signature[:SIGNATURE_BYTES], self.identity.signing)
        return accepted._replace(batch=batch)


def scan(second: int, points: Sequence[int] = (1, 2, 3), value: float = 20.5) -> SampleBlock:
    """One good f64 sample of each point at an instant."""
    n = len(points)
    values = [value + point + second / 8 for point in points]
    return SampleBlock.make(ValueType.F64, points, [T0 + second * SECOND] * n, values)


def quota_gap(accepted: Accepted) -> Gap:
    """What a gateway declares for a batch that it buried."""
    header = accepted.header
    return Gap(
        GapCause.QUOTA,
        header.t_min_us,
        header.t_max_us + 1,
        samples=header.n,
        epoch=header.epoch,
        seq_from=header.seq,
        seq_to=header.seq + 1,
    )


class Headquarters:
    """A home with a lake, taking in what it is given."""

    def __init__(self, home: Path, *gateways: HandGateway) -> None:
        self.home = home
        if not (home / config.CONFIG).exists():
            home.mkdir(parents=True, exist_ok=True)
            Identity.create(home, "headquarters", "headquarters")
            text = config.example("headquarters", "tcp://127.0.0.1:0")
            (home / config.CONFIG).write_text(text, encoding="utf-8")
        for gateway in gateways:
            trust.allow(home, gateway.identity.public)
        self.settings: HeadquartersConfig = config.load(home)
        self.trust = trust.load(home)
        self.now_us = NOW
        self.open()

    def open(self) -> None:
        """Open the lake as a start of the process does."""
        self.lake = Lake(self.settings.lake, clock_ms=self.clock_ms)
        self.archive = SegmentArchive(self.settings.archive, self.settings.quarantine, self.clock_ms)
        self.ingest = Ingest(self.lake, self.archive, self.trust.site_of)
        self.recovered = self.ingest.recover(self.now_us)

    def clock_ms(self) -> int:
        return self.now_us // 1000

    def take(self, *accepted: Accepted) -> Cycle:
        cycle = self.ingest.prepare(accepted, self.now_us)
        self.ingest.commit(cycle)
        return cycle


def only(batch: Batch) -> Accepted:
    """A batch as a receiver hands it over."""
    header = Header.parse(batch.header)
    return Accepted(header.chain, header, batch)


def rows_of(table: LakeTable) -> list[tuple[int, int, float]]:
    """(series, time, value) of every row, sorted."""
    rows = table.read(table.log.files(), ["series", "time", "value"])
    times = rows.column("time").cast(pa.int64()).to_pylist()
    return sorted(
        zip(rows.column("series").to_pylist(), times, rows.column("value").to_pylist(), strict=True)
    )
