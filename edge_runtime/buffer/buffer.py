"""The gateway's memory: every batch from the moment it is signed until headquarters has it.

Rules:
1. A batch, its sequence, the chain's head and the ledger's counters are one transaction.
2. Nothing leaves before headquarters signed for it, unless the quota forces it; then a
   tombstone and a gap record say so.
3. What may have been delivered is never signed a second time, but where the receiver
   proved that it holds something else there (a fork) or nothing (it fell behind).
4. One `Buffer` a thread, each on a `Store` of its own; what they share is in `Shared`.

As an outbox it gives a link `offers` and `read`; the link's events come back through
`on_ready`, `on_stored`, `on_receipt`, `on_refused`, `on_forked` and `on_behind`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import zstandard

from edge_runtime import ledger
from edge_runtime.buffer import custody, recovered
from edge_runtime.buffer.chains import Chains, ClockSource, Draft
from edge_runtime.buffer.quota import Limits, make_room, pages_used
from edge_runtime.buffer.salvage import Salvaged, salvage
from edge_runtime.buffer.values import Backlog, Chunk, Progress, Shared
from edge_runtime.ledger import Counts
from edge_runtime.limits import GAPS_PER_RECORD_MAX
from edge_runtime.store import PAGE_BYTES, Store, Transaction
from protocols.batch import ZERO_HASH, Batch, Chain, Clock, ClockState, Header, Kind, Signer, Stream, Verifier
from protocols.records import Gap, Mark, OpenReason, Receipt, Refusal, Statement, pack_gaps
from protocols.session.messages import Offer


class Buffer:
    """The store between collecting and sending; see the module's docstring.

    Args:
        store: This thread's connection.
        gateway: The gateway's name.
        signer: The gateway's key.
        headquarters: Checks receipts; `None` when no receipt can come.
        clock: Gateway time.
        limits: Quota and policy; `None` for no quota.
        trim: The mark at which batches leave.
        random: Gives so many random bytes.
        shared: The same for all buffers of this file; `None` when there is only one.
    """

    def __init__(
        self,
        store: Store,
        gateway: str,
        signer: Signer,
        *,
        headquarters: Verifier | None,
        clock: ClockSource,
        limits: Limits | None = None,
        trim: Mark = Mark.HEADQUARTERS,
        random: Callable[[int], bytes] = os.urandom,
        shared: Shared | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._headquarters = headquarters
        self._limits = limits
        self._trim = trim
        self._shared = shared or Shared()
        self._chains = Chains(store, gateway, signer, clock, random)
        self._upstream = ""
        self._sessions = 0

    def salvage(self, damaged: Path) -> Salvaged:
        """Take over what holds of a file that was set aside; before `begin`."""
        return salvage(damaged, self._store, self._chains)

    def begin(self, reason: OpenReason = OpenReason.FIRST) -> None:
        """Open the chains of a new file, or finish what a crash interrupted in an old one."""
        with self._store.transaction():
            if self._store.fact("born") is None:
                self._store.remember("born", str(reason))
            for stream in (Stream.META, Stream.DATA):
                if self._chains.current(stream) is None:
                    self._chains.open(stream, self._birth(), None)
            self._store.remember("clean", 0)
        custody.finish_moves(self._store, self._chains)

    # -- adding ------------------------------------------------------------------------------

    def append(
        self,
        stream: Stream,
        kind: Kind,
        payload: bytes,
        n: int,
        t_min_us: int,
        t_max_us: int,
        *,
        clock: Clock | None = None,
        table_hash: bytes = ZERO_HASH,
        compressed: bool = False,
        counts: Counts | None = None,
        progress: Mapping[str, Progress] | None = None,
    ) -> Header:
        """Sign a batch and make it durable.

        Args:
            stream: The chain it goes to.
            kind: What the payload holds.
            payload: Encoded.
            n: Samples in it.
            t_min_us: Earliest sample.
            t_max_us: Latest sample.
            clock: The clock when it was cut; now when left out.
            table_hash: Point table of the samples.
            compressed: Whether the payload is a zstd frame.
            counts: What else to add to the ledger; `sealed` is added here.
            progress: How far collecting tasks have come with this batch.

        Returns:
            The header, with its place in the chain.

        Raises:
            StoreFullError: No room; nothing was added.
            StoreDamagedError: The file must be set aside.
        """
        draft = Draft(
            kind, payload, n, t_min_us, t_max_us, clock or self._clock.stamp(), table_hash, compressed
        )
        with self._store.transaction():
            header = self._add(stream, draft)
            added = Counts(sealed=n if kind is Kind.DATA else 0)
            if counts is not None:
                added.add(counts)
            self._account(added, progress)
        return header

    def journal(
        self, chunk: Chunk, *, counts: Counts | None = None, progress: Mapping[str, Progress] | None = None
    ) -> None:
        """Make samples durable that will be cut into a batch later.

        Args:
            chunk: The samples, encoded.
            counts: What else to add to the ledger; `journalled` is added here.
            progress: How far collecting tasks have come with this chunk.

        Raises:
            StoreFullError, StoreDamagedError: As `append`.
        """
        clock = chunk.clock
        with self._store.transaction():
            self._make_room()
            self._store.execute(
                "insert into journal(n, t_min, t_max, table_hash, boot_id, monotonic, clock_state, "
                "clock_offset, payload) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *chunk[1:5],
                    clock.boot_id,
                    clock.monotonic_us,
                    int(clock.state),
                    clock.offset_us,
                    chunk.payload,
                ),
            )
            added = Counts(journalled=chunk.n)
            if counts is not None:
                added.add(counts)
            self._account(added, progress)

    def journalled(self) -> list[Chunk]:
        """What is journalled and not yet cut, oldest first."""
        rows = self._store.rows(
            "select payload, n, t_min, t_max, table_hash, boot_id, monotonic, clock_state, clock_offset "
            "from journal order by no"
        )
        return [
            Chunk(payload, n, t_min, t_max, table_hash, Clock(boot_id, monotonic, ClockState(state), offset))
            for payload, n, t_min, t_max, table_hash, boot_id, monotonic, state, offset in rows
        ]

    def note_start(self, boot_id: bytes) -> None:
        """Remember where the data chain stands as the process with this id begins to write."""
        recovered.note_start(self._store, self._chains, boot_id)

    def cut(self, chunk: Chunk, *, chunks: int, earlier: bool = False) -> Header:
        """Replace the oldest `chunks` of the journal by one batch of the same samples.

        Args:
            chunk: The samples.
            chunks: How many journalled chunks they were.
            earlier: Another process journalled them; see `edge_runtime.buffer.recovered`.

        Raises:
            StoreFullError, StoreDamagedError: As `append`; the journal stays as it was.
        """
        draft = Draft(
            Kind.DATA,
            chunk.payload,
            chunk.n,
            chunk.t_min_us,
            chunk.t_max_us,
            chunk.clock,
            chunk.table_hash,
            compressed=True,
        )
        with self._store.transaction():
            chosen = self._store.rows("select no, n from journal order by no limit ?", (chunks,))
            journalled = sum(n for _, n in chosen)
            assert journalled == chunk.n, (
                f"expected the journal's {journalled} samples in the batch, got {chunk.n}"
            )
            self._store.execute("delete from journal where no <= ?", (chosen[-1][0],))
            header = self._add(Stream.DATA, draft)
            ledger.add(self._store, Counts(journalled=-journalled, sealed=chunk.n))
            if earlier:
                recovered.mark(self._store, self._chains, self._limits, header)
        return header

    def declare(
        self,
        gaps: Iterable[Gap],
        *,
        counts: Counts | None = None,
        progress: Mapping[str, Progress] | None = None,
    ) -> None:
        """Sign gap records; they are exempt from the quota.

        Raises:
            StoreFullError, StoreDamagedError: Nothing was added.
        """
        with self._store.transaction():
            self._declare(list(gaps))
            self._account(counts or Counts(), progress)

    def define(self, definitions: bytes) -> None:
        """Send a point table upward if it is not the one sent last.

        Args:
            definitions: As `protocols.records.pack_definitions` made it.
        """
        with self._store.transaction():
            if self._store.fact("definitions") != definitions:
                self._store.remember("definitions", definitions)
                custody.define_again(self._store, self._chains)

    def define_again(self, every_us: int) -> None:
        """Send the point table again when it was sent so long ago, for whoever came since.

        A platform that joins a running group gets samples from then on, and would never learn what
        they are of: hubs have let go of the table.

        Args:
            every_us: How often, in microseconds of wall-clock time; a clock that was set back counts as well.
        """
        sent_us = self._store.fact("defined_us")
        if sent_us is None or not 0 <= self._clock.now_us() - int(sent_us) < every_us:
            with self._store.transaction():
                custody.define_again(self._store, self._chains)

    def note_events(self, number: int) -> None:
        """Remember up to which number events of the gateway's journal are in batches; it never falls."""
        with self._store.transaction():
            self._store.remember("events", max(number, self.events_noted or 0))

    @property
    def events_noted(self) -> int | None:
        """The number of the last journalled event that is in a batch; `None` in a new buffer."""
        noted = self._store.fact("events")
        return None if noted is None else int(noted)

    def release(self, upstreams: Iterable[str]) -> None:
        """Offer to anybody what was given up because an upstream held it that is configured no more."""
        with self._store.transaction():
            custody.release(self._store, self._chains, frozenset(upstreams))

    def account(self, counts: Counts, progress: Mapping[str, Progress]) -> None:
        """Add to the ledger and note how far collecting has come."""
        with self._store.transaction():
            self._account(counts, progress)

    def state(self) -> Statement:
        """Append the ledger's statement to the meta chain, and return it."""
        with self._store.transaction():
            statement = self.statement()
            self._add(Stream.META, self._chains.draft_now(Kind.STATEMENT, statement.pack()))
        return statement

    def report(self, payload: bytes) -> None:
        """Append a report of the gateway about itself to the meta chain."""
        with self._store.transaction():
            compressed = zstandard.compress(payload, 3)
            self._add(Stream.META, self._chains.draft_now(Kind.REPORT, compressed, compressed=True))

    def open_epoch(self, stream: Stream, reason: OpenReason) -> Chain:
        """Close the stream's current chain and begin another."""
        with self._store.transaction():
            return self._chains.name(self._chains.open(stream, reason, self._chains.current(stream)))

    def end(self) -> None:
        """Note that the process ended in order: the next start need not look for damage."""
        with self._store.transaction():
            self._store.remember("clean", 1)

    def transaction(self) -> Transaction:
        """Join several calls into one transaction: ``with buffer.transaction():``."""
        return self._store.transaction()

    # -- looking -----------------------------------------------------------------------------

    def counts(self) -> Counts:
        """The ledger's totals."""
        return ledger.load(self._store)

    def statement(self) -> Statement:
        """The ledger with its chains, as of now."""
        rows = self._chains.all()
        return self.counts().statement(
            self._clock.now_us(), [(int(row.stream), row.epoch, row.next, row.samples) for row in rows]
        )

    def progress(self) -> dict[str, Progress]:
        """How far each collecting task had come in what is durable."""
        rows = self._store.rows("select task, instant, settled from progress")
        return {task: Progress(instant, settled) for task, instant, settled in rows}

    def resume(self, tasks: Iterable[str], now_us: int) -> dict[str, Progress]:
        """How far each task has come; one that is new begins at `now_us`.

        The beginning is durable before the task reads anything: what a process reads and
        takes along when it dies early in its first life lies between two known instants.

        Raises:
            StoreFullError, StoreDamagedError: A beginning could not be noted.
        """
        reached = self.progress()
        new = {task: Progress(now_us, now_us) for task in tasks if task not in reached}
        if new:
            self.account(Counts(), new)
        return reached | new

    def backlog(self) -> Backlog:
        """What is held and not yet at headquarters."""
        batches = size = unsent = 0
        oldest: int | None = None
        for row in self._chains.all():
            batches += row.next - row.oldest
            size += row.bytes
            unsent += row.next - max(row.oldest, self._stored(row.no, row.stored))
            header = self._chains.header(row, row.oldest) if row.stream is Stream.DATA else None
            if header is not None:
                t_min_us = Header.parse(header).t_min_us
                oldest = t_min_us if oldest is None else min(oldest, t_min_us)
        return Backlog(batches, size, oldest, unsent)

    @property
    def files(self) -> int:
        """Files for a one-way isolator that were made so far."""
        return int(self._store.fact("files") or 0)

    def count_file(self, made: int) -> None:
        """Note how many files for a one-way isolator were made."""
        with self._store.transaction():
            self._store.remember("files", made)

    @property
    def used_bytes(self) -> int:
        """Disk space that holds something, without the WAL."""
        return pages_used(self._store) * PAGE_BYTES

    @property
    def settled(self) -> bool:
        """Whether headquarters signed for everything there is."""
        return all(row.oldest == row.next for row in self._chains.all()) and not self.journalled()

    # -- the outbox of a link ----------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Grows with every commit, of this thread or another, and so whenever `offers` changes."""
        return self._store.gate.commits + self._sessions

    def offers(self) -> list[Offer]:
        """All chains that hold something not yet final, and the current ones; live ones first."""
        return custody.offers(self._chains, self._upstream)

    def read(self, chain: Chain, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        """Consecutive batches from `seq`, at least one if there is one.

        A payload that was given up because a hub holds it, and that is asked for all the
        same, is gone: its tombstone is made and the loss declared. A query for one header
        (`bytes_max` of 1) gives up nothing.
        """
        return custody.read(self._store, self._chains, self._declare, chain, seq, batches_max, bytes_max)

    # -- the events of a link ------------------------------------------------------------------------

    def on_ready(self, upstream: str, *, live_first_us: int | None = None) -> list[Chain]:
        """A session with `upstream` is open.

        Args:
            upstream: The receiver's name. Another than last time is a failover.
            live_first_us: A current data chain whose oldest unsent batch is older than
                this is left to drain; fresh data goes to a new epoch. `None`: never.

        Returns:
            The epochs that were opened.
        """
        self._upstream = upstream
        self._sessions += 1
        return custody.welcome(
            self._store, self._chains, upstream, self._shared.stored, self._clock, live_first_us
        )

    def on_stored(self, chain: Chain, next_: int) -> None:
        """The upstream holds the chain durably below `next_`."""
        row = self._chains.find(chain)
        if row is not None:
            self._shared.stored[row.no] = (min(next_, row.next), self._upstream)
            if self._trim is Mark.HUB:
                custody.let_go(self._store, self._chains, row, min(next_, row.next))

    def on_receipt(self, receipt: Receipt, signed: bytes) -> bool:
        """Headquarters signed for a chain; what is safe leaves the buffer.

        Returns:
            Whether the receipt was believed: its signature holds and it names our own head.
        """
        if self._headquarters is None or not custody.believe(receipt, signed, self._headquarters):
            return False
        if receipt.mark < self._trim:
            return True
        return custody.trim(self._store, self._chains, receipt)

    def on_refused(self, refusal: Refusal, signed: bytes) -> custody.Verdict:
        """A batch was refused; the signature was checked by the link."""
        return custody.refused(self._store, self._chains, self._declare, refusal, signed)

    def on_forked(self, chain: Chain, seq: int) -> Chain | None:
        """The receiver holds other headers from `seq` on: ours are signed again in a new epoch.

        But not one there that was cut from an image's journal and is delivered already.
        """
        return custody.forked(self._store, self._chains, chain, seq, held=True)

    def on_behind(self, chain: Chain, wanted: int, oldest: int) -> Chain | None:
        """The receiver lacks what we no longer hold: declare it, and sign the rest again."""
        return custody.behind(self._store, self._chains, self._declare, chain, wanted)

    # -- inside a transaction ----------------------------------------------------------------------------

    def _birth(self) -> OpenReason:
        return OpenReason(self._store.fact("born") or OpenReason.FIRST)

    def _add(self, stream: Stream, draft: Draft) -> Header:
        if stream is not Stream.META:
            self._make_room()
        row = self._chains.current(stream)
        if row is None:
            row = self._chains.open(stream, self._birth(), None)
        return self._chains.add(row, draft)

    def _declare(self, gaps: list[Gap]) -> None:
        for first in range(0, len(gaps), GAPS_PER_RECORD_MAX):
            record = zstandard.compress(pack_gaps(gaps[first : first + GAPS_PER_RECORD_MAX]), 3)
            self._add(Stream.META, self._chains.draft_now(Kind.GAP, record, compressed=True))

    def _account(self, counts: Counts, progress: Mapping[str, Progress] | None) -> None:
        ledger.add(self._store, counts)
        if progress:
            self._store.execute_each(
                "insert or replace into progress values (?, ?, ?)",
                [(task, *reached) for task, reached in progress.items()],
            )
        if self._shared.stored:
            self._write_stored()

    def _write_stored(self) -> None:
        """Write down what upstreams said they hold; it rides on another commit."""
        stored = self._shared.stored
        for no in list(stored):
            next_, holder = stored[no]
            self._store.execute("update chains set stored = ?, holder = ? where no = ?", (next_, holder, no))
            if stored.get(no) == (next_, holder):
                del stored[no]

    def _stored(self, no: int, written: int) -> int:
        said = self._shared.stored.get(no)
        return written if said is None else said[0]

    def _make_room(self) -> None:
        if self._limits is not None:
            if self._shared.stored:
                self._write_stored()
            make_room(self._store, self._chains, self._limits, self._declare)
