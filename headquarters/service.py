"""Headquarters at work: one thread on the link, one that commits, one that keeps the lake.

The link thread takes what was verified, decodes it into the rows of the next cycle and
hands it over; the commit thread makes it durable. At most one cycle is being written and
one waits, so a slow disk shows as credit not granted, never as memory. Only the link
thread touches the receiver.

When a commit fails, the lake is opened anew from the disk, the receiver forgets what was
staged, and senders send it again: nothing was acknowledged.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headquarters.config import HeadquartersConfig
from headquarters.custody import Confirmed, Position, receipts
from headquarters.ingest.cycle import Cycle, Ingest
from headquarters.ingest.marks import LakeMarks
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.tables import Lake
from headquarters.lake.upkeep import Stopped, Upkeep
from headquarters.latest import Directory, LatestValues
from headquarters.status import Durations, Latency
from protocols import crash, limits
from protocols.batch import Chain, Signer, header_hash
from protocols.daemon import EventLog, Stop
from protocols.errors import InputError, StoreError
from protocols.records import Mark
from protocols.session import Receiver

BATCHES_PER_CYCLE = 4096
BYTES_PER_CYCLE = 4 * limits.CREDIT_BYTES_MAX
"""What one cycle may take from the receiver."""

RETRY_MIN_S, RETRY_MAX_S = 1.0, 30.0
"""Pause before the lake is opened again after a failure, doubled each time."""

UPKEEP_IDLE_S = 0.2
"""Pause of the lake's housekeeping when there was nothing to do."""


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
        self.open()
        self.marks = LakeMarks(self.lake)

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
        self.archive.close()
        self.open()
        self.marks.replace(self.lake)


class Writer(threading.Thread):
    """Commits cycles one after the other."""

    def __init__(self, keeper: LakeKeeper) -> None:
        super().__init__(name="commit", daemon=True)
        self._keeper = keeper
        self._cycles: queue.Queue[Cycle | None] = queue.Queue()
        self.written: queue.Queue[Written] = queue.Queue()

    def submit(self, cycle: Cycle) -> None:
        """Commit a cycle after those before it."""
        self._cycles.put(cycle)

    def finish(self) -> None:
        """Commit what was submitted and end."""
        self._cycles.put(None)
        self.join()

    def run(self) -> None:
        """Commit until `finish`; after a failure everything submitted before it fails alike."""
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
            "merges": upkeep.merges,
            "rewrites": upkeep.rewrites,
            "checkpoints": upkeep.checkpoints,
            "dirty_hours": len(upkeep.rollups.dirty),
        }

    def run(self) -> None:
        """Step until a stop."""
        while not self._stop_asked.asked:
            try:
                with self._keeper.lock:
                    if self._upkeep.lake is not self._keeper.lake:
                        self._upkeep = self._begin()
                    worked = self._upkeep.step()
                if not worked:
                    self._stop_asked.wait(UPKEEP_IDLE_S)
            except Stopped:
                return
            except (StoreError, OSError) as error:
                self._log.error("upkeep-failed", error=str(error))
                self._stop_asked.wait(RETRY_MAX_S)

    def _begin(self) -> Upkeep:
        return Upkeep(
            self._keeper.lake,
            self._keeper.archive,
            self._config.retention_days,
            int(self._config.rollup_interval_s * 1000),
            lambda: self._stop_asked.asked,
        )


