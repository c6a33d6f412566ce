"""Events on their way into the buffer: a bounded queue, and the writing thread's side of it.

Rules:
1. Who puts never waits. At the bound *the newest are dropped*: what is in order already
   stays. While nothing can be written, the oldest go, as with samples.
2. What is dropped is counted, and one event says how many were lost and from when to when,
   as soon as something can be written again.
3. With a batch the buffer notes, in the same transaction, the number of the last event in
   it. At a start what the gateway's journal has beyond that number is put again, so that
   each event is in one batch, whenever the process was killed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import zstandard

from edge_runtime import limits
from edge_runtime.buffer import Buffer
from protocols.batch import Kind, Stream
from protocols.records import EventRecord, EventType, pack_events

LOST = "lost"
"""The transition of the event that declares lost events."""


@dataclass(slots=True)
class LostEvents:
    """How many events were lost, and from when to when."""

    count: int = 0
    t_from_us: int = 0
    t_to_us: int = 0

    def add(self, time_us: int, count: int = 1, to_us: int | None = None) -> None:
        """So many more, of one time or of a range."""
        to_us = time_us if to_us is None else to_us
        self.t_from_us = time_us if not self.count else min(self.t_from_us, time_us)
        self.t_to_us = to_us if not self.count else max(self.t_to_us, to_us)
        self.count += count

    def merge(self, other: LostEvents) -> None:
        """Take another's in."""
        if other.count:
            self.add(other.t_from_us, other.count, other.t_to_us)

    def declaration(self, now_us: int) -> EventRecord:
        """The event that tells of it."""
        return EventRecord(
            now_us,
            EventType.EVENT,
            text=f"{self.count} events were lost: more came than could be stored",
            transition=LOST,
            value=float(self.count),
            detail={"from_us": self.t_from_us, "to_us": self.t_to_us},
        )


class EventQueue:
    """Events that wait for the writing thread.

    Args:
        events_max: How many it holds at most.
    """

    def __init__(self, events_max: int = limits.EVENTS_WAITING_MAX) -> None:
        self.events_max = events_max
        self._lock = threading.Lock()
        self._waiting: deque[EventRecord] = deque()
        self._lost = LostEvents()
        self.dropped = 0
        """Events that found no room, ever."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, records: Sequence[EventRecord]) -> int:
        """Hand events over, which `clean_event` made fit; never waits. Returns how many found room."""
        with self._lock:
            room = max(0, self.events_max - len(self._waiting))
            self._waiting.extend(records[:room])
            for record in records[room:]:
                self._lost.add(record.time_us)
                self.dropped += 1
            return min(room, len(records))

    def take(self) -> tuple[list[EventRecord], LostEvents]:
        """Everything that waits, and what was lost since the last call."""
        with self._lock:
            taken, lost = list(self._waiting), self._lost
            self._waiting.clear()
            self._lost = LostEvents()
            return taken, lost


class EventWriter:
    """Appends events to the buffer; one thread calls it.

    Args:
        buffer: This thread's buffer.
        queue: Where events come from.
        now_us: Gateway time.
    """

    def __init__(self, buffer: Buffer, queue: EventQueue, now_us: Callable[[], int]) -> None:
        self._buffer = buffer
        self._queue = queue
        self._now_us = now_us
        self._waiting: list[EventRecord] = []
        self._owed = LostEvents()

    def step(self) -> None:
        """Make durable what came since.

        Raises:
            StoreFullError: No room; it waits for the next step.
        """
        taken, lost = self._queue.take()
        self._waiting += taken
        self._owed.merge(lost)
        records = list(self._waiting)
        if self._owed.count:
            records.append(self._owed.declaration(self._now_us()))
        if not records:
            return
        with self._buffer.transaction():
            for payload in pack_events(records):
                record = zstandard.compress(payload.data, 3)
                times = payload.t_min_us, payload.t_max_us
                self._buffer.append(Stream.EVENT, Kind.EVENT, record, 0, *times, compressed=True)
            self._buffer.note_events(max(record.number for record in records))
        self._waiting = []
        self._owed = LostEvents()

    def drop(self) -> None:
        """Keep what waits within the queue's bound; the oldest goes."""
        gone = max(0, len(self._waiting) - self._queue.events_max)
        for record in self._waiting[:gone]:
            self._owed.add(record.time_us)
        self._queue.dropped += gone
        del self._waiting[:gone]
