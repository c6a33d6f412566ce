"""Sending: which upstream, and what its answers do to the buffer.

One plain thread steps the link; collecting and storing never wait for it. Upstreams are
tried in the order of the configuration. From a later one the first is asked for again and
again, and taken back when it has answered for a while (`Choice`, pure).
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from edge_runtime.buffer import Buffer
from edge_runtime.config import GatewayConfig, UpstreamConfig
from protocols.daemon import EventLog
from protocols.errors import StoreFullError
from protocols.identity import Identity, VerifyKey
from protocols.link import SenderLink
from protocols.session import SenderEvent
from protocols.session.events import Behind, Disconnected, Forked, Ready, Receipted, Refused, Stored

STEP_S = 0.02
"""Longest wait for something to receive; also the longest that a new batch waits to be sent."""

RETURN_S = 30.0
"""The first upstream must have answered for so long before it is taken back."""

PROBE_S = 5.0
"""How often the first upstream is asked for while another one is used."""


class Choice:
    """Which upstream to use. Pure.

    Args:
        upstreams: How many there are.
        failover_s: Without a session for so long, the next one is tried.
        now: Monotonic seconds.

    >>> choice = Choice(2, failover_s=30.0, now=0.0)
    >>> [choice.index_at(now, connected=False) for now in (10.0, 31.0, 50.0)]
    [0, 1, 1]
    >>> for now in (60.0, 70.0, 80.0, 90.0): choice.first_answered(now, True)
    >>> choice.index_at(91.0, connected=True)
    0
    """

    def __init__(self, upstreams: int, failover_s: float, now: float) -> None:
        self._upstreams = upstreams
        self._failover_s = failover_s
        self._alone_since = now
        self._answering_since: float | None = None
        self._index = 0

    def index_at(self, now: float, *, connected: bool) -> int:
        """The upstream to use now."""
        if connected:
            self._alone_since = now
        elif now - self._alone_since > self._failover_s and self._upstreams > 1:
            self._take((self._index + 1) % self._upstreams, now)
        if self._index and self._answering_since is not None and now - self._answering_since >= RETURN_S:
            self._take(0, now)
        return self._index

    def first_answered(self, now: float, answered: bool) -> None:
        """What came of asking for the first upstream while another one is used."""
        if not answered:
            self._answering_since = None
        elif self._answering_since is None:
            self._answering_since = now

    def _take(self, index: int, now: float) -> None:
        self._index, self._alone_since, self._answering_since = index, now, None


class Probe:
    """Whether somebody accepts connections at an address, found out without waiting."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = parts.hostname or "", parts.port or 0
        self._socket: socket.socket | None = None

    def begin(self) -> None:
        """Ask."""
        self.close()
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            if self._socket.connect_ex(self._target) not in (0, errno.EINPROGRESS):
                self.close()
        except OSError:  # a name that does not resolve
            self.close()

    def answered(self) -> bool:
        """Whether a connection was made since `begin`."""
        if self._socket is None:
            return False
        _, writable, _ = select.select([], [self._socket], [], 0)
        made = bool(writable) and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        self.close()
        return made

    def close(self) -> None:
        """End it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@dataclass(slots=True)
class UplinkStatus:
    """What the uplink knows, for the status page.

    Args:
        upstream: The one in use.
        connected: Whether a session is open.
        sessions: Sessions opened since the start.
        bytes_sent: Bytes given to the link since the start.
        batches_sent: Batches, repeats included.
        receipt_us: When headquarters gave the last receipt that was believed, or 0.
        last_error: Why the last session ended, or could not be used.
    """

    upstream: str = ""
    connected: bool = False
    sessions: int = 0
    bytes_sent: int = 0
    batches_sent: int = 0
    receipt_us: int = 0
    last_error: str = ""


class Uplink:
    """Sends what the buffer holds; `step` is called by one thread, again and again.

    Args:
        config: The gateway's; it has at least one upstream.
        identity: The gateway's keys.
        buffer: This thread's buffer.
        log: For events.
        monotonic: Seconds that never jump.
    """

    def __init__(
        self,
        config: GatewayConfig,
        identity: Identity,
        buffer: Buffer,
        log: EventLog,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        assert config.headquarters is not None, "the configuration's check asks for it beside an upstream"
        self._upstreams = config.upstreams
        self._settings = config.uplink
        self._identity = identity
        self._headquarters = VerifyKey(config.headquarters.signing)
        self._buffer = buffer
        self._log = log
        self._monotonic = monotonic
        self._choice = Choice(len(config.upstreams), config.uplink.failover_s, monotonic())
        self._index = 0
        self._probe = Probe(config.upstreams[0].address)
        self._probe_at = 0.0
        self._link = self._open(config.upstreams[0])
        self._sent_before = (0, 0)
        self.status = UplinkStatus(config.upstreams[0].id)

    def step(self) -> None:
        """Send and receive what there is; waits at most `STEP_S`."""
        now = self._monotonic()
        index = self._choice.index_at(now, connected=self._link.connected)
        if index != self._index:
            self._change(index)
        if self._is_elsewhere() and now >= self._probe_at:
            if self._probe_at:
                self._choice.first_answered(now, self._probe.answered())
            self._probe.begin()
            self._probe_at = now + PROBE_S
        try:
            for event in self._link.step(STEP_S):
                self._take(event)
        except StoreFullError as error:
            # Nothing is lost: marks and receipts are told again in the next session.
            self.status.last_error = str(error)
        self.status.connected = self._link.connected
        self.status.bytes_sent = self._sent_before[0] + self._link.bytes_sent
        self.status.batches_sent = self._sent_before[1] + self._link.batches_sent

    def close(self) -> None:
        """Close the link; what is not acknowledged stays in the buffer."""
        self._link.close()
        self._probe.close()

    def _is_elsewhere(self) -> bool:
        """Whether another machine is used than the first: one that changes its keys is in the list twice."""
        return self._upstreams[self._index].address != self._upstreams[0].address

    def _open(self, upstream: UpstreamConfig) -> SenderLink:
        return SenderLink(
            upstream.address,
            upstream.link,
            self._identity,
            self._buffer,
            headquarters=self._headquarters,
            receiver=VerifyKey(upstream.signing),
            answer_timeout_s=self._settings.ack_timeout_s,
            backlog_bytes_per_s=self._settings.backlog_bytes_per_s,
        )

    def _change(self, index: int) -> None:
        before, after = self._upstreams[self._index], self._upstreams[index]
        self._log.warning("upstream-changed", before=before.id, after=after.id)
        self._sent_before = (self.status.bytes_sent, self.status.batches_sent)
        self._link.close()
        self._probe.close()
        self._probe_at = 0.0
        self._index = index
        self._link = self._open(after)
        self.status.upstream = after.id
        self.status.connected = False

    def _take(self, event: SenderEvent) -> None:
        buffer, log = self._buffer, self._log
        upstream = self._upstreams[self._index].id
        match event:
            case Ready(receiver):
                self.status.sessions += 1
                live_first_s = self._settings.live_first_s
                opened = buffer.on_ready(
                    upstream, live_first_us=None if live_first_s is None else round(live_first_s * 1e6)
                )
                log.info(
                    "session-opened", upstream=upstream, receiver=receiver, epochs=list(map(str, opened))
                )
            case Stored(chain, next_):
                buffer.on_stored(chain, next_)
            case Receipted(receipt, signed):
                if buffer.on_receipt(receipt, signed):
                    self.status.receipt_us = receipt.time_us
                else:
                    log.warning("receipt-not-ours", chain=str(receipt.chain), next=receipt.next)
            case Refused(refusal, signed):
                verdict = buffer.on_refused(refusal, signed)
                log.warning(
                    "batch-refused",
                    chain=str(refusal.chain),
                    seq=refusal.seq,
                    receiver=refusal.receiver,
                    reason=refusal.reason.name.lower(),
                    text=refusal.text,
                    done=verdict.value,
                )
            case Forked(chain, seq):
                new = buffer.on_forked(chain, seq)
                log.error("chain-forked", chain=str(chain), seq=seq, epoch=str(new))
            case Behind(chain, wanted, oldest):
                new = buffer.on_behind(chain, wanted, oldest)
                log.error("upstream-behind", chain=str(chain), wanted=wanted, oldest=oldest, epoch=str(new))
            case Disconnected(why):
                self.status.last_error = why
                log.warning("session-ended", upstream=upstream, why=why)
