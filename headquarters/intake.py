"""Between the receiver and the lake: what the link thread does for each commit.

It takes what was verified, decodes it into the rows of the next cycle and hands it over;
the commit thread makes it durable. At most one cycle is being written and one waits, so
a slow disk shows as credit not granted, never as memory. Only the link thread touches
the receiver.

When a commit fails, the lake is opened anew from the disk, the receiver forgets what was
staged, and senders send it again: nothing was acknowledged.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence

from headquarters.config import HeadquartersConfig
from headquarters.custody import Confirmed, Position, receipts
from headquarters.ingest.rows import EventRow
from headquarters.keeper import LakeKeeper, Writer, Written, now_us
from headquarters.latest import Directory, LatestValues
from headquarters.status import Durations, Latency
from protocols import crash
from protocols.batch import Chain, Header, Signer, header_hash
from protocols.daemon import EventLog
from protocols.errors import InputError, StoreError
from protocols.records import Mark
from protocols.session import Accepted, Receiver

BATCHES_PER_TAKE = 64
BYTES_PER_TAKE = 8 << 20
"""Taken from the receiver at a time, until a commit has rows enough."""

CONFIRMED_TOGETHER = 64
"""Chains confirmed as backed up in one turn: each is looked up in the ledger."""

QUIET_S = 0.03
"""A burst of batches is over when none came for so long."""

EARLY = 0.75
"""Part of the commit interval after which the end of a burst is reason enough to commit."""

RETRY_MIN_S, RETRY_MAX_S = 1.0, 30.0
"""Pause before the lake is opened again after a failure, doubled each time."""


class Pace:
    """When to commit: about once an interval, just behind the batches and not between them.

    Gateways cut their batches at whole seconds, so batches come in bursts. A commit waits
    until a burst is over, and falls behind the next one by itself. Where batches come all
    the time, the interval decides.

    Args:
        interval_s: Time between commits.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._staged = 0
        self._first_at = self._last_at = 0.0
        self._committed_at = -interval_s

    def due(self, staged: int, now: float) -> bool:
        """Whether to commit now.

        Args:
            staged: Batches that wait.
            now: Seconds on the monotonic clock.
        """
        if staged > self._staged:
            self._first_at = self._first_at if self._staged else now
            self._last_at = now
        self._staged = staged
        if not staged:
            return False
        since = now - self._committed_at
        if now - self._last_at >= min(QUIET_S, self._interval_s / 4):
            return since >= EARLY * self._interval_s
        return since >= self._interval_s and now - self._first_at >= self._interval_s / 10

    def committed(self, now: float) -> None:
        """Everything that waited was taken."""
        self._committed_at = now
        self._staged = 0


class Intake:
    """Between receiver and commit thread; used by the link thread alone.

    Args:
        receiver: Whose staged batches to take.
        keeper: The lake.
        signer: Signs receipts.
        config: Intervals and bounds.
        confirmed: What is backed up.
        log: For findings.
        look_at: Shown each header that was verified; `None` for nobody.
        reported: Takes the event rows of each commit, with the time; reports are among them.
    """

    def __init__(
        self,
        receiver: Receiver,
        keeper: LakeKeeper,
        signer: Signer,
        config: HeadquartersConfig,
        confirmed: Confirmed,
        log: EventLog,
        look_at: Callable[[Header], None] | None = None,
        reported: Callable[[Sequence[EventRow], int], None] = lambda rows, received_us: None,
    ) -> None:
        self._reported = reported
        self._receiver = receiver
        self._look_at = look_at
        self._keeper = keeper
        self._signer = signer
        self._config = config
        self._confirmed = confirmed
        self._log = log
        self._writer = Writer(keeper)
        self._under_way = 0
        self._pending: list[Accepted] = []
        self._unconfirmed: list[tuple[Chain, Position]] = []
        self._pending_rows = 0
        self._pace = Pace(config.commit_interval_s)
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
        self._take()
        due = self._pace.due(len(self._pending), now) or self._pending_rows >= self._config.commit_rows_max
        if due and self._under_way < 2:
            self._submit(now)

    def confirm(self) -> None:
        """Give receipts for what an operator has confirmed to be backed up."""
        try:
            if self._confirmed.changed():
                self._unconfirmed = sorted(self._confirmed.positions.items(), reverse=True)
        except InputError as error:
            self._log.error("custody-file-wrong", error=str(error))
        given, self._unconfirmed = (
            self._unconfirmed[-CONFIRMED_TOGETHER:],
            self._unconfirmed[:-CONFIRMED_TOGETHER],
        )
        if given:
            self._give_backed_up(given)

    def close_holes(self, now: float) -> None:
        """Declare what is missing of chains that were waited for long enough."""
        for chain, (missing_from, oldest, since) in self._receiver.holes().items():
            if now - since >= self._config.hole_wait_s:
                self._log.warning("hole-accepted", chain=str(chain), seq_from=missing_from, seq_to=oldest)
                self._receiver.accept_hole(chain)

    def finish(self, now: float) -> None:
        """Commit what was verified, then acknowledge it."""
        while self._reopen_at is None and (self._pending or self._receiver.staged):
            self._take()
            if self._under_way < 2:
                self._submit(now)
            self._collect(now, wait=True)
        self._writer.finish()
        self._collect(now)

    # -- leaves --------------------------------------------------------------------------

    def _take(self) -> None:
        while self._receiver.staged and self._pending_rows < self._config.commit_rows_max:
            taken = self._receiver.take(BATCHES_PER_TAKE, BYTES_PER_TAKE)
            if self._look_at is not None:
                for accepted in taken:
                    self._look_at(accepted.header)
            self._pending += taken
            self._pending_rows += sum(accepted.header.n for accepted in taken)

    def _submit(self, now: float) -> None:
        try:
            cycle = self._keeper.ingest.prepare(self._pending, now_us())
        except StoreError as error:  # a part of the lake that it has to look into cannot be read
            self._fail(error, now)
            return
        self._pending, self._pending_rows = [], 0
        self.values.update(cycle.samples)
        self.directory.update(cycle.series)
        self._under_way += 1
        self._pace.committed(now)
        self._writer.submit(cycle)

    def _collect(self, now: float, wait: bool = False) -> None:
        while True:
            try:
                written = self._writer.written.get(timeout=1.0 if wait else None, block=wait)
            except queue.Empty:
                if self._writer.bug is not None:
                    raise self._writer.bug from None
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
        self._reported(cycle.events, now_us())
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
        self._pending, self._pending_rows = [], 0
        self._receiver.pause(True)
        self._keeper.closing.set()
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

    def _give_backed_up(self, positions: list[tuple[Chain, Position]]) -> None:
        """Backed-up receipts, but never for a chain that stands otherwise in our own ledger."""
        sound = {}
        for chain, position in positions:
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
