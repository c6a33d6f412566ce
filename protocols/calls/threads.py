"""The call sockets of one node, each answered by a thread of its own.

Handlers run in the thread of the socket they were given to: one that must wait answers `Later`.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from protocols.calls import former
from protocols.calls.former import Former
from protocols.calls.messages import NOT_YOURS, CallRefusedError
from protocols.calls.server import Caller, CallServer, Handler
from protocols.daemon import EventLog
from protocols.errors import InputError, Problem, StoreError
from protocols.identity import LinkKey, PublicIdentity

STEP_S = 0.2
"""Longest wait of a socket's thread for a call: how late it notices that it should end."""

ENROLMENTS_PER_S = 50.0
"""Calls a second that the enrolment socket takes from all strangers together: a region restarting asks
a tenth of that, and each costs a signature check."""


VERBS_WHEN_EXPIRED = frozenset(("renew",))
"""What a node may call whose certificate expired while it was away; its data is delivered over the link."""

TOLD_EVERY_S = 60.0
"""A node that asks for what it may not again and again is told of so often: it fills no disk."""


class _Socket:
    """One socket; opened by the thread that sets up, stepped by its own."""

    def __init__(
        self, opener: Callable[..., CallServer], bind: str, key: LinkKey, handlers: Mapping[str, Handler]
    ) -> None:
        self._opener = opener
        self._key = key
        self._refused_before = 0
        self._server: CallServer | None = opener(bind, key, handlers)
        self.address = self._server.address

    @property
    def refused_keys(self) -> int:
        """Connections refused because of their key."""
        server = self._server
        return self._refused_before + (0 if server is None else server.refused_keys)

    def behind(self, key: LinkKey, handlers: Mapping[str, Handler]) -> None:
        """Go on behind another key of ours; while the system keeps the port, nothing is answered."""
        if key is self._key and self._server is not None:
            return
        self.close()
        try:
            self._server = self._opener(self.address, key, handlers)
        except zmq.ZMQError:
            time.sleep(STEP_S)
            return
        self._key = key

    def step(self) -> None:
        """Answer what has come."""
        if self._server is not None:
            self._server.step(STEP_S)

    def close(self) -> None:
        """Close it."""
        if self._server is not None:
            self._refused_before += self._server.refused_keys
            self._server.close()
            self._server = None


