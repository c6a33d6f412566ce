"""The chain that anybody would write first: JSON lines over TCP, SQLite at each hop.

Three processes, as in Catchment: the plant's, the region's and headquarters'. Each inserts
a batch with one `executemany` and commits it durably (WAL, `synchronous=FULL`) before it
hands it on as JSON, one object a sample, a line each. It is favoured where it can be: the
tables have no index, nothing is signed, acknowledged or repeated, and the hops overlap as
far as TCP's own buffers let them. So it is faster than what it would take to lose nothing.

*Safe*, it is the least that loses and doubles nothing when a process dies: each hop answers a
batch once it has committed it, the hop below waits for that, and a primary key keeps out what
is sent again. (What would send it again is not there: nothing dies here.)
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from protocols.samples import SampleBlock

Sample = tuple[int, int, object, int]

BATCH_SIZES = (100, 1_000, 10_000)
"""Of which the best is taken; below and above it only gets slower."""

HOUR_US = 3_600_000_000

_DONE = b"\n"
_INSERT = "INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?)"


class Pace(NamedTuple):
    """How fast a chain is.

    Args:
        per_s: Samples a second, on the clock.
        per_cpu_s: Samples a second of CPU time, all processes.
    """

    per_s: float
    per_cpu_s: float


def pace(blocks: list[SampleBlock], batch: int, samples: int, folder: Path, *, safe: bool = False) -> Pace:
    """Send about so many samples in batches of this size from the plant to headquarters.

    Args:
        blocks: What to send, again and again, each time an hour later.
        batch: Samples in a batch.
        samples: Samples in all.
        folder: For the stores.
        safe: See the module's docstring.
    """
    spawn = multiprocessing.get_context("spawn")
    region_end, lake_end = spawn.Pipe(), spawn.Pipe()
    lake = spawn.Process(target=_headquarters, args=(lake_end[1], folder / "lake.db", safe))
    lake.start()
    region = spawn.Process(
        target=_region, args=(region_end[1], lake_end[0].recv(), folder / "region.db", safe)
    )  # the port of headquarters
    region.start()
    try:
        port = region_end[0].recv()
        with (
            socket.create_connection(("127.0.0.1", port)) as link,
            closing(_store(folder / "plant.db", safe)) as store,
        ):
            cpu, began = time.process_time(), time.perf_counter()
            sent = turn = 0
            while sent < samples:
                for rows in _batches(blocks, batch, turn * HOUR_US):
                    _commit(store, rows)
                    _send(link, rows, safe)
                    sent += len(rows)
                turn += 1
            link.shutdown(socket.SHUT_WR)
            arrived, lake_cpu = lake_end[0].recv()
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            cpu += lake_cpu + region_end[0].recv()
        assert arrived == sent, f"expected {sent} rows, got {arrived}"
        return Pace(sent / wall, sent / cpu)
    finally:
        for process in (region, lake):
            process.join(10)
            process.kill()


def _batches(blocks: list[SampleBlock], size: int, later_us: int) -> Iterator[list[Sample]]:
    for block in blocks:
        for start in range(0, len(block), size):
            rows = slice(start, start + size)
            columns = (block.point, block.time + later_us, block.value, block.quality)
            yield list(zip(*(column[rows].tolist() for column in columns), strict=True))


def _send(link: socket.socket, rows: list[Sample], safe: bool) -> None:
    link.sendall(_lines(rows))
    if safe:
        answer = link.recv(1)
        assert answer == _DONE, "the hop above ended"


def _lines(rows: list[Sample]) -> bytes:
    """One JSON object a sample, an empty line behind the last."""
    lines = [
        json.dumps({"point": point, "time": at, "value": value, "quality": quality})
        for point, at, value, quality in rows
    ]
    return ("\n".join(lines) + "\n\n").encode()


def _store(path: Path, safe: bool) -> sqlite3.Connection:
    store = sqlite3.connect(path)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=FULL")
    key = ", PRIMARY KEY (point, time)) WITHOUT ROWID" if safe else ")"
    store.execute(f"CREATE TABLE samples (point INTEGER, time INTEGER, value, quality INTEGER{key}")
    return store


def _commit(store: sqlite3.Connection, rows: list[Sample]) -> None:
    store.executemany(_INSERT, rows)
    store.commit()


def _arriving(control: Connection, store: sqlite3.Connection, safe: bool) -> Iterator[list[Sample]]:
    """Batches of the one peer that connects, committed, until it has no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        control.send(server.getsockname()[1])
        peer, _ = server.accept()
    with peer, peer.makefile("rb") as lines:
        rows: list[Sample] = []
        for line in lines:
            if line == b"\n":
                _commit(store, rows)
                if safe:
                    peer.sendall(_DONE)
                yield rows
                rows = []
            else:
                sample = json.loads(line)
                rows.append((sample["point"], sample["time"], sample["value"], sample["quality"]))


def _region(control: Connection, upstream: int, path: Path, safe: bool) -> None:
    with closing(_store(path, safe)) as store, socket.create_connection(("127.0.0.1", upstream)) as link:
        cpu = time.process_time()
        for rows in _arriving(control, store, safe):
            _send(link, rows, safe)
        link.shutdown(socket.SHUT_WR)
        control.send(time.process_time() - cpu)


def _headquarters(control: Connection, path: Path, safe: bool) -> None:
    with closing(_store(path, safe)) as store:
        cpu, arrived = time.process_time(), 0
        for rows in _arriving(control, store, safe):
            arrived += len(rows)
        control.send((arrived, time.process_time() - cpu))
