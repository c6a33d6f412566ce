"""Carries stored batches to one upstream, on a thread of its own.

The thread owns its sender's link and a reading connection; what it hears goes into a queue
for the thread that stores. A chain that the upstream will not have is tried again with a new
session now and then: its gateway may have been allowed there since.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, Full, Queue

from hub.config import UpstreamConfig
from hub.ingest import News
from hub.outbox import Recent, UpstreamOutbox
from hub.store import Store
from protocols.daemon import EventLog, Stop
from protocols.errors import StoreError
from protocols.identity import Identity, VerifyKey
from protocols.link import SenderLink
from protocols.records import RefusalReason
from protocols.session import SenderEvent
from protocols.session.events import Behind, Disconnected, Forked, Ready, Refused

STEP_S = 0.01
"""Longest wait for a message: how late a batch that was just stored may be noticed."""

RETRY_STOPPED_S = 30.0
"""A session in which a chain was stopped is ended after this long, so that it is tried again."""


class Relay:
    """One upstream's thread.

    Args:
        upstream: Where to.
        identity: The hub's.
        headquarters: Checks receipts.
        store: Its published chains are offered.
        open_connection: Opens a reading connection; called in the thread.
        recent: What was just stored.
        news: Where to put what is heard; the relay waits where it is full.
        stop: When to end.
        log: For the session's ups and downs.
    """

    def __init__(
        self,
        upstream: UpstreamConfig,
        identity: Identity,
        headquarters: VerifyKey,
        store: Store,
        open_connection: Callable[[], sqlite3.Connection],
        recent: Recent,
        news: Queue[News],
        stop: Stop,
        log: EventLog,
    ) -> None:
        self.upstream = upstream
        self._identity = identity
        self._headquarters = headquarters
        self._store = store
        self._open_connection = open_connection
        self._recent = recent
        self._news = news
        self._stop = stop
        self._log = log
        self._thread = threading.Thread(target=self._run, name=f"relay-{upstream.id}", daemon=True)
        self.connected = False
        self.batches_sent = 0
        self.bytes_sent = 0
        self.failure: StoreError | None = None
        """Why the thread ended, when it was not asked to."""

    def start(self) -> None:
        """Begin to relay."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end; the stop must have been asked for."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            connection = self._open_connection()
            try:
                self._relay(UpstreamOutbox(self._store, self.upstream.id, connection, self._recent))
            finally:
                connection.close()
        except StoreError as error:
            self.failure = error

    def _relay(self, outbox: UpstreamOutbox) -> None:
        link = SenderLink(
            self.upstream.address,
            self.upstream.link,
            self._identity,
            outbox,
            headquarters=self._headquarters,
            receiver=VerifyKey(self.upstream.signing),
        )
        stopped_at: float | None = None
        try:
            while not self._stop.asked:
                events = link.step(STEP_S)
                self.connected = link.connected
                self.batches_sent, self.bytes_sent = link.batches_sent, link.bytes_sent
                if not events:
                    if stopped_at is not None and time.monotonic() - stopped_at > RETRY_STOPPED_S:
                        link.close()
                        stopped_at = None
                    continue
                for event in events:
                    self._pass_on(News(self.upstream.id, event))
                    self._report(event)
                if stops_a_chain(events):
                    stopped_at = stopped_at or time.monotonic()
        finally:
            link.close()
            self.connected = False

    def _pass_on(self, news: News) -> None:
        """Wait for room in the queue, or for the stop: headquarters repeats what is lost by that."""
        while True:
            try:
                self._news.put(news, timeout=STEP_S)
                return
            except Full:
                if self._stop.asked:
                    return

    def _report(self, event: SenderEvent) -> None:
        if isinstance(event, Ready):
            self._log.info("upstream-connected", upstream=self.upstream.id, receiver=event.receiver)
        elif isinstance(event, Disconnected):
            self._log.warning("upstream-disconnected", upstream=self.upstream.id, why=event.why)


def stops_a_chain(events: Iterable[SenderEvent]) -> bool:
    """Whether a sender stopped a chain for the rest of its session at one of these events."""
    return any(
        isinstance(event, Forked | Behind)
        or (isinstance(event, Refused) and event.refusal.reason is not RefusalReason.PAYLOAD)
        for event in events
    )


def drain(queue: Queue[News], most: int) -> list[News]:
    """What waits in a queue, at most so many."""
    found: list[News] = []
    while len(found) < most:
        try:
            found.append(queue.get_nowait())
        except Empty:
            break
    return found