class Intake:
    """Between receiver and commit thread; used by the link thread alone.

    Args:
        receiver: Whose staged batches to take.
        keeper: The lake.
        signer: Signs receipts.
        config: Intervals and bounds.
        confirmed: What is backed up.
        log: For findings.
    """

    def __init__(
        self,
        receiver: Receiver,
        keeper: LakeKeeper,
        signer: Signer,
        config: HeadquartersConfig,
        confirmed: Confirmed,
        log: EventLog,
    ) -> None:
        self._receiver = receiver
        self._keeper = keeper
        self._signer = signer
        self._config = config
        self._confirmed = confirmed
        self._log = log
        self._writer = Writer(keeper)
        self._under_way = 0
        self._submitted_at = 0.0
        self._reopen_at: float | None = None
        self._retry_s = RETRY_MIN_S
        self.values = LatestValues()
        self.directory = Directory()
        self.latency = Latency()
        self.commits = Durations()
        self.counters = {"commits": 0, "batches": 0, "rows": 0, "refused": 0, "failures": 0}
        self.directory.update(keeper.ingest.registry.rows())
        self._writer.start()

    @property
    def failing(self) -> bool:
        """Whether the lake is closed after a failure."""
        return self._reopen_at is not None

    def step(self, now: float) -> None:
        """Acknowledge what was committed and hand over what is due."""
        self._collect(now)
        if self._reopen_at is not None:
            self._try_reopen(now)
            return
        self._give_receipts(self._keeper.marks.asked())
        due = now - self._submitted_at >= self._config.commit_interval_s
        if self._receiver.staged and self._under_way < 2 and (due or self._many_staged()):
            self._submit(now)

    def confirm(self) -> None:
        """Give receipts for what an operator has confirmed to be backed up."""
        try:
            if self._confirmed.changed():
                self._give_backed_up(self._confirmed.positions)
        except InputError as error:
            self._log.error("custody-file-wrong", error=str(error))

    def close_holes(self, now: float) -> None:
        """Declare what is missing of chains that were waited for long enough."""
        for chain, (missing_from, oldest, since) in self._receiver.holes().items():
            if now - since >= self._config.hole_wait_s:
                self._log.warning("hole-accepted", chain=str(chain), seq_from=missing_from, seq_to=oldest)
                self._receiver.accept_hole(chain)

    def finish(self, now: float) -> None:
        """Commit what was verified, then acknowledge it."""
        while self._receiver.staged and self._reopen_at is None:
            if self._under_way < 2:
                self._submit(now)
            self._collect(now, wait=True)
        self._writer.finish()
        self._collect(now)

    # -- leaves --------------------------------------------------------------------------

    def _many_staged(self) -> bool:
        return self._receiver.staged >= BATCHES_PER_CYCLE // 4

    def _submit(self, now: float) -> None:
        accepted = self._receiver.take(BATCHES_PER_CYCLE, BYTES_PER_CYCLE)
        cycle = self._keeper.ingest.prepare(accepted, now_us())
        self.values.update(cycle.samples)
        self.directory.update(cycle.series)
        self._under_way += 1
        self._submitted_at = now
        self._writer.submit(cycle)

    def _collect(self, now: float, wait: bool = False) -> None:
        while True:
            try:
                written = self._writer.written.get(timeout=1.0 if wait else None, block=wait)
            except queue.Empty:
                return
            wait = False
            self._under_way -= 1
            if written.error is None:
                self._durable(written, now)
            elif self._reopen_at is None:
                self._fail(written.error, now)

    def _durable(self, written: Written, now: float) -> None:
        cycle = written.cycle
        self._keeper.marks.committed(cycle)
        crash.point("hq:before-ack")
        self._receiver.committed(cycle.accepted, now)
        for refused in cycle.refused:
            chain, header, batch, _ = refused.accepted
            head = header_hash(batch.header)
            self._receiver.refuse(chain, header.seq, head, refused.reason, refused.text)
        self._give_receipts(cycle.marks)
        if cycle.forked:
            self._receiver.abandoned(now)
        self.commits.add(written.seconds)
        self.latency.add(cycle.samples, written.durable_us, now)
        self.counters["commits"] += 1
        self.counters["batches"] += len(cycle.accepted)
        self.counters["rows"] += cycle.rows
        self.counters["refused"] += len(cycle.refused)
        self._retry_s = RETRY_MIN_S

    def _fail(self, error: StoreError, now: float) -> None:
        self._log.error("commit-failed", error=str(error), retry_s=self._retry_s)
        self.counters["failures"] += 1
        self._receiver.pause(True)
        self._reopen_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    def _try_reopen(self, now: float) -> None:
        if self._reopen_at is None or now < self._reopen_at or self._under_way:
            return
        if not self._keeper.lock.acquire(blocking=False):
            return  # a merge is being written: the next turn
        try:
            self._keeper.reopen()
        except StoreError as error:
            self._fail(error, now)
            return
        finally:
            self._keeper.lock.release()
        self._writer.finish()
        self._writer = Writer(self._keeper)
        self._writer.start()
        self._reopen_at = None
        self._receiver.abandoned(now)
        self._receiver.pause(False)
        self._log.info("lake-reopened")

    def _give_receipts(self, chains: Iterable[Chain]) -> None:
        """Headquarters-durable receipts for what is durable, and backed-up ones as confirmed."""
        positions = {}
        for chain in chains:
            mark = self._keeper.marks.durable(chain)
            if mark is not None:
                positions[chain] = Position(*mark)
        if not positions:
            return
        for receipt, signed in receipts(positions, Mark.HEADQUARTERS, self._signer, now_us()):
            self._receiver.custody(receipt, signed)

    def _give_backed_up(self, positions: dict[Chain, Position]) -> None:
        """Backed-up receipts, but never for a chain that stands otherwise in our own ledger."""
        sound = {}
        for chain, position in positions.items():
            mark = self._keeper.marks.durable(chain)
            if (
                position.next
                and mark is not None
                and mark[0] >= position.next
                and self._keeper.marks.header_hash(chain, position.next - 1) == position.head
            ):
                sound[chain] = position
            else:
                self._log.error("custody-differs", chain=str(chain), next=position.next)
        for receipt, signed in receipts(sound, Mark.BACKED_UP, self._signer, now_us()):
            self._receiver.custody(receipt, signed)
        self._log.info("backed-up", chains=len(sound))


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