class CallThreads:
    """Opens and answers call sockets.

    Args:
        file: The configuration, for messages about an address that is taken.
        section: Its table with the addresses, such as `[hub]`.
        key: Our CURVE key.
        admit: Who has a CURVE key; see `CallServer`.
        log: Told of errors in handlers that only a bug can cause.
        limited: Whether a CURVE key may renew and nothing else, because its certificate expired.
        formerly: The key that we had before, while there are those who know us by it.
    """

    def __init__(
        self,
        file: str,
        section: str,
        key: LinkKey,
        admit: Callable[[bytes], PublicIdentity | None],
        log: EventLog,
        limited: Callable[[bytes], bool] = lambda link: False,
        formerly: Former | None = None,
    ) -> None:
        self._file = file
        self._section = section
        self._key = key
        self._admit = admit
        self._log = log
        self._limited = limited
        self._told: dict[tuple[str, str, str], float] = {}
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: dict[str, _Socket] = {}
        self._former = formerly

    def open_service(self, bind: str | None, handlers: Mapping[str, Handler]) -> None:
        """Open the socket of known keys; without an address there is none.

        Raises:
            InputError: The address cannot be listened on.
        """
        if bind is not None:
            guarded = {verb: self._guarded(verb, handler) for verb, handler in handlers.items()}
            known = {verb: self._noted(handler) for verb, handler in guarded.items()}
            told = {verb: guarded[verb] if verb in former.VERBS else former.refuse for verb in guarded}
            socket = self._open("service", bind, self._opened, known)
            self._add("service", socket, lambda: self._change(socket, known, told))

    def open_enrolment(self, bind: str | None, handlers: Mapping[str, Handler]) -> None:
        """Open the socket of any key, whose calls are few; without an address there is none.

        Raises:
            InputError: The address cannot be listened on.
        """
        if bind is not None:
            socket = self._open("enrolment", bind, self._opened_to_all, handlers)
            self._add("enrolment", socket, lambda: None)

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Answer no more; closes the sockets."""
        self._ended.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for socket in self._sockets.values():
            socket.close()
        self._sockets = {}

    def describe(self) -> dict[str, object]:
        """Where the sockets are, and connections refused because of their key, by socket."""
        return {
            name: {"address": socket.address, "refused_keys": socket.refused_keys}
            for name, socket in self._sockets.items()
        }

    def addresses(self) -> dict[str, str]:
        """Where the open sockets are, by name: `service`, `enrolment`."""
        return {name: socket.address for name, socket in self._sockets.items()}

    def _guarded(self, verb: str, handler: Handler) -> Handler:
        def answer(caller: Caller, argument: Any) -> object:
            if verb not in VERBS_WHEN_EXPIRED and self._limited(caller.link):
                self._tell("certificate-expired", verb, caller)
                raise CallRefusedError("certificate-expired", "it may deliver and renew; nothing else")
            try:
                return handler(caller, argument)
            except CallRefusedError as error:
                if error.code == NOT_YOURS:
                    self._tell(error.code, verb, caller)
                raise

        return answer

    def _tell(self, code: str, verb: str, caller: Caller) -> None:
        """Log that a known node asked for what it may not; only the thread of the service socket does."""
        node, now = _name(caller), time.monotonic()
        if now - self._told.get((code, verb, node), -TOLD_EVERY_S) >= TOLD_EVERY_S:
            self._told[code, verb, node] = now
            self._log.warning("call-refused", code=code, verb=verb, node=node)

    def _noted(self, handler: Handler) -> Handler:
        """A handler behind our present key: who calls it knows that key."""

        def answer(caller: Caller, argument: Any) -> object:
            if self._former is not None and caller.identity is not None:
                self._former.met(caller.identity.id)
            return handler(caller, argument)

        return answer

    def _change(self, socket: _Socket, known: Mapping[str, Handler], told: Mapping[str, Handler]) -> None:
        """Put the socket behind the key whose turn it is."""
        if self._former is None:
            return
        try:
            opens = self._former.opens()
        except StoreError as error:
            self._log.error("former-key-stays", error=str(error))
            opens = False
        if self._former.is_over:
            self._log.info("former-key-forgotten")
        socket.behind(self._former.key if opens else self._key, told if opens else known)
        if self._former.is_over:
            self._former = None

    def _open(
        self, name: str, bind: str, opener: Callable[..., CallServer], handlers: Mapping[str, Handler]
    ) -> _Socket:
        try:
            return _Socket(opener, bind, self._key, handlers)
        except zmq.ZMQError as error:
            self.close()
            expected = f"an address that is free on this machine ({error})"
            raise InputError([Problem(self._file, f"{self._section} {name}", bind, expected)]) from error

    def _add(self, name: str, socket: _Socket, change: Callable[[], None]) -> None:
        self._sockets[name] = socket
        thread = threading.Thread(
            target=self._serve, args=(socket, change), name=f"calls-{name}", daemon=True
        )
        self._threads.append(thread)

    def _serve(self, socket: _Socket, change: Callable[[], None]) -> None:
        while not self._ended.is_set():
            change()
            socket.step()

    def _opened(self, bind: str, key: LinkKey, handlers: Mapping[str, Handler]) -> CallServer:
        return CallServer(bind, key, self._admit, handlers, failed=self._failed)

    def _opened_to_all(self, bind: str, key: LinkKey, handlers: Mapping[str, Handler]) -> CallServer:
        return CallServer(
            bind,
            key,
            self._admit,
            handlers,
            open_to_all=True,
            calls_per_s=ENROLMENTS_PER_S,
            failed=self._failed,
        )

    def _failed(self, error: BaseException) -> None:
        self._log.error("call-bug", error="".join(traceback.format_exception(error)))


def _name(caller: Caller) -> str:
    return "" if caller.identity is None else caller.identity.id
