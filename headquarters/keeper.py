"""The open lake, and the two threads that write to it: one commits, one keeps it in order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from headquarters.config import HeadquartersConfig
from headquarters.ingest.cycle import Cycle, Ingest
from headquarters.ingest.marks import LakeMarks
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.tables import Lake
from headquarters.lake.upkeep import Stopped, Upkeep
from protocols.daemon import EventLog, Stop
from protocols.errors import StoreError

UPKEEP_IDLE_S = 0.2
"""Pause of the lake's housekeeping when there was nothing to do."""

UPKEEP_RETRY_S = 30.0
"""Pause of the lake's housekeeping after a failure."""


@dataclass(slots=True)
class Written:
    """What became of a cycle: durable, or the error that it met."""

    cycle: Cycle
    seconds: float
    durable_us: int
    error: StoreError | None = None


class LakeKeeper:
    """The open lake with its ingest core, replaced as a whole after a failure.

    Args:
        config: Where everything lies.
        site_of: The site of a gateway.
        log: For what is noticed.

    Raises:
        StoreError: The lake cannot be opened.
    """

    def __init__(self, config: HeadquartersConfig, site_of: Callable[[str], str], log: EventLog) -> None:
        self._config = config
        self._site_of = site_of
        self._log = log
        self.lock = threading.Lock()
        """Held by whoever may not see the lake replaced."""
        self.closing = threading.Event()
        """Set while the lake waits to be opened again: whoever holds the lock should let go."""
        self.open()
        self.marks = LakeMarks(self.lake)
        self.marks.remember(self.lake.ledger.heads())

    def open(self) -> None:
        """Open the lake from the disk and finish what a crash left in some tables only.

        Raises:
            StoreError: It cannot be read or finished.
        """
        self.lake = Lake(self._config.lake)
        clock_ms = self.lake.samples.clock_ms
        self.archive = SegmentArchive(self._config.archive, self._config.quarantine, clock_ms)
        self.ingest = Ingest(self.lake, self.archive, self._site_of, self._config.buckets)
        finished = self.ingest.recover(now_us())
        if finished:
            self._log.warning("crash-repaired", batches=finished)

    def reopen(self) -> None:
        """Open it again, marks included.

        Raises:
            StoreError: It cannot be read or finished.
        """
        self.open()
        self.marks.replace(self.lake)
        self.marks.remember(self.lake.ledger.heads())
        self.closing.clear()


class Writer(threading.Thread):
    """Commits cycles one after the other."""

    def __init__(self, keeper: LakeKeeper) -> None:
        super().__init__(name="commit", daemon=True)
        self._keeper = keeper
        self._cycles: queue.Queue[Cycle | None] = queue.Queue()
        self.written: queue.Queue[Written] = queue.Queue()
        self.bug: Exception | None = None
        """What ended this thread, if anything did but `finish`; whoever waits for it must raise it."""

    def submit(self, cycle: Cycle) -> None:
        """Commit a cycle after those before it."""
        self._cycles.put(cycle)

    def finish(self) -> None:
        """Commit what was submitted and end."""
        self._cycles.put(None)
        self.join()

    def run(self) -> None:
        """Commit until `finish`; after a failure everything submitted before it fails alike."""
        try:
            self._commit_all()
        except Exception as error:
            self.bug = error

    def _commit_all(self) -> None:
        failed: StoreError | None = None
        while (cycle := self._cycles.get()) is not None:
            began = time.perf_counter()
            if failed is None:
                try:
                    self._keeper.ingest.commit(cycle)
                except StoreError as error:
                    failed = error
                except OSError as error:
                    failed = StoreError(f"expected to write the lake: {error}")
            self.written.put(Written(cycle, time.perf_counter() - began, now_us(), failed))


class UpkeepThread(threading.Thread):
    """Keeps the lake in order until asked to stop."""

    def __init__(self, keeper: LakeKeeper, config: HeadquartersConfig, stop: Stop, log: EventLog) -> None:
        super().__init__(name="upkeep", daemon=True)
        self._keeper = keeper
        self._config = config
        self._stop_asked = stop
        self._log = log
        self._upkeep = self._begin()

    def describe(self) -> dict[str, object]:
        """What was done so far."""
        upkeep = self._upkeep
        return {
            "merges": upkeep.work["merge"].done,
            "dirty_hours": len(upkeep.rollups.dirty),
            "work": {kind: asdict(work) for kind, work in upkeep.work.items()},
        }

    def run(self) -> None:
        """Step until a stop."""
        while not self._stop_asked.asked:
            if self._keeper.closing.is_set():
                self._stop_asked.wait(UPKEEP_IDLE_S)
                continue
            try:
                with self._keeper.lock:
                    if self._upkeep.lake is not self._keeper.lake:
                        self._upkeep = self._begin()
                    worked = self._upkeep.step()
                if not worked:
                    self._stop_asked.wait(UPKEEP_IDLE_S)
            except Stopped:
                self._stop_asked.wait(UPKEEP_IDLE_S)
            except (StoreError, OSError) as error:
                self._log.error("upkeep-failed", error=str(error))
                self._stop_asked.wait(UPKEEP_RETRY_S)

    def _begin(self) -> Upkeep:
        return Upkeep(
            self._keeper.lake,
            self._keeper.archive,
            self._config.retention_days,
            int(self._config.rollup_interval_s * 1000),
            lambda: self._stop_asked.asked or self._keeper.closing.is_set(),
        )


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
