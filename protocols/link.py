"""The link on ZeroMQ: DEALER to ROUTER, CURVE, ZAP allow-list, one plain thread each.

A `SenderLink` and a `ReceiverLink` own their sockets and step their session core; each
is driven by a single thread that calls `step`. A poll loop on plain sockets carries 1.2
to 3.5 times what asyncio does here.

High-water marks are never where messages are lost: credit bounds what is under way, and
the queues are larger than the credit. A sender makes a new socket, with a new routing id,
whenever its session ends, after a jittered and growing pause.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from types import TracebackType

import zmq

from protocols import limits
from protocols.batch import Verifier
from protocols.curve import ZapDoor, secure, serve_behind
from protocols.identity import AllowList, Identity
from protocols.session import Outbox, Receiver, Sender, SenderEvent, messages
from protocols.session.events import Disconnected, Ready
from protocols.session.messages import Marks
from protocols.session.receiver import KeyBook
from protocols.session.sender import ANSWER_TIMEOUT_S

RECONNECT_MIN_S = 0.1
RECONNECT_MAX_S = 10.0
"""Pause before a new socket: doubled at each failure, with full jitter."""

MESSAGES_PER_STEP = 256
"""Messages taken in one step, so that a busy peer cannot keep a link from sending."""


LIFE = os.urandom(messages.LIFE_BYTES)
"""Of this process: see `protocols.session.peers` on how a clone is found by it."""


class SenderLink:
    """A sender on a CURVE DEALER socket.

    Args:
        address: Where the receiver listens, such as `tcp://10.1.2.3:7500`.
        server_key: The receiver's CURVE public key (Z85); the link opens to nobody else.
        identity: Ours.
        outbox: What to send from; only touched inside `step`.
        headquarters: Checks receipts.
        receiver: Checks refusals of the direct peer.
        answer_timeout_s: See `Sender`.
        backlog_bytes_per_s: See `Sender`.
        life: Of this process, unless a test says otherwise.
        context: ZeroMQ context; the process's own by default.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        address: str,
        server_key: bytes,
        identity: Identity,
        outbox: Outbox,
        *,
        headquarters: Verifier,
        receiver: Verifier,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        backlog_bytes_per_s: int | None = None,
        life: bytes = LIFE,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self._server_key = server_key
        self._link_key = identity.link
        self._outbox = outbox
        self._context = context or zmq.Context.instance()
        self._clock = clock
        role = identity.public.role
        self.sender = Sender(
            identity.id,
            role,
            life=life,
            headquarters=headquarters,
            receiver=receiver,
            owns_chains=role == "gateway",
            answer_timeout_s=answer_timeout_s,
            backlog_bytes_per_s=backlog_bytes_per_s,
        )
        self._socket: zmq.Socket[bytes] | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._offered = -1
        self.bytes_sent = 0
        self.batches_sent = 0

    @property
    def connected(self) -> bool:
        """Whether the session is open."""
        return self.sender.open

    def step(self, timeout_s: float) -> list[SenderEvent]:
        """Send and receive what there is; waits at most `timeout_s` when there is nothing."""
        now = self._clock()
        if self._socket is None:
            if now < self._retry_at:
                time.sleep(min(timeout_s, self._retry_at - now))
                return []
            self._connect(now)
        events = self._send(now)
        events += self._receive(0 if self._has_work(events) else timeout_s)
        events += self._send(self._clock())
        events += self.sender.tick(self._clock())
        if any(isinstance(event, Disconnected) for event in events):
            self._drop()
        return events

    def close(self) -> None:
        """Close the socket; what is not acknowledged stays in the outbox."""
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    def _connect(self, now: float) -> None:
        socket = self._context.socket(zmq.DEALER)
        secure(socket, self._link_key)
        socket.curve_serverkey = self._server_key
        socket.linger = 0
        socket.sndhwm = 2 * limits.CREDIT_BATCHES_MAX
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        socket.connect(self.address)
        self._socket = socket
        self._offered = -1
        self.sender.start(now)

    def _drop(self) -> None:
        self.close()
        self._failures += 1
        pause = min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2 ** min(self._failures, 10))
        self._retry_at = self._clock() + random.uniform(0.5, 1.0) * pause

    def _has_work(self, events: list[SenderEvent]) -> bool:
        return bool(events) or self.sender.wanted() is not None

    def _send(self, now: float) -> list[SenderEvent]:
        events: list[SenderEvent] = []
        generation = self._outbox.generation
        if self.sender.open and generation != self._offered:
            events += self.sender.offer(self._outbox.offers(), now)
            self._offered = generation
        self._flush()
        wanted = self.sender.wanted()
        if wanted is not None:
            batches = self._outbox.read(*wanted)
            events += self.sender.supply(wanted, batches, now)
            self._flush()
        return events

    def _flush(self) -> None:
        assert self._socket is not None
        for frames in self.sender.outgoing():
            self._socket.send_multipart(frames, copy=False)
            self.bytes_sent += sum(map(len, frames))
            self.batches_sent += len(frames) == 4

    def _receive(self, timeout_s: float) -> list[SenderEvent]:
        assert self._socket is not None
        events: list[SenderEvent] = []
        if not self._socket.poll(int(timeout_s * 1000)):
            return events
        for _ in range(MESSAGES_PER_STEP):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            events += self.sender.receive(frames, self._clock())
        if any(isinstance(event, Ready) for event in events):
            self._failures = 0
        return events


