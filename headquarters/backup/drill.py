"""A drill: restore aside, prove it, open it as the process would, and tell how long all took.

What is measured:
* *RPO*, recovery point: how old the run is when the drill begins. What came in since would be
  lost here, and comes again from hubs and gateways that keep what is not backed up.
* *RTO*, recovery time: from the first byte fetched until the lake is open for writing and every
  row and signature is verified; fetching, opening and verifying are told apart.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headquarters import config, trust
from headquarters.backup.lake import ARCHIVE, LAKE, ORDER, rows_of
from headquarters.backup.tier import TABLES
from headquarters.config import HeadquartersConfig
from headquarters.keeper import LakeKeeper
from headquarters.lake import schema
from headquarters.lake.query import Engine
from headquarters.verify import Verification
from protocols.backup import reading
from protocols.backup.manifest import Manifest
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository
from protocols.backup.restore import restore_aside
from protocols.backup.snapshot import fresh
from protocols.daemon import EventLog, alone, iso_time

FOLDER = "backup/drill"
"""Below `data/`, where a drill restores to unless it is told otherwise; it is gone afterwards."""


@dataclass(slots=True)
class Drilled:
    """What a drill found.

    Args:
        complete: The run that the lake is from.
        newest: The run that the home's own files are from.
        began_us: When the drill began.
        files: Files restored, each with the right hash.
        bytes: Their bytes.
        restore_s: Seconds to fetch and prove them.
        open_s: Seconds to open the lake and finish what the run caught half done.
        verify_s: Seconds to verify rows, signatures and ledgers.
        rows: Rows of each table: those that the run says, and those found.
        behind: Rows of samples that the lake has by now beyond the run; `None` where there is no lake.
        faults: What is wrong.
    """

    complete: Manifest
    newest: Manifest
    began_us: int
    files: int = 0
    bytes: int = 0
    restore_s: float = 0.0
    open_s: float = 0.0
    verify_s: float = 0.0
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    behind: int | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def rpo_s(self) -> float:
        """Age of the lake's run when the drill began."""
        return (self.began_us - self.complete.time_us) / 1e6

    @property
    def metadata_rpo_s(self) -> float:
        """Age of the metadata's run when the drill began."""
        return (self.began_us - self.newest.time_us) / 1e6

    @property
    def rto_s(self) -> float:
        """All of it."""
        return self.restore_s + self.open_s + self.verify_s

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        seconds = ("rpo_s", "metadata_rpo_s", "rto_s", "restore_s", "open_s", "verify_s")
        return {
            "event": "done",
            "run": self.complete.id,
            "metadata_run": self.newest.id,
            "time": iso_time(self.complete.time_us / 1e6),
            **{name: round(getattr(self, name), 3) for name in seconds},
            "files": self.files,
            "bytes": self.bytes,
            "rows": {name: {"expected": due, "found": found} for name, (due, found) in self.rows.items()},
            "rows_since": self.behind,
            "faults": self.faults,
        }

    def lines(self) -> list[str]:
        """For people."""
        rate = self.bytes / 1e6 / self.restore_s if self.restore_s else 0.0
        rows = sum(found for _, found in self.rows.values())
        since = "" if self.behind is None else f"; {self.behind:,} rows of samples came since"
        return [
            f"RPO {self.rpo_s:,.1f} s: the lake is as of {iso_time(self.complete.time_us / 1e6)}{since}",
            f"    {self.metadata_rpo_s:,.1f} s for what is not lake or archive",
            f"RTO {self.rto_s:,.1f} s: {self.files:,} files, {self.bytes / 1e6:,.1f} MB restored in "
            f"{self.restore_s:,.1f} s ({rate:,.1f} MB/s),",
            f"    opened in {self.open_s:,.1f} s, {rows:,} rows verified in {self.verify_s:,.1f} s",
            "every hash, row count and signature holds"
            if not self.faults
            else f"{len(self.faults):,} FAULTS: do not rely on this backup",
        ]


def drill(
    repository: Repository, home: Path, meter: Meter, *, folder: Path | None = None, quick: bool = False
) -> Drilled:
    """Restore the newest runs aside and prove them; nothing is left behind.

    Args:
        repository: What is tried.
        home: The home of headquarters; it need not be there.
        meter: Told of progress.
        folder: Where to restore; by default below the home's data, or among temporary files.
        quick: Leave the comparison of payloads with rows out.

    Raises:
        InputError: There is no complete run.
        DamagedError: Part of the backup is missing or damaged.
        StoreError: The disk or the place failed, or has no room.
    """
    began_us = time.time_ns() // 1000
    began = time.monotonic()
    complete, newest = reading.choose(repository)
    found = Drilled(complete, newest, began_us)
    aside = _aside(home, folder)
    try:
        with alone(aside):
            work = fresh(aside / "work")
            entries, roots = restore_aside(repository, complete, newest, work, meter)
            found.files, found.bytes = len(entries), sum(entry.size for entry in entries)
            found.restore_s = time.monotonic() - began
            settings = replace(config.load(roots["home"]), lake=roots[LAKE], archive=roots[ARCHIVE])
            _prove(found, settings, quick)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    found.behind = _behind(home, complete)
    return found


def _prove(found: Drilled, settings: HeadquartersConfig, quick: bool) -> None:
    """Count the rows as the run has them, then open the lake as the process would, and verify it."""
    began = time.monotonic()
    expected = found.complete.facts.get(TABLES, {})
    if not expected:  # headquarters had not run yet
        return
    counted = _count(settings.lake)
    for name in ORDER:
        if name in expected:
            found.rows[name] = (expected[name]["rows"], counted[name])
            if expected[name]["rows"] != counted[name]:
                found.faults.append(
                    f"{name}: expected {expected[name]['rows']:,} rows, got {counted[name]:,}"
                )
    counted_s = time.monotonic() - began
    began = time.monotonic()
    sites = trust.everyone(settings.home)
    LakeKeeper(settings, sites.site_of, EventLog(stream=None))
    found.open_s = time.monotonic() - began
    began = time.monotonic()
    report = Verification(settings).run(quick)
    found.faults += [str(fault) for fault in report.faults]
    found.verify_s = counted_s + time.monotonic() - began


def _count(lake: Path) -> dict[str, int]:
    """Rows of every table, read from the files themselves."""
    engine = Engine(lake)
    try:
        return {name: next(engine.rows(f"SELECT count(*) FROM {_queried(name)}")[1])[0] for name in ORDER}
    finally:
        engine.close()


def _queried(name: str) -> str:
    return "series_history" if name == schema.SERIES.name else name


def _aside(home: Path, folder: Path | None) -> Path:
    if folder is not None:
        reading.refuse_full(folder)
        return fresh(folder)
    if (home / "data").is_dir():
        aside = home / "data" / FOLDER
        aside.mkdir(parents=True, exist_ok=True, mode=0o700)
        return aside
    return Path(tempfile.mkdtemp(prefix="catchment-drill-"))


def _behind(home: Path, complete: Manifest) -> int | None:
    """Rows of samples that came after a run; `None` where there is no lake to compare with."""
    if not (home / config.CONFIG).exists():
        return None
    rows = rows_of(config.load(home).lake).get(schema.SAMPLES.name)
    known = complete.facts.get(TABLES, {}).get(schema.SAMPLES.name)
    return None if rows is None or known is None else rows - int(known["rows"])
