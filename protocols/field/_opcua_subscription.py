"""A subscription that survives its sessions and hides no gap.

What may have been lost is declared: from the last moment at which everything was known to
have arrived, to the moment from which it is again. That happens when a session ends and
another begins, when a sequence number is missing, when the server says that the queue of a point
overflowed, and, as not every server says so, when as many values of a point arrive together
as its queue holds. `Completeness` decides it, without I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from protocols.field import _opcua_wire as wire
from protocols.field._opcua_values import Columns, overflowed
from protocols.field.base import DriverContext, DriverStatus, FieldPoint, Lost, NotificationSink
from protocols.samples import BAD, BAD_NO_COMMUNICATION, SampleBlock, ValueType

if TYPE_CHECKING:
    from protocols.field._opcua_session import Session

_SEQUENCE_LAST = 2**32 - 1


class SubscriptionSettings(NamedTuple):
    """How to subscribe; times in milliseconds."""

    publishing_ms: float
    sampling_ms: float
    queue: int
    keep_alive_ms: float


class Completeness:
    """Knows up to when nothing is missing.

    Args:
        points: All points of the subscription, by handle.

    >>> from protocols.field.base import FieldType
    >>> whole = Completeness([FieldPoint(7, "i=1", FieldType.F64)])
    >>> whole.begun(1_000_000)
    >>> message = wire.Publication(1, sequence=1, more=False, empty=False, values=[], status=None)
    >>> whole.heard(message, 2_000_000)
    []
    >>> whole.heard(message._replace(sequence=3), 3_000_000)[0][:3]
    ((7,), 2000000, 3000000)
    """

    def __init__(self, points: Sequence[FieldPoint]) -> None:
        self._all = tuple(point.id for point in points)
        self._ids = np.array(self._all, np.uint32)
        self._known_us: int | None = None
        self._next = 1
        self._ended = ""
        self._queues = np.zeros(len(points), np.int64)
        self._together = np.zeros(len(points), np.int64)

    def queues(self, handles: Sequence[int], sizes: Sequence[int]) -> None:
        """How many changes the server keeps for these points."""
        self._queues[list(handles)] = sizes

    def begun(self, now_us: int) -> None:
        """A subscription was made at a server; its first message is number 1."""
        if self._known_us is None:
            self._known_us = now_us
        self._next = 1
        self._queues[:] = self._together[:] = 0

    def ended(self, why: str, now_us: int) -> list[Lost]:
        """The subscription is gone; returns what may be missing so far.

        What is missed from now on is told when values come again: two intervals that meet,
        so that nothing stays untold when that never happens.
        """
        if self._known_us is None or self._ended:
            return []
        lost = [Lost(self._all, self._known_us, now_us, why)]
        self._ended, self._known_us = why, now_us
        return lost

    def heard(self, publication: wire.Publication, now_us: int) -> list[Lost]:
        """A message came; returns what may be missing before it."""
        assert self._known_us is not None, "nothing is published before a subscription is made"
        lost: list[Lost] = []
        if self._ended:
            if publication.empty:
                return []
            lost.append(Lost(self._all, self._known_us, now_us, self._ended))
            self._ended = ""
        elif publication.sequence != self._next:
            why = f"message {self._next} was expected, {publication.sequence} came"
            lost.append(Lost(self._all, self._known_us, now_us, why))
        self._next = publication.sequence
        if not publication.empty:
            self._next = 1 if publication.sequence == _SEQUENCE_LAST else publication.sequence + 1
            lost += self._overflows(publication, now_us)
        if not publication.more:
            self._known_us = now_us
        return lost

    def _overflows(self, publication: wire.Publication, now_us: int) -> list[Lost]:
        assert self._known_us is not None
        n = len(self._ids)
        told = np.zeros(n, np.bool_)
        for run in publication.values:
            own = run.handles < n
            self._together += np.bincount(run.handles[own], minlength=n)
            told[run.handles[own & overflowed(run.status)]] = True
        # A queue of one is meant to keep the latest only.
        full = (self._together >= self._queues) & (self._queues > 1)
        if not publication.more:
            self._together[:] = 0
        points = tuple(self._ids[told | full].tolist())
        if not points:
            return []
        how = "overflowed" if told.any() else "was full"
        why = f"the server's queue {how}; raise queue_size or lower publishing_ms"
        return [Lost(points, self._known_us, now_us, why)]


class OpcUaSubscription:
    """Points whose changes go to a sink; `base.Subscription`.

    Args:
        points: What to subscribe.
        sink: Takes what comes.
        settings: How.
        status: The counters to keep.
        context: Clocks.
        forget: Called once when it is closed.
    """

    def __init__(
        self,
        points: Sequence[FieldPoint],
        sink: NotificationSink,
        settings: SubscriptionSettings,
        status: DriverStatus,
        context: DriverContext,
        forget: Callable[[OpcUaSubscription], None],
    ) -> None:
        self._columns = Columns(points)
        self._sink = sink
        self._settings = settings
        self._status = status
        self._context = context
        self._forget = forget
        self._whole = Completeness(points)
        self._session: Session | None = None
        self._id: int | None = None
        self._heard_s = 0.0
        self._silence_s = 0.0
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def points(self) -> tuple[FieldPoint, ...]:
        """What is subscribed."""
        return self._columns.points

    async def start(self, session: Session) -> None:
        """Subscribe in a new session.

        Raises:
            Exception: Whatever the library raises; the session is of no more use.
        """
        nodes = await session.resolve([point.address for point in self.points])
        settings = self._settings
        keep_alive_count = max(1, round(settings.keep_alive_ms / settings.publishing_ms))
        self._whole.begun(self._context.now_us())
        self._id, alive_s = await session.subscribe(
            settings.publishing_ms, keep_alive_count, self._publication
        )
        self._session = session
        self._heard_s = self._context.monotonic()
        self._silence_s = 2 * alive_s + session.settings.timeout_s
        known = [(handle, node) for handle, node in enumerate(nodes) if not isinstance(node, int)]
        refused = {handle: node for handle, node in enumerate(nodes) if isinstance(node, int)}
        for start in range(0, len(known), session.batch):
            chunk = known[start : start + session.batch]
            results = await session.monitor(self._id, chunk, settings.sampling_ms, settings.queue)
            handles = [handle for handle, _ in chunk]
            refused.update({h: code for h, (code, _) in zip(handles, results, strict=True) if code >= BAD})
            self._whole.queues(handles, [size for _, size in results])
        if refused:
            self._sink.put(self._refused(refused))
        self._watch = asyncio.create_task(self._watchdog(session), name="opcua subscription watch")

    def _refused(self, refused: dict[int, int]) -> list[SampleBlock]:
        """Say of points that cannot be monitored why they have no value."""
        now_us = self._context.now_us()
        blocks = []
        for value_type in ValueType:
            members = [h for h in refused if self.points[h].value_type is value_type]
            if members:
                ids = np.array([self.points[h].id for h in members], np.uint32)
                block = SampleBlock.bad(value_type, ids, now_us, BAD)
                block.quality[:] = [refused[h] for h in members]
                blocks.append(block)
        return blocks

    def _publication(self, publication: wire.Publication) -> None:
        if self._closed:
            return
        now_us = self._context.now_us()
        self._heard_s = self._context.monotonic()
        for lost in self._whole.heard(publication, now_us):
            self._sink.lost(lost)
        if publication.values:
            self._status.notifications += sum(len(run.handles) for run in publication.values)
            self._sink.put(self._columns.blocks(publication.values, now_us))
        if publication.status is not None and publication.status >= BAD and self._session is not None:
            self._session.give_up(f"the server ended the subscription with 0x{publication.status:08X}")

    async def _watchdog(self, session: Session) -> None:
        """Give the session up when not even a keep-alive comes."""
        while True:
            quiet_s = self._context.monotonic() - self._heard_s
            if quiet_s >= self._silence_s:
                session.give_up(f"no notification and no keep-alive for {quiet_s:.1f} s")
                return
            await asyncio.sleep(self._silence_s - quiet_s)

    def stop(self, why: str) -> None:
        """The session is gone; nothing is known until it is notified anew."""
        self._end_watch()
        self._session = self._id = None
        now_us = self._context.now_us()
        for lost in self._whole.ended(why, now_us):
            self._sink.lost(lost)
        self._sink.down(now_us, BAD_NO_COMMUNICATION)

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def close(self) -> None:
        """End it at the server, too, if there is one."""
        if self._closed:
            return
        self._closed = True
        self._end_watch()
        self._forget(self)
        session, number = self._session, self._id
        if session is None or number is None or session.lost.done():
            return
        try:
            await session.unsubscribe(number)
        except Exception as error:  # the library raises anything for a server that has gone
            session.give_up(f"ending a subscription: {error!r}")
