"""What a commit and a query cost in a date that has taken a day's commits.

One date of a real lake gets one commit after the other, each a whole cycle of headquarters
(archive, ledger, samples), while the lake's housekeeping runs beside it as it does in the
process. Most of the day is driven as fast as the machine can, with retention shortened
alike, so that the tables hold as many removed files as they would after the same number
of real seconds; then housekeeping may catch up. The last commits are made at a steady
pace, still twenty times that of a real day, and are the ones measured; now and then all
samples of one point are asked for.

Run: ``python -m benchmarks.lake_growth [--commits 86400] [--points 100] [--quick] [--json]``
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from benchmarks.frame import Row, Setting, table
from headquarters.ingest.cycle import Ingest
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.query import Engine
from headquarters.lake.tables import RETENTION_MS, Lake, now_ms
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
from protocols.samples import SampleBlock, ValueType
from protocols.session import Accepted

MIDNIGHT_US = 1_790_035_200_000_000
SECOND_US = 1_000_000
COMMIT_MS = 50.0
QUERY_MS = 100.0
COMMITS = 86_400
QUICK_COMMITS = 600
SHORT_COMMITS = 6_000
POINTS = 100
MEASURED = 500
PACE_S = 0.05
QUERIES = 20
EXPECTED_COMMIT_S = 0.015
"""What retention is shortened by: a commit stands for a second."""


class Gateway:
    """A gateway that sends one scan a batch."""

    def __init__(self, points: int) -> None:
        self._identity = Identity.generate("gateway-1", "gateway", "plant-a")
        self._points = np.arange(1, points + 1, dtype=np.uint32)
        self._values = np.random.default_rng(1).normal(100.0, 1.0, points)
        self._seq, self._head = 0, ZERO_HASH

    def next(self) -> Accepted:
        """The next batch, one second later."""
        n, at = len(self._points), MIDNIGHT_US + self._seq * SECOND_US
        self._values += np.random.default_rng(self._seq).normal(0.0, 0.05, n)
        block = SampleBlock(
            ValueType.F64, self._points, np.full(n, at), self._values.round(2), np.zeros(n, np.uint32)
        )
        header = Header(
            VERSION, FLAG_ZSTD, "gateway-1", Stream.DATA, 1, self._seq, Kind.DATA, n, at, at, bytes(16), 0,
            ClockState.SYNCHRONISED, 0, ZERO_HASH, bytes(8), self._head, ZERO_HASH, 0,
        )  # fmt: skip
        batch = seal(header, columns.encode([block]), self._identity.signing)
        self._seq, self._head = self._seq + 1, header_hash(batch.header)
        return Accepted(Chain("gateway-1", Stream.DATA, 1), Header.parse(batch.header), batch)


class Housekeeping(threading.Thread):
    """The lake's upkeep in a thread of its own, as in the process."""

    def __init__(self, upkeep: Upkeep) -> None:
        super().__init__(daemon=True)
        self._upkeep = upkeep
        self._stopped = threading.Event()
        self._idle = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Step until `finish`."""
        try:
            while not self._stopped.is_set():
                if not self._upkeep.step():
                    self._idle.set()
                    self._stopped.wait(0.02)
        except Exception as error:
            self._failure = error

    def settle(self) -> None:
        """Wait until there is nothing left to do, as between the commits of a real day."""
        self._idle.clear()
        while not self._idle.wait(1.0):
            self.check()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def finish(self) -> None:
        """Stop after the step under way."""
        self._stopped.set()
        self.join()
        self.check()


def measure(setting: Setting) -> Iterator[Row]:
    """For the data path's table: a shorter day than the whole one that this module's command takes."""
    yield from grow(200 if setting.quick else SHORT_COMMITS, POINTS)


def grow(commits: int, points: int) -> Iterator[Row]:
    """Grow one date and measure its last tenth."""
    with tempfile.TemporaryDirectory(prefix="catchment-bench-") as name:
        folder = Path(name)
        lake = Lake(folder / "lake", retention_ms=int(RETENTION_MS * EXPECTED_COMMIT_S))
        archive = SegmentArchive(folder / "archive", folder / "quarantine", now_ms)
        ingest = Ingest(lake, archive, lambda gateway: "plant-a")
        keeping = Housekeeping(Upkeep(lake, archive, None, 60_000))
        gateway = Gateway(points)
        engine = _first_commit(ingest, gateway, folder / "lake")
        keeping.start()
        measured = min(MEASURED, commits // 4)
        took, asked, most = [], [], 0
        for number in range(commits):
            keeping.check()
            if number == commits - measured:
                keeping.settle()
                engine.refresh()
            cycle = ingest.prepare([gateway.next()], time.time_ns() // 1000)
            began = time.perf_counter()
            ingest.commit(cycle)
            seconds = time.perf_counter() - began
            if number >= commits - measured:
                took.append(seconds)
                most = max(most, len(lake.samples.log.files()))
                if number % (measured // QUERIES) == 0:
                    asked.append(_query(engine, number + 2))
                time.sleep(PACE_S)
        keeping.finish()
        engine.close()
        title = f"in a date of {commits:,} commits"
        yield _row(f"commit, median, {title}", np.percentile(took, 50), COMMIT_MS)
        yield _row(f"commit, p99, {title}", np.percentile(took, 99), COMMIT_MS)
        yield _row(f"all samples of one point, median, {title}", np.median(asked), QUERY_MS)
        yield _row(f"all samples of one point, slowest, {title}", max(asked), QUERY_MS)
        yield Row(f"most files, {title}", most, "files", f"{commits:,} commits", most / commits, None, None)


def _first_commit(ingest: Ingest, gateway: Gateway, lake: Path) -> Engine:
    ingest.commit(ingest.prepare([gateway.next()], time.time_ns() // 1000))
    return Engine(lake)


def _query(engine: Engine, expected: int) -> float:
    """Seconds that one point's samples of the whole date take, the newest version included."""
    began = time.perf_counter()
    engine.refresh()
    sql = "SELECT time, value FROM samples WHERE series = 50 AND date = DATE '2026-09-22' ORDER BY time"
    rows = engine.arrow(sql).read_all()
    seconds = time.perf_counter() - began
    assert len(rows) == expected, f"expected {expected} rows, got {len(rows)}"
    return seconds


def _row(name: str, seconds: float, bound_ms: float) -> Row:
    return Row.of(name, 1000.0 * float(seconds), "ms", "promised at most", bound_ms, "<= 1")


@click.command(help="Measure commit and query in a date that has taken a day's commits.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of rows as the last line.")
@click.option("--quick", is_flag=True, help="Under 45 seconds: 600 commits.")
@click.option("--commits", default=COMMITS, show_default=True, help="Commits in the date.")
@click.option("--points", default=POINTS, show_default=True, help="Points, one sample each a commit.")
def main(as_json: bool, quick: bool, commits: int, points: int) -> None:
    """Run it."""
    rows = list(grow(QUICK_COMMITS if quick else commits, points))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
    else:
        click.echo(table(rows), nl=False)


if __name__ == "__main__":
    main()
