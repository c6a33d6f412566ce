"""How late samples are in the durable lake, with flush and commit once a second.

Real hub and headquarters processes; this process is the edge: it scans the simulated unit's
1,000 points ten times a second, cuts a batch each second, commits it to a gateway's buffer
and sends it. Headquarters counts for each row how long after its time it was durable. A
sample waits for the flush and then for the commit, 1 s each at most; what comes on top is
the river's own.

Before that the lake takes many commits, as if it had run for hours: 20,000, or a few with
`--quick`. They are made in this process, as fast as the disk can, in another date.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.chain import Edge, running
from benchmarks.data_sets import SECOND_US, T0_US, collect
from benchmarks.frame import Row, Setting
from benchmarks.lake_growth import Gateway
from headquarters.ingest.cycle import Ingest
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.tables import Lake, now_ms
from headquarters.lake.upkeep import Upkeep
from protocols.daemon import read_status
from protocols.samples import SampleBlock
from scripts.demo.settings import COMMIT_S
from scripts.plant.model import Plant

POINTS = 1000
SCAN_S, FLUSH_S = 0.1, 1.0
ON_TOP_S = 0.1
COMMITS, QUICK_COMMITS = 20_000, 50
RUN_S, QUICK_RUN_S = 120.0, 5.0
STATUS_S = 2.5
"""When headquarters has surely committed the last batch and written its status."""

UPKEEP_EVERY = 20
"""Commits between two turns of housekeeping, which runs beside them in the process."""


def measure(setting: Setting) -> Iterator[Row]:
    """The 99th percentile, against flush + commit + 0.1 s."""
    commits = QUICK_COMMITS if setting.quick else COMMITS
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as name:
        age(Path(name) / "headquarters" / "data", commits)
        p99 = run(Path(name), QUICK_RUN_S if setting.quick else RUN_S)
    title = f"p99 to the durable lake, {POINTS:,} points, after {commits:,} commits"
    yield Row.of(title, p99, "s", "flush + commit + 0.1 s", FLUSH_S + COMMIT_S + ON_TOP_S, "<= 1")


def age(data: Path, commits: int) -> None:
    """Make a lake that took so many commits."""
    lake = Lake(data / "lake")
    archive = SegmentArchive(data / "archive", data / "quarantine", now_ms)
    ingest = Ingest(lake, archive, lambda gateway: "plant-a")
    upkeep = Upkeep(lake, archive, None, 60_000)
    gateway = Gateway(100)
    for number in range(commits):
        ingest.commit(ingest.prepare([gateway.next()], time.time_ns() // 1000))
        if number % UPKEEP_EVERY == 0:
            upkeep.step()


def run(root: Path, seconds: float) -> float:
    """Scan and send for so long; returns the 99th percentile in seconds."""
    scans = round(FLUSH_S / SCAN_S)
    blocks = collect(Plant(POINTS), scans * POINTS)
    with running(root) as (edge, _):
        while not edge.connected:
            edge.step(0.02)
        first_us = time.time_ns() // 1000
        for number in range(round(seconds / FLUSH_S)):
            begin_us = first_us + round(number * FLUSH_S * SECOND_US)
            _step_until(edge, begin_us / SECOND_US + FLUSH_S)
            edge.append([_stamped(block, begin_us) for block in blocks])
        _step_until(edge, time.time() + STATUS_S)
        status = read_status(root / "headquarters" / "data" / "status.json")
        assert status is not None
        return float(status["lake_latency_overall_p99_s"])


def _stamped(block: SampleBlock, begin_us: int) -> SampleBlock:
    """Scans of the model's, a second apart, as if they were the gateway's since `begin_us`."""
    return replace(block, time=begin_us + ((block.time - T0_US) * SCAN_S).astype(np.int64))


def _step_until(edge: Edge, at_s: float) -> None:
    while (left := at_s - time.time()) > 0:
        edge.step(min(left, 0.02))
