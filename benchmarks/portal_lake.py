"""The lake under the portal's benchmark: a month at one sample a second, taken in as gateways send it.

Batches are signed, taken in by the ingest core, rolled up, and rewritten by the lake's own housekeeping,
whose clock is moved on from hour to hour. Today is left as it would stand: open, with a file for each hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headquarters import trust
from headquarters.config import load
from headquarters.ingest.cycle import Ingest
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.tables import Lake
from headquarters.lake.upkeep import Upkeep
from protocols import columns
from protocols.batch import (
    FLAG_ZSTD,
    VERSION,
    ZERO_HASH,
    Chain,
    ClockState,
    Header,
    Kind,
    Stream,
    header_hash,
    seal,
)
from protocols.identity import Identity
from protocols.records import Opening, OpenReason, PointDefinition, pack_definitions
from protocols.samples import SampleBlock, ValueType
from protocols.session import Accepted

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
GATEWAYS = 4
POINTS = 20
"""Of each gateway: 80 points for 30 days are 207 million rows."""

SPIKE = 500.0
"""One sample of the first point is that high, 12 days before the end."""

SPIKE_BEFORE_US = 12 * DAY_US


@dataclass(frozen=True, slots=True)
class Filled:
    """What was made.

    Args:
        rows: Samples.
        end_us: Time of the last, microseconds.
        series: Number of the first point's series.
        files: Files of `samples`.
        minute_files: Files of `samples_minute`.
    """

    rows: int
    end_us: int
    series: int
    files: int
    minute_files: int


class Gateway:
    """Chains of one gateway, whose data batches are an hour each."""

    def __init__(self, name: str, seed: int) -> None:
        self.identity = Identity.generate(name, "gateway", f"plant-{seed % 2}")
        self._next: dict[Chain, tuple[int, bytes]] = {}
        self._random = np.random.default_rng(seed)
        self._level = self._random.normal(100.0, 10.0, POINTS)
        self._name = name

    def begin(self, at_us: int) -> list[Accepted]:
        """Its definitions, and the opening of its data."""
        definitions = [
            PointDefinition(
                n, f"{self._name}-T{n:03}", ValueType.F64, "Cel", 1000, 0.0, 0.0, 200.0, "Temperature"
            )
            for n in range(1, POINTS + 1)
        ]
        opening = Opening(OpenReason.FIRST, None, None).pack()
        return [
            self._batch(Kind.META, Stream.META, pack_definitions(definitions), 0, (at_us, at_us)),
            self._batch(Kind.OPEN, Stream.DATA, opening, 0, (at_us, at_us)),
        ]

    def hour(self, start_us: int, scans: int, spike_us: int) -> Accepted:
        """Scans of all points, a second apart."""
        walks = self._random.normal(0.0, 0.02, (POINTS, scans)).cumsum(1)
        values = (self._level[:, None] + walks).round(2)
        self._level = 0.9 * values[:, -1] + 10.0  # drawn back, so that a month stays in range
        times = start_us + SECOND_US * np.arange(scans)
        values[0, times == spike_us] = SPIKE
        block = SampleBlock(
            ValueType.F64,
            np.repeat(np.arange(1, POINTS + 1, dtype=np.uint32), scans),
            np.tile(times, POINTS),
            values.ravel(),
            np.zeros(POINTS * scans, np.uint32),
        )
        payload, bounds = columns.encode([block]), (start_us, int(times[-1]))
        return self._batch(Kind.DATA, Stream.DATA, payload, POINTS * scans, bounds, FLAG_ZSTD)

    def _batch(
        self, kind: Kind, stream: Stream, payload: bytes, n: int, times: tuple[int, int], flags: int = 0
    ) -> Accepted:
        chain = Chain(self._name, stream, 1)
        seq, head = self._next.get(chain, (0, ZERO_HASH))
        header = Header(
            VERSION, flags, self._name, stream, 1, seq, kind, n, *times, bytes(16), 0,
            ClockState.SYNCHRONISED, 0, ZERO_HASH, bytes(8), head, ZERO_HASH, 0,
        )  # fmt: skip
        batch = seal(header, payload, self.identity.signing)
        self._next[chain] = (seq + 1, header_hash(batch.header))
        return Accepted(chain, Header.parse(batch.header), batch)


def fill(home: Path, end_us: int, days: float) -> Filled:
    """Fill the lake of a headquarters that does not run.

    Args:
        home: Its home.
        end_us: When the samples end: now.
        days: How long they go back.
    """
    config = load(home)
    end_us -= end_us % SECOND_US
    at_us = int(end_us - days * DAY_US)
    clock = [at_us]
    gateways = [Gateway(f"unit-{n}", n) for n in range(1, GATEWAYS + 1)]
    for gateway in gateways:
        trust.allow(home, gateway.identity.public)
    known = trust.load(home)
    lake = Lake(config.lake, clock_ms=lambda: clock[0] // 1000)
    archive = SegmentArchive(config.archive, config.quarantine, lake.samples.clock_ms)
    ingest = Ingest(lake, archive, known.site_of)
    upkeep = Upkeep(lake, archive, None, 1000)
    ingest.commit(ingest.prepare([batch for g in gateways for batch in g.begin(at_us)], at_us))
    rows, date = 0, at_us // DAY_US
    while at_us < end_us:
        until_us = min(end_us, at_us - at_us % HOUR_US + HOUR_US)
        scans = (until_us - at_us) // SECOND_US
        batches = [g.hour(at_us, scans, end_us - SPIKE_BEFORE_US) for g in gateways]
        at_us = clock[0] = until_us
        ingest.commit(ingest.prepare(batches, at_us))
        rows += GATEWAYS * POINTS * scans
        if at_us // DAY_US > date:
            date = at_us // DAY_US
            clock[0] += 2 * HOUR_US
            _settle(upkeep, clock)
    clock[0] = end_us
    _settle(upkeep, clock)
    series = next(row.series for row in lake.series.load() if row.name == "unit-1-T001")
    return Filled(rows, end_us, series, len(lake.samples.log.files()), len(lake.minutes.log.files()))


def _settle(upkeep: Upkeep, clock: list[int]) -> None:
    """Let housekeeping do all that is due."""
    idle = 0
    while idle < 3:
        idle = 0 if upkeep.step() else idle + 1
        clock[0] += SECOND_US * 60