class ReceiverLink:
    """A receiver on a CURVE ROUTER socket behind a ZAP allow-list.

    Args:
        bind: Where to listen, such as `tcp://0.0.0.0:7500`; port 0 chooses one.
        identity: Ours.
        allow: Who may connect and whose signatures count; may be replaced by `set_allow`.
        marks: What is durable here.
        any_start: See `Receiver`.
        runs: See `Receiver`.
        custodian: See `Receiver`.
        clock: Monotonic seconds.

    Raises:
        zmq.ZMQError: The address cannot be listened on.
    """

    def __init__(
        self,
        bind: str,
        identity: Identity,
        allow: AllowList,
        marks: Marks,
        *,
        any_start: bool,
        runs: bool = False,
        custodian: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allow = allow
        self._clock = clock
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door = ZapDoor(self._context, lambda link: self._allow.by_link(link) is not None)
        self._router = self._context.socket(zmq.ROUTER)
        serve_behind(self._router, identity.link, limits.PAYLOAD_BYTES_MAX)
        try:
            self._router.bind(bind)
        except zmq.ZMQError:
            self.close()
            raise
        self.address = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._poller = zmq.Poller()
        self._poller.register(self._door.socket, zmq.POLLIN)
        self._poller.register(self._router, zmq.POLLIN)
        keys = KeyBook(self._verifier, self._owner)
        self.receiver = Receiver(
            identity.id, identity.signing, marks, keys, any_start=any_start, runs=runs, custodian=custodian
        )

    @property
    def refused_keys(self) -> int:
        """Connections refused because their key is on no list."""
        return self._door.refused

    def set_allow(self, allow: AllowList) -> None:
        """Use another allow-list from now on; sessions of peers no longer on it get no answer."""
        self._allow = allow

    def step(self, timeout_s: float) -> None:
        """Take what came into the receiver and send what it answers; waits at most `timeout_s`."""
        ready = dict(self._poller.poll(int(timeout_s * 1000)))
        if self._door.socket in ready:
            self._door.answer()
        if self._router in ready:
            self._receive()
        self.receiver.tick(self._clock())
        self.flush()

    def flush(self) -> None:
        """Send what the receiver has to say, without waiting for more to come."""
        for peer, frames in self.receiver.outgoing():
            try:
                self._router.send_multipart([peer, *frames], zmq.NOBLOCK)
            except zmq.Again:
                continue  # a peer that does not read: it will greet again and be told anew

    def close(self) -> None:
        """Close the sockets."""
        self._router.close(0)
        self._door.socket.close(0)
        self._context.term()

    def __enter__(self) -> ReceiverLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> None:
        receive = self._router.recv
        for _ in range(MESSAGES_PER_STEP):
            try:
                peer = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            part = receive(0, False)  # as a frame object: it knows whose key the connection proved,
            link = str(part.get("User-Id"))  # what the door answered for this connection,
            frames = [part.bytes]
            while part.more:  # and whether more follows, at half the cost of asking the socket
                part = receive(0, False)
                frames.append(part.bytes)
            identity = self._allow.by_link(link.encode())
            if identity is not None:
                self.receiver.receive(peer, identity.id, identity.role, frames, self._clock())

    def _verifier(self, key_id: bytes) -> Verifier | None:
        return self._allow.verifier(key_id)

    def _owner(self, key_id: bytes) -> str | None:
        identity = self._allow.by_key_id(key_id)
        return None if identity is None else identity.id
