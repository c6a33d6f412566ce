"""The answering side: one ROUTER behind its door, stepped by one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

import zmq

from protocols import limits
from protocols.calls import messages
from protocols.calls.messages import CallRefusedError
from protocols.curve import ZapDoor, serve_behind
from protocols.errors import LimitError, PeerError
from protocols.identity import LinkKey, PublicIdentity

CALLS_PER_STEP = 256
"""Calls taken in one step, so that one busy caller cannot keep the others waiting."""

LATER_POLL_S = 0.05
"""How often answers that are due later are asked for."""


class Caller(NamedTuple):
    """Who asks.

    Args:
        link: The CURVE public key (Z85) that the connection proved.
        identity: Who has it, by the list in force; `None` at a door that is open to all.
    """

    link: bytes
    identity: PublicIdentity | None


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that is not there yet.

    Args:
        check: Gives the result when it is there, else `None`; must not wait.
        within_s: After so long the answer is `otherwise`.
        otherwise: The result then.
    """

    check: Callable[[], object | None]
    within_s: float
    otherwise: object = None


Handler = Callable[[Caller, Any], object]
"""Takes the caller and the argument; gives the result or `Later`; raises a peer's error to refuse."""


@dataclass(slots=True)
class _Due:
    peer: bytes
    number: int
    later: Later
    until: float = field(default=0.0)


class CallServer:
    """Answers calls.

    Args:
        bind: Where to listen, such as `tcp://0.0.0.0:7501`; port `*` chooses one.
        key: Ours.
        admit: Who has a CURVE key (Z85), `None` to refuse it; asked anew at each call, so that
            a key which was revoked gets no further answer. `open_to_all` lets any key in.
        handlers: By verb.
        open_to_all: Whether keys that `admit` does not know may call too.
        calls_per_s: Calls taken from all callers together, in the mean over
            a second; more are refused as `busy`.
        failed: Told of an error in a handler that only a bug can cause; the caller is told `internal`.
        clock: Monotonic seconds.

    Raises:
        zmq.ZMQError: The address cannot be listened on.
    """

    def __init__(
        self,
        bind: str,
        key: LinkKey,
        admit: Callable[[bytes], PublicIdentity | None],
        handlers: Mapping[str, Handler],
        *,
        open_to_all: bool = False,
        calls_per_s: float = math.inf,
        failed: Callable[[BaseException], None] = lambda error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.handlers = dict(handlers)
        self._admit = admit
        self._open = open_to_all
        self._failed = failed
        self._clock = clock
        self._rate = calls_per_s
        self._burst = max(1.0, calls_per_s)
        self._allowance = self._burst
        self._allowed_at = clock()
        self._due: list[_Due] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door = ZapDoor(self._context, lambda link: open_to_all or admit(link) is not None)
        self._router = self._context.socket(zmq.ROUTER)
        serve_behind(self._router, key, limits.CALL_BYTES_MAX + 1024)
        try:
            self._router.bind(bind)
        except zmq.ZMQError:
            self.close()
            raise
        self.address = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._poller = zmq.Poller()
        self._poller.register(self._door.socket, zmq.POLLIN)
        self._poller.register(self._router, zmq.POLLIN)

    @property
    def refused_keys(self) -> int:
        """Connections refused because of their key."""
        return self._door.refused

    def step(self, timeout_s: float) -> None:
        """Answer what has come; waits at most `timeout_s` when nothing has."""
        if self._due:
            timeout_s = min(timeout_s, LATER_POLL_S)
        ready = dict(self._poller.poll(int(timeout_s * 1000)))
        if self._door.socket in ready:
            self._door.answer()
        if self._router in ready:
            self._receive()
        self._settle()

    def close(self) -> None:
        """Close the sockets."""
        self._router.close(0)
        self._door.socket.close(0)
        self._context.term()

    def __enter__(self) -> CallServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> None:
        for _ in range(CALLS_PER_STEP):
            try:
                peer = self._router.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            part = self._router.recv(0, False)
            link = str(part.get("User-Id")).encode()
            frames = [part.bytes]
            while part.more:
                part = self._router.recv(0, False)
                frames.append(part.bytes)
            self._take(peer, link, frames)

    def _take(self, peer: bytes, link: bytes, frames: list[bytes]) -> None:
        identity = self._admit(link)
        if identity is None and not self._open:
            return  # its key was taken off the list since it connected
        try:
            number, verb, argument = messages.parse_call(frames)
        except PeerError:
            return  # nothing to answer to
        try:
            if not self._within_rate():
                raise CallRefusedError("busy", "too many calls at once; try again in a few seconds")
            handler = self.handlers.get(verb)
            if handler is None:
                raise CallRefusedError("unknown-verb", f"nothing here answers {verb!r}")
            result = handler(Caller(link, identity), argument)
            if isinstance(result, Later):
                self._wait(peer, number, result)
                return
            self._send(peer, messages.done(number, result))
        except Exception as error:
            self._send(peer, messages.refused(number, self._refusal(error)))

    def _within_rate(self) -> bool:
        if math.isinf(self._rate):
            return True
        now = self._clock()
        self._allowance = min(self._burst, self._allowance + (now - self._allowed_at) * self._rate)
        self._allowed_at = now
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def _wait(self, peer: bytes, number: int, later: Later) -> None:
        # a caller has one call under way: an older wait of the same connection is over
        self._due = [due for due in self._due if due.peer != peer]
        if len(self._due) >= limits.CALLS_WAITING_MAX:
            raise CallRefusedError("busy", "too many callers wait here; try again in a minute")
        self._due.append(_Due(peer, number, later, self._clock() + later.within_s))

    def _settle(self) -> None:
        now = self._clock()
        waiting: list[_Due] = []
        for due in self._due:
            try:
                result = due.later.check()
                if result is None and now < due.until:
                    waiting.append(due)
                    continue
                answer = messages.done(due.number, due.later.otherwise if result is None else result)
            except Exception as error:
                answer = messages.refused(due.number, self._refusal(error))
            self._send(due.peer, answer)
        self._due = waiting

    def _refusal(self, error: Exception) -> CallRefusedError:
        if isinstance(error, CallRefusedError):
            return error
        if isinstance(error, LimitError):
            return CallRefusedError("too-large", str(error))
        if isinstance(error, PeerError):
            return CallRefusedError("wrong-argument", str(error))
        self._failed(error)
        return CallRefusedError("internal", "the server failed at this; its log says more")

    def _send(self, peer: bytes, frames: list[bytes]) -> None:
        try:
            self._router.send_multipart([peer, *frames], zmq.NOBLOCK)
        except zmq.Again:
            return  # a caller that does not read: it will ask again
