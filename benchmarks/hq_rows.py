"""Rows a core that headquarters takes into its lake, against a plain Parquet write of them.

The whole way is measured: the receiver checks link rights, header, chain, hash and
signature; batches are decoded, bound to series, put in order, and committed: payloads to
the archive, rows to the tables, all flushed to the disk. Against it stands pyarrow's
`write_table` with its defaults, of the same rows from memory, flushed never. Both in
seconds of CPU time, all threads included.

Run: ``python -m benchmarks.hq_rows [--quick] [--json]``
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data_sets import SECOND_US, DataSet, batches
from benchmarks.frame import Measurement, Row, Setting, command
from headquarters.ingest.cycle import Ingest
from headquarters.ingest.marks import LakeMarks
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.samples import rows_of
from headquarters.lake.tables import Lake, now_ms
from headquarters.trust import Trust
from protocols import columns
from protocols.batch import (
    FLAG_ZSTD,
    VERSION,
    ZERO_HASH,
    Batch,
    Chain,
    ClockState,
    Header,
    Kind,
    Stream,
    header_hash,
    seal,
)
from protocols.identity import Identity
from protocols.session import Offer, Receiver, messages
from protocols.session.receiver import KeyBook

GOAL = ">= 0.65"
GATEWAYS = 5
ROWS_PER_CYCLE = 1_800_000
"""About what a commit takes when more is waiting than fits (`commit_rows_max`)."""

SIZES = (60_000, 10_000)
QUICK_DATA = "unit"
PEER = b"peer"


def per_cycle(samples: int) -> int:
    """Batches of one gateway in a cycle."""
    return ROWS_PER_CYCLE // (GATEWAYS * samples)


class Source:
    """One gateway with a growing chain; its batches of one cycle follow each other in time."""

    def __init__(self, name: str, data: DataSet) -> None:
        self.identity = Identity.generate(name, "gateway", "plant-a")
        self.chain = Chain(name, Stream.DATA, 1)
        self._samples = data.samples
        low = min(int(block.time.min()) for block in data.blocks)
        high = max(int(block.time.max()) for block in data.blocks)
        self._turns = []
        for turn in range(per_cycle(data.samples)):
            shift = turn * (high - low + SECOND_US)
            later = [replace(block, time=block.time + shift) for block in data.blocks]
            self._turns.append((columns.encode(later), (low + shift, high + shift)))
        self._seq, self._head = 0, ZERO_HASH

    def next(self) -> Batch:
        """The next batch of the chain."""
        payload, times = self._turns[self._seq % len(self._turns)]
        header = Header(
            VERSION, FLAG_ZSTD, self.chain.gateway, Stream.DATA, 1, self._seq, Kind.DATA, self._samples,
            *times, bytes(16), 0, ClockState.SYNCHRONISED, 0, ZERO_HASH, bytes(8), self._head,
            ZERO_HASH, 0,
        )  # fmt: skip
        batch = seal(header, payload, self.identity.signing)
        self._seq, self._head = self._seq + 1, header_hash(batch.header)
        return batch


class Intake:
    """Headquarters without its sockets."""

    def __init__(self, folder: Path, sources: list[Source]) -> None:
        trust = Trust([source.identity.public for source in sources])
        self.lake = Lake(folder / "lake")
        archive = SegmentArchive(folder / "archive", folder / "quarantine", now_ms)
        self.ingest = Ingest(self.lake, archive, trust.site_of)
        own = Identity.generate("headquarters", "headquarters")
        keys = KeyBook(trust.verifier, lambda key: owner.id if (owner := trust.by_key_id(key)) else None)
        self.receiver = Receiver("headquarters", own.signing, LakeMarks(self.lake), keys, any_start=False)
        self.receiver.receive(PEER, "hub", "hub", messages.hello("hub", "hub"), 0.0)
        offered = [Offer(source.chain, 0, 0, ZERO_HASH) for source in sources]
        for frames in messages.offers(offered):
            self.receiver.receive(PEER, "hub", "hub", frames, 0.0)

    def cycle(self, arrived: list[Batch]) -> int:
        """Take batches all the way into the lake; returns how many rows they were."""
        for batch in arrived:
            self.receiver.receive(PEER, "hub", "hub", messages.batch(batch), 0.0)
        accepted = self.receiver.take(len(arrived), 1 << 30)
        assert len(accepted) == len(arrived), self.receiver.noticed()
        cycle = self.ingest.prepare(accepted, time.time_ns() // 1000)
        self.ingest.commit(cycle)
        self.receiver.committed(accepted, 0.0)
        self.receiver.outgoing()
        return cycle.rows


def measure(setting: Setting) -> Iterator[Row]:
    """One row for each size of batch and each data set that goals are set for."""
    for samples in SIZES[:1] if setting.quick else SIZES:
        for data in batches(samples, setting.data):
            if data.promised and not (setting.quick and data.name != QUICK_DATA):
                yield from _measure(data, samples, 0.5 if setting.quick else 8.0)


def _measure(data: DataSet, samples: int, budget_s: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="catchment-bench-") as name:
        folder = Path(name)
        sources = [Source(f"gateway-{number}", data) for number in range(GATEWAYS)]
        intake = Intake(folder, sources)
        for _ in range(per_cycle(data.samples)):  # series are made, caches filled
            intake.cycle([source.next() for source in sources])
        arrived = [source.next() for source in sources for _ in range(per_cycle(data.samples))]
        table = _plain_table(intake, arrived)
        ours = plain = tuned = float("inf")
        rows = 0
        end = time.perf_counter() + budget_s
        rounds = 0
        while rounds < 3 or time.perf_counter() < end:
            arrived = [source.next() for source in sources for _ in range(per_cycle(data.samples))]
            began = time.process_time()
            rows = intake.cycle(arrived)
            ours = min(ours, time.process_time() - began)
            plain = min(plain, _cpu_of_write(table, folder / "plain.parquet", {}))
            tuned = min(tuned, _cpu_of_write(table, folder / "tuned.parquet", TUNED))
            rounds += 1
        assert len(table) == rows
        title = f"headquarters rows a core, {data.name}, {samples:,} a batch"
        yield Row.of(title, rows / ours, "rows/s", "plain pyarrow Parquet write", rows / plain, GOAL)
        yield Row.of(title, rows / ours, "rows/s", "the same write as zstd-1, tuned", rows / tuned)


TUNED: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["series", "quality", "batch", "text"],
    "column_encoding": {"time": "DELTA_BINARY_PACKED", "source_time": "DELTA_BINARY_PACKED"},
}


def _plain_table(intake: Intake, arrived: list[Batch]) -> pa.Table:
    """The rows of a cycle as headquarters writes them, in memory."""
    for batch in arrived:
        intake.receiver.receive(PEER, "hub", "hub", messages.batch(batch), 0.0)
    accepted = intake.receiver.take(len(arrived), 1 << 30)
    cycle = intake.ingest.prepare(accepted, 0)
    intake.ingest.commit(cycle)
    intake.receiver.committed(accepted, 0.0)
    return rows_of(cycle.samples)


def _cpu_of_write(table: pa.Table, path: Path, options: dict[str, Any]) -> float:
    began = time.process_time()
    pq.write_table(table, path, **options)
    return time.process_time() - began


MEASUREMENTS = (Measurement("hq-rows", measure),)

main = command("Measure headquarters' rows a core against a plain Parquet write.", MEASUREMENTS)

if __name__ == "__main__":
    main()
