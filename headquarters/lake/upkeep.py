"""The housekeeping of a lake: merges, sorted rewrites, checkpoints, deletions, roll-ups.

One thread calls `step` again and again beside the commits; each step does the most urgent
piece of work and says whether there was any. Only log commits exclude each other, so a
long merge delays no commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from headquarters.lake import compact
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.rollup import RollUps
from headquarters.lake.tables import Lake, LakeTable

CHECKPOINT_COMMITS = 100
"""Commits between checkpoints: what a reader must read of the log at most."""

CLOSE_AFTER_MS = 3_600_000
"""A date counts as over an hour after its end."""

QUIET_MS = 900_000
"""A closed date is rewritten when nothing came for a quarter of an hour."""

SWEEP_MS = 60_000
"""How often removed files are looked for."""

DAILY_MS = 86_400_000
"""How often orphans and expired archive dates are looked for."""

KINDS = ("checkpoint", "merge", "roll-up", "rewrite", "removal", "retention")
"""Of work, the most urgent first: `removal` is of files that others took the place of, `retention` of
dates of the archive that are over."""


@dataclass(slots=True)
class Work:
    """One kind of housekeeping, as it is now.

    Args:
        done: Pieces that were done since the start.
        left: Pieces that wait, as last counted; `None`: the clock says when there is one.
        last_ms: When the last piece was done, milliseconds since 1970; `None`: none was since the start.
        doing: What is worked on: a table or a date; empty: nothing.
    """

    done: int = 0
    left: int | None = None
    last_ms: int | None = None
    doing: str = ""


class Upkeep:
    """See the module's docstring.

    Args:
        lake: What to keep.
        archive: Whose retention to apply.
        retention_days: That retention; `None` for ever.
        rollup_interval_ms: How often roll-ups follow the samples.
        stopped: Whether to stop in the middle of something long.
    """

    def __init__(
        self,
        lake: Lake,
        archive: SegmentArchive,
        retention_days: int | None,
        rollup_interval_ms: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._lake = lake
        self._archive = archive
        self._retention_days = retention_days
        self._rollup_interval_ms = rollup_interval_ms
        self._stopped = stopped
        self._rollups = RollUps(lake)
        self._swept_ms = 0
        self._daily_ms = 0
        self._rolled_ms = lake.samples.clock_ms()
        self._rolling_s = 0.0
        self.work = {kind: Work() for kind in KINDS}

    @property
    def lake(self) -> Lake:
        """What is kept."""
        return self._lake

    @property
    def rollups(self) -> RollUps:
        """The roll-ups."""
        return self._rollups

    def step(self) -> bool:
        """Do the most urgent piece of work; returns whether there was any.

        Raises:
            StoreError: The disk refused.
        """
        now = self._lake.samples.clock_ms()
        return (
            self._checkpoint(now)
            or self._merge()
            or self._sweep(now)
            or self._roll_up(now)
            or self._rewrite(now)
        )

    def _checkpoint(self, now: int) -> bool:
        table = max(self._lake.tables, key=lambda table: table.log.since_checkpoint)
        if table.log.since_checkpoint < CHECKPOINT_COMMITS:
            return False
        with self._doing("checkpoint", table.table.name):
            table.log.checkpoint(now)
        return True

    def _merge(self) -> bool:
        """Merge where most files wait for it, so that no table starves another."""
        due = [
            (table, merge) for table in self._lake.tables for merge in compact.plan_merges(table.log.files())
        ]
        self.work["merge"].left = len(due)
        if not due:
            return False
        table, merge = max(due, key=lambda pair: len(pair[1].files))
        with self._doing("merge", table.table.name):
            compact.merge(table, merge)
        return True

    def _sweep(self, now: int) -> bool:
        if now - self._daily_ms >= DAILY_MS:
            self._daily_ms = now
            for table in self._lake.tables:
                for path in table.log.orphans(now):
                    path.unlink(missing_ok=True)
                    self._did("removal")
            if self._retention_days is not None:
                self._did("retention", len(self._archive.expire(self._retention_days)))
            return True
        if now - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now
            removed = sum(table.log.vacuum(now) for table in self._lake.tables)
            self._did("removal", removed)
            return removed > 0
        return False

    def _roll_up(self, now: int) -> bool:
        if now - self._rolled_ms < self._rollup_interval_ms:
            return False
        began = time.monotonic()
        with self._doing("roll-up", "samples", counts=False):
            rolled = self._rollups.step()
        self.work["roll-up"].left = len(self._rollups.dirty)
        if rolled:
            self._did("roll-up")
            self._rolling_s += time.monotonic() - began
            return True
        # However large an hour is, rolling it up takes no more than a tenth of the time.
        self._rolled_ms = now + int(10_000 * self._rolling_s)
        self._rolling_s = 0.0
        return False

    def _rewrite(self, now: int) -> bool:
        open_from = str(np.datetime64(now - CLOSE_AFTER_MS, "ms").astype("datetime64[D]"))
        behind = {hour.date for hour in self._rollups.dirty}
        for table in self._dated():
            present = table.log.files()
            if table is self._lake.minutes:  # whose dirty hours would only be cut out again
                present = [file for file in present if file.date not in behind]
            if due := compact.plan_rewrites(present, open_from, now - QUIET_MS, table.table.sort[0]):
                self.work["rewrite"].left = len(due)
                with self._doing("rewrite", f"{table.table.name} {due[0][0].date}"):
                    compact.rewrite(table, due[0], self._pause)
                return True
        self.work["rewrite"].left = 0
        return False

    def _dated(self) -> list[LakeTable]:
        lake = self._lake
        return [lake.samples, lake.ledger, lake.gaps, lake.events, lake.minutes]

    @contextmanager
    def _doing(self, kind: str, what: str, *, counts: bool = True) -> Iterator[None]:
        """Tell what is worked on meanwhile, and count it when it is done."""
        work = self.work[kind]
        work.doing = what
        try:
            yield
        finally:
            work.doing = ""
        if counts:
            self._did(kind)

    def _did(self, kind: str, pieces: int = 1) -> None:
        work = self.work[kind]
        if pieces:
            work.done += pieces
            work.last_ms = self._lake.samples.clock_ms()
        if work.left:
            work.left = max(0, work.left - pieces)

    def _pause(self) -> None:
        if self._stopped():
            raise Stopped


class Stopped(Exception):  # noqa: N818 - not an error
    """A stop was asked for in the middle of something long; nothing is lost by it."""
