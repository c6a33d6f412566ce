"""The housekeeping of a lake: merges, sorted rewrites, checkpoints, deletions, roll-ups.

One thread calls `step` again and again beside the commits; each step does the most urgent
piece of work and says whether there was any. Only log commits exclude each other, so a
long merge delays no commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable

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
        self.merges = 0
        self.rewrites = 0
        self.checkpoints = 0

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
        table.log.checkpoint(now)
        self.checkpoints += 1
        return True

    def _merge(self) -> bool:
        """Merge where most files wait for it, so that no table starves another."""
        due = [
            (table, merge) for table in self._lake.tables for merge in compact.plan_merges(table.log.files())
        ]
        if not due:
            return False
        compact.merge(*max(due, key=lambda pair: len(pair[1].files)))
        self.merges += 1
        return True

    def _sweep(self, now: int) -> bool:
        if now - self._daily_ms >= DAILY_MS:
            self._daily_ms = now
            for table in self._lake.tables:
                for path in table.log.orphans(now):
                    path.unlink(missing_ok=True)
            if self._retention_days is not None:
                self._archive.expire(self._retention_days)
            return True
        if now - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now
            return sum(table.log.vacuum(now) for table in self._lake.tables) > 0
        return False

    def _roll_up(self, now: int) -> bool:
        if now - self._rolled_ms < self._rollup_interval_ms:
            return False
        began = time.monotonic()
        if self._rollups.step():
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
                compact.rewrite(table, due[0], self._pause)
                self.rewrites += 1
                return True
        return False

    def _dated(self) -> list[LakeTable]:
        lake = self._lake
        return [lake.samples, lake.ledger, lake.gaps, lake.events, lake.minutes]

    def _pause(self) -> None:
        if self._stopped():
            raise Stopped


class Stopped(Exception):  # noqa: N818 - not an error
    """A stop was asked for in the middle of something long; nothing is lost by it."""
