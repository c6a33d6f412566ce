"""Takes what was collected and makes it durable: journal, batches, gaps, events.

One thread runs `step` about once a second. A flush interval of at most a second seals
every step's samples as a batch; a longer one journals them each second and cuts a batch
when the interval or the number of samples is reached. Either way no sample is in memory
only for longer than a step, while there is room on the disk.

While there is none, what is collected waits here up to a bound; beyond it the oldest is
dropped, counted, and declared as soon as something can be written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from edge_runtime import limits
from edge_runtime.buffer import Buffer, Chunk, Progress
from edge_runtime.clock import GatewayClock
from edge_runtime.events import EventWriter
from edge_runtime.intake import Delivery, Intake, Losses, join_adjacent
from edge_runtime.ledger import Counts
from protocols import columns
from protocols.batch import Kind, Stream
from protocols.errors import StoreFullError
from protocols.records import Correction, GapCause
from protocols.samples import SampleBlock, concatenate

JOURNAL_S = 1.0
"""Longest time that a sample is in memory only."""


class Rules(NamedTuple):
    """When to cut.

    Args:
        flush_s: A batch is cut at the latest after so many seconds.
        batch_samples_max: And at the latest with so many samples.
    """

    flush_s: float
    batch_samples_max: int

    @property
    def step_s(self) -> float:
        """How often to call `Writer.step`."""
        return min(self.flush_s, JOURNAL_S)


class Writer:
    """The writing side of the gateway; one thread calls it.

    Args:
        buffer: This thread's buffer.
        intake: Where deliveries come from.
        clock: Gateway time.
        table_hash: Point table of the samples.
        rules: When to cut.
        monotonic: Seconds that never jump.
    """

    def __init__(
        self,
        buffer: Buffer,
        intake: Intake,
        clock: GatewayClock,
        table_hash: bytes,
        rules: Rules,
        monotonic: Callable[[], float],
    ) -> None:
        self._buffer = buffer
        self._intake = intake
        self._clock = clock
        self._table_hash = table_hash
        self._rules = rules
        self._monotonic = monotonic
        self._waiting: list[Delivery] = []
        self._owed = Losses.none()
        self._corrections: list[Correction] = []
        self._events = EventWriter(buffer, intake.events, clock.now_us)
        self._open: list[SampleBlock] = []
        self._open_chunks = 0
        self._open_since = monotonic()
        self.trouble = ""
        """Why nothing can be written; empty when all is well."""

    def recover(self) -> int:
        """Cut what an earlier process journalled, before anything is written. Returns its samples.

        Raises:
            StoreFullError: No room; it stays journalled.
        """
        recovered = 0
        chunks = self._buffer.journalled()
        while chunks:
            alike = 1
            while alike < len(chunks) and _one_batch(chunks[0], chunks[alike]):
                alike += 1
            blocks = [block for chunk in chunks[:alike] for block in columns.decode(chunk.payload)]
            last = chunks[alike - 1]
            self._buffer.cut(
                last._replace(
                    payload=columns.encode(concatenate(blocks)),
                    n=sum(len(block) for block in blocks),
                    t_min_us=min(chunk.t_min_us for chunk in chunks[:alike]),
                    t_max_us=max(chunk.t_max_us for chunk in chunks[:alike]),
                ),
                chunks=alike,
                earlier=True,
            )
            recovered += sum(len(block) for block in blocks)
            chunks = chunks[alike:]
        self._buffer.note_start(self._clock.boot_id)
        return recovered

    def step(self, *, last: bool = False) -> None:
        """Make durable what was collected since.

        Args:
            last: At a clean stop: cut what is open, however little it is.
        """
        deliveries, losses = self._intake.take()
        self._waiting += deliveries
        self._owed.merge(losses)
        try:
            self._correct()
            self._events.step()
            self._store(self._waiting)
            self._waiting = []
            self._owed = Losses.none()
            if self._open_chunks and (last or self._is_due()):
                self._cut()
            self.trouble = ""
        except StoreFullError as error:
            self.trouble = str(error)
            cause = GapCause.QUOTA if error.__cause__ is None else GapCause.DISK_FULL
            self._drop(cause, "there was no room to store them")
            self._events.drop()

    # -- inside a step -------------------------------------------------------------------------

    def _store(self, deliveries: Sequence[Delivery]) -> None:
        """Write deliveries and what is owed in one transaction."""
        gaps = join_adjacent(
            [
                *self._owed.declared,
                *self._owed.gaps.values(),
                *(gap for delivery in deliveries for gap in delivery.gaps),
            ]
        )
        samples = sum(delivery.samples for delivery in deliveries)
        if not deliveries and not gaps:
            return
        counts = self._counts(deliveries, samples)
        progress = {d.task: Progress(d.instant_us, d.settled_us) for d in deliveries}
        journalled = self._rules.flush_s > JOURNAL_S and 0 < samples < self._rules.batch_samples_max
        if not journalled and self._open_chunks and samples:
            self._cut()
        blocks = concatenate([block for delivery in deliveries for block in delivery.blocks])
        with self._buffer.transaction():
            if gaps:
                self._buffer.declare(gaps)
            if journalled:
                self._buffer.journal(self._chunk(blocks), counts=counts, progress=progress)
            else:
                for part in split(blocks, self._rules.batch_samples_max):
                    self._append(part)
                self._buffer.account(counts, progress)
        if journalled:
            if not self._open_chunks:
                self._open_since = self._monotonic()
            self._open += blocks
            self._open_chunks += 1

    def _counts(self, deliveries: Sequence[Delivery], samples: int) -> Counts:
        thinned = sum(delivery.thinned for delivery in deliveries) + self._owed.thinned
        counts = Counts(collected=samples + thinned, thinned=thinned)
        for cause, lost in self._owed.dropped.items():
            counts.collected += lost
            counts.dropped[str(cause)] += lost
        return counts

    def _append(self, blocks: Sequence[SampleBlock]) -> None:
        chunk = self._chunk(blocks)
        self._buffer.append(
            Stream.DATA,
            Kind.DATA,
            chunk.payload,
            chunk.n,
            chunk.t_min_us,
            chunk.t_max_us,
            clock=chunk.clock,
            table_hash=chunk.table_hash,
            compressed=True,
        )

    def _cut(self) -> None:
        chunk = self._chunk(concatenate(self._open))
        self._buffer.cut(chunk, chunks=self._open_chunks)
        self._open = []
        self._open_chunks = 0

    def _chunk(self, blocks: Sequence[SampleBlock]) -> Chunk:
        return Chunk(
            columns.encode(blocks),
            sum(len(block) for block in blocks),
            min(int(block.time.min()) for block in blocks),
            max(int(block.time.max()) for block in blocks),
            self._table_hash,
            self._clock.stamp(),
        )

    def _is_due(self) -> bool:
        samples = sum(len(block) for block in self._open)
        # Half a step early is nearer to the interval than half a step late.
        waited_s = self._monotonic() - self._open_since + 1.5 * self._rules.step_s
        return samples >= self._rules.batch_samples_max or waited_s >= self._rules.flush_s

    def _correct(self) -> None:
        """Send what became known of the clock; the clock tells it once, so it is kept until it is durable."""
        self._corrections += self._clock.take_corrections()
        while self._corrections:
            now_us, record = self._clock.now_us(), self._corrections[0].pack()
            self._buffer.append(Stream.META, Kind.CORRECTION, record, 0, now_us, now_us)
            del self._corrections[0]

    def _drop(self, cause: GapCause, detail: str) -> None:
        """Keep what waits within its bounds; the oldest goes."""
        waiting = sum(delivery.samples for delivery in self._waiting)
        gone = 0
        while waiting > self._intake.samples_max or len(self._waiting) - gone > limits.DELIVERIES_MAX:
            waiting -= self._waiting[gone].samples
            self._owed.add(self._waiting[gone], cause, detail)
            gone += 1
        del self._waiting[:gone]


def _one_batch(one: Chunk, other: Chunk) -> bool:
    """Whether journalled chunks may share a header."""
    return (one.table_hash, one.clock.boot_id, one.clock.state) == (
        other.table_hash,
        other.clock.boot_id,
        other.clock.state,
    )


def split(blocks: Sequence[SampleBlock], samples_max: int) -> Iterator[list[SampleBlock]]:
    """Parts of at most `samples_max` samples, in order."""
    part: list[SampleBlock] = []
    room = samples_max
    for block in blocks:
        first = 0
        while first < len(block):
            end = min(len(block), first + room)
            rows = slice(first, end)
            source = None if block.source_time is None else block.source_time[rows]
            part.append(
                SampleBlock(
                    block.type,
                    block.point[rows],
                    block.time[rows],
                    block.value[rows],
                    block.quality[rows],
                    source,
                )
            )
            room -= end - first
            first = end
            if room == 0:
                yield part
                part, room = [], samples_max
    if part:
        yield part
