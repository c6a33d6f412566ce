"""Durable commits of a gateway's buffer, against appends of the same bytes to a file.

One commit seals a batch and makes it, the chain's head, the ledger and the progress of
collecting durable at once. Its peer seals the same batch, appends header, payload and
signature to a file and calls `fdatasync`: the least that a durable log can do. A second row
leaves sealing out on the peer's side. Both take turns on the same file system, so that a
busy disk disturbs both alike; the figures are the medians of wall time.

The WAL is brought to its full size first, as the gateway does at its start; without that
(the third row) every commit of the first minutes also pays for the file's growth.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.data_sets import batches
from benchmarks.frame import Row, Setting
from edge_runtime.buffer import Buffer, Limits, Progress, Store
from edge_runtime.clock import GatewayClock, new_boot_id
from edge_runtime.ledger import Counts
from protocols.batch import VERSION, ZERO_HASH, Header, Kind, Stream, seal
from protocols.columns import encode
from protocols.identity import SigningKey

SAMPLES = (1_000, 10_000, 60_000)
GOAL = ">= 1.0"
SETTLE = 20
"""Turns before timing: the first ones make pages and directories."""


def measure(setting: Setting) -> Iterator[Row]:
    """Commits a second with payloads of the simulated unit."""
    turns = 60 if setting.quick else 600
    for samples in SAMPLES:
        payload = encode(batches(samples, None)[0].blocks)
        name = f"edge commits, unit, {samples // 1000}k ({len(payload):,} B)"
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as directory:
            ours, sealed, plain = _medians(Path(directory), payload, turns, warm=True)
        yield Row.of(name, 1 / ours, "commits/s", "seal + fdatasync append", 1 / sealed, GOAL)
        yield Row.of(name, 1 / ours, "commits/s", "fdatasync append alone", 1 / plain)
        if samples == 10_000:
            with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as directory:
                ours, sealed, _ = _medians(Path(directory), payload, turns, warm=False)
            row = f"{name}, WAL still growing"
            yield Row.of(row, 1 / ours, "commits/s", "seal + fdatasync append", 1 / sealed)


def _medians(directory: Path, payload: bytes, turns: int, *, warm: bool) -> tuple[float, float, float]:
    """Seconds of a commit, of a sealed append, and of an append alone."""
    key = SigningKey(b"k" * 32)
    clock = GatewayClock(new_boot_id())
    path = directory / "buffer.db"
    store = Store.open(path)
    buffer = Buffer(store, "gw1", key, headquarters=None, clock=clock, limits=Limits(1 << 30))
    buffer.begin()
    if warm:
        store.warm(path)
    log = os.open(directory / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    turn = 0

    def commit() -> None:
        now_us = clock.now_us()
        buffer.append(
            Stream.DATA, Kind.DATA, payload, 1000, now_us, now_us, compressed=True,
            counts=Counts(collected=1000), progress={"plc/fast": Progress(now_us, now_us)},
        )  # fmt: skip

    def sealed_append() -> None:
        now_us, stamp = clock.now_us(), clock.stamp()
        header = Header(
            VERSION, 1, "gw1", Stream.DATA, 1, turn, Kind.DATA, 1000, now_us, now_us, *stamp,
            ZERO_HASH, b"", ZERO_HASH, b"", 0,
        )  # fmt: skip
        batch = seal(header, payload, key)
        os.write(log, batch.header + batch.payload + batch.signature)
        os.fdatasync(log)

    same_size = payload + bytes(330)

    def append() -> None:
        os.write(log, same_size)
        os.fdatasync(log)

    times: dict[Callable[[], None], list[float]] = {commit: [], sealed_append: [], append: []}
    for turn in range(turns + SETTLE):
        for task, seconds in times.items():
            started = time.perf_counter()
            task()
            if turn >= SETTLE:
                seconds.append(time.perf_counter() - started)
    os.close(log)
    store.close()
    commits, seals, appends = (statistics.median(seconds) for seconds in times.values())
    return commits, seals, appends
