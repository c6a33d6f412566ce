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

from protocols.calls.messages import NOT_YOURS, CallRefusedError
from protocols.calls.server import Caller, CallServer, Handler
from protocols.daemon import EventLog
from protocols.errors import InputError, Problem
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


class CallThreads:
    """Opens and answers call sockets.

    Args:
        file: The configuration, for messages about an address that is taken.
        section: Its table with the addresses, such as `[hub]`.
        key: Our CURVE key.
        admit: Who has a CURVE key; see `CallServer`.
        log: Told of errors in handlers that only a bug can cause.
        limited: Whether a CURVE key may renew and nothing else, because its certificate expired.
    """

    def __init__(
        self,
        file: str,
        section: str,
        key: LinkKey,
        admit: Callable[[bytes], PublicIdentity | None],
        log: EventLog,
        limited: Callable[[bytes], bool] = lambda link: False,
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
        self._servers: dict[str, CallServer] = {}

    def open_service(self, bind: str | None, handlers: Mapping[str, Handler]) -> None:
        """Open the socket of known keys; without an address there is none.

        Raises:
            InputError: The address cannot be listened on.
        """
        if bind is not None:
            guarded = {verb: self._guarded(verb, handler) for verb, handler in handlers.items()}
            self._open("service", bind, CallServer, guarded)

    def open_enrolment(self, bind: str | None, handlers: Mapping[str, Handler]) -> None:
        """Open the socket of any key, whose calls are few; without an address there is none.

        Raises:
            InputError: The address cannot be listened on.
        """
        if bind is not None:
            self._open("enrolment", bind, _open_to_all, handlers)

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
        for server in self._servers.values():
            server.close()
        self._servers = {}

    def describe(self) -> dict[str, object]:
        """Where the sockets are, and connections refused because of their key, by socket."""
        return {
            name: {"address": server.address, "refused_keys": server.refused_keys}
            for name, server in self._servers.items()
        }

    def addresses(self) -> dict[str, str]:
        """Where the open sockets are, by name: `service`, `enrolment`."""
        return {name: server.address for name, server in self._servers.items()}

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

    def _open(
        self, name: str, bind: str, opener: Callable[..., CallServer], handlers: Mapping[str, Handler]
    ) -> None:
        try:
            server = opener(bind, self._key, self._admit, handlers, failed=self._failed)
        except zmq.ZMQError as error:
            self.close()
            expected = f"an address that is free on this machine ({error})"
            raise InputError([Problem(self._file, f"{self._section} {name}", bind, expected)]) from error
        self._servers[name] = server
        thread = threading.Thread(target=self._serve, args=(server,), name=f"calls-{name}", daemon=True)
        self._threads.append(thread)

    def _serve(self, server: CallServer) -> None:
        while not self._ended.is_set():
            server.step(STEP_S)

    def _failed(self, error: BaseException) -> None:
        self._log.error("call-bug", error="".join(traceback.format_exception(error)))


def _name(caller: Caller) -> str:
    return "" if caller.identity is None else caller.identity.id


def _open_to_all(
    bind: str,
    key: LinkKey,
    admit: Callable[[bytes], PublicIdentity | None],
    handlers: Mapping[str, Handler],
    failed: Callable[[BaseException], None],
) -> CallServer:
    return CallServer(
        bind, key, admit, handlers, open_to_all=True, calls_per_s=ENROLMENTS_PER_S, failed=failed
    )
