"""Samples a second from the edge to the durable lake, against the chain anybody writes first.

Real hub and headquarters processes, joined by CURVE links; this process is the edge: it
encodes 60,000 samples a batch, signs, commits each to a gateway's buffer and sends what the
buffer holds. The clock runs from the first encoding until headquarters' signed receipt for
the last batch is here: then all rows are in the Delta tables and flushed to the disk.

The peer is `benchmarks.naive` at its best batch size, on the same machine, right after: as it
is favoured where it can be, which the goal is set against, and so that it loses nothing either.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import naive
from benchmarks.data_sets import SECOND_US, DataSet, batches
from benchmarks.frame import Row, Setting
from benchmarks.hub_batches import cpu_s
from edge_runtime.buffer import Buffer, Limits, Store
from edge_runtime.clock import GatewayClock, new_boot_id
from protocols.batch import Kind, Stream
from protocols.columns import encode
from protocols.daemon import read_status
from protocols.identity import ALLOW, Identity, VerifyKey, allow
from protocols.link import SenderLink
from protocols.samples import SampleBlock
from protocols.session.events import Disconnected, Ready, Receipted, Stored
from scripts.demo import homes
from scripts.demo.processes import Children, program, wait_for
from scripts.demo.settings import Settings

SAMPLES = 60_000
GOAL = ">= 150"
UNDER_WAY_MAX = 64
"""Batches that the edge makes ahead of the hub: as a gateway after an outage, not without end."""

READY_S = 30.0


def measure(setting: Setting) -> Iterator[Row]:
    """On the clock (the goal), and a second of CPU time."""
    data = batches(SAMPLES, None)[0]
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as name:
        folder = Path(name)
        ours = pace(data, 100 if setting.quick else 1000, folder)
        size, theirs = _best_naive(data, folder, quick=setting.quick, safe=False)
        safe_size, safe = _best_naive(data, folder, quick=setting.quick, safe=True)
    title = f"edge to durable lake, {data.name}"
    against = f"JSON + SQLite chain at {size:,} a batch"
    yield Row.of(title, ours.per_s, "samples/s", against, theirs.per_s, GOAL)
    against_safe = f"the same chain, safe, at {safe_size:,} a batch"
    yield Row.of(title, ours.per_s, "samples/s", against_safe, safe.per_s)
    title += ", all CPU time"
    yield Row.of(title, ours.per_cpu_s, "samples/CPU-s", against, theirs.per_cpu_s)


def pace(data: DataSet, count: int, folder: Path) -> naive.Pace:
    """Send so many batches from the edge to the lake."""
    low = min(int(block.time.min()) for block in data.blocks)
    span = max(int(block.time.max()) for block in data.blocks) - low + SECOND_US
    with running(folder / "river") as (edge, pids):
        cpu, began = sum(map(cpu_s, pids)) + time.process_time(), time.perf_counter()
        made = 0
        while made < count or edge.last >= edge.final:
            if made < count and edge.last < edge.stored + UNDER_WAY_MAX:
                edge.append([replace(block, time=block.time + made * span) for block in data.blocks])
                made += 1
            edge.step(0.0 if made < count else 0.02)
        wall = time.perf_counter() - began
        cpu = sum(map(cpu_s, pids)) + time.process_time() - cpu
    return naive.Pace(count * data.samples / wall, count * data.samples / cpu)


@contextmanager
def running(root: Path) -> Iterator[tuple[Edge, list[int]]]:
    """A hub and headquarters that allow an edge, the edge, and the ids of the two processes."""
    settings = Settings(root, None, 2, 1.0, 1.0, False, None, False, 0.0, 1)
    gateway = Identity.generate("gateway-1", "gateway", "plant-a")
    with Children(settings.root / "logs") as children:
        upstream = homes.make_hub(settings, homes.make_headquarters(settings)).address
        pids = []
        for home, command in ((settings.headquarters, "catchment-hq"), (settings.hub, "catchment-hub")):
            allow(home / ALLOW, gateway.public)
            pids.append(_started(children, home, command))
        edge = Edge(gateway, upstream, settings)
        try:
            yield edge, pids
        finally:
            edge.close()


class Edge:
    """Encodes, stores and sends, in one thread.

    Args:
        identity: The gateway's.
        upstream: The hub's address.
        settings: Where hub and headquarters live.
    """

    def __init__(self, identity: Identity, upstream: str, settings: Settings) -> None:
        hub, headquarters = Identity.load(settings.hub).public, Identity.load(settings.headquarters).public
        final = VerifyKey(headquarters.signing)
        self._store = Store.open(settings.root / "buffer.db")
        self._buffer = Buffer(
            self._store,
            identity.id,
            identity.signing,
            headquarters=final,
            clock=GatewayClock(new_boot_id()),
            limits=Limits(1 << 30),
        )
        self._buffer.begin()
        self._hub = hub.id
        receiver = VerifyKey(hub.signing)
        self._link = SenderLink(
            upstream, hub.link, identity, self._buffer, headquarters=final, receiver=receiver
        )
        self.last = -1
        self.stored = self.final = 0

    @property
    def connected(self) -> bool:
        """Whether a session with the hub is open."""
        return self._link.connected

    def append(self, blocks: list[SampleBlock]) -> None:
        """Make a batch, durably; its sequence is `last` then."""
        low = min(int(block.time.min()) for block in blocks)
        high = max(int(block.time.max()) for block in blocks)
        samples = sum(map(len, blocks))
        header = self._buffer.append(
            Stream.DATA, Kind.DATA, encode(blocks), samples, low, high, compressed=True
        )
        self.last = header.seq

    def step(self, timeout_s: float) -> None:
        """Send and receive; `stored` and `final` are what hub and headquarters hold below."""
        for event in self._link.step(timeout_s):
            if isinstance(event, Ready):
                self._buffer.on_ready(self._hub)
            elif isinstance(event, Stored):
                self._buffer.on_stored(event.chain, event.next)
                if event.chain.stream is Stream.DATA:
                    self.stored = max(self.stored, event.next)
            elif isinstance(event, Receipted):
                self._buffer.on_receipt(event.receipt, event.signed)
                if event.receipt.chain.stream is Stream.DATA:
                    self.final = max(self.final, event.receipt.next)
            else:
                assert isinstance(event, Disconnected), event

    def close(self) -> None:
        """Close link and buffer."""
        self._link.close()
        self._store.close()


def _started(children: Children, home: Path, command: str) -> int:
    """Start a node; returns its process id when it has begun to serve."""
    child = children.start(command, [program(command), "run", "--home", str(home)])
    status = home / "data" / "status.json"
    wait_for(f"a status of {command}", lambda: read_status(status) is not None, READY_S, [child])
    assert child.pid is not None
    return child.pid


def _best_naive(data: DataSet, folder: Path, *, quick: bool, safe: bool) -> tuple[int, naive.Pace]:
    """The naive chain's best batch size, and its pace there."""
    samples = data.samples // 4 if quick else 5 * data.samples
    paces = {}
    for size in naive.BATCH_SIZES[1:2] if quick else naive.BATCH_SIZES:
        home = folder / f"naive-{size}-{safe}"
        home.mkdir()
        paces[size] = naive.pace(data.blocks, size, samples, home, safe=safe)
    best = max(paces, key=lambda size: paces[size].per_s)
    return best, paces[best]
