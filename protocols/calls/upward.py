"""Calls to whichever upstream answers, for a node that has several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from protocols.calls.client import CallClient, CallTimeoutError
from protocols.identity import LinkKey

RETURN_S = 300.0
"""The first upstream is asked again after so long with another one."""


class Calls(Protocol):
    """Something that can be asked: `CallClient`, or `Upward`."""

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        """Ask and wait; see `CallClient.call`."""


class OwnCalls(Calls, Protocol):
    """The same, of whoever has it for itself and closes it."""

    def close(self) -> None:
        """Close the sockets; the next call opens them anew."""


class ServiceAddress(NamedTuple):
    """Where an upstream answers calls.

    Args:
        id: Its node name.
        address: Its service socket: `tcp://HOST:PORT`.
        link: Its CURVE public key (Z85).
    """

    id: str
    address: str
    link: bytes


class Upward:
    """Calls the first upstream; when it does not answer in time, the next call goes to the next one.

    Used by one thread: each thread that calls has its own.

    Args:
        upstreams: Where calls may go, in this order; at least one.
        key: Our CURVE key.
        timeout_s: How long to wait for an answer, where a call does not say.
        give_up: Asked while waiting; true ends the wait.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        upstreams: Sequence[ServiceAddress],
        key: LinkKey,
        *,
        timeout_s: float = 10.0,
        give_up: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert upstreams
        self._clients = [
            CallClient(upstream.address, upstream.link, key, timeout_s=timeout_s, give_up=give_up)
            for upstream in upstreams
        ]
        self._upstreams = tuple(upstreams)
        self._give_up = give_up
        self._clock = clock
        self._index = 0
        self._left_first_at = 0.0

    @property
    def upstream(self) -> ServiceAddress:
        """Whom the next call goes to."""
        return self._upstreams[self._index]

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        """Ask and wait; see `CallClient.call`.

        Raises:
            CallRefusedError: The server will not.
            CallTimeoutError: No answer came; the next call asks another upstream, if there is one.
            MalformedError, LimitError: What was asked is too large, or what came is no answer.
        """
        if self._index and self._clock() - self._left_first_at > RETURN_S:
            self._index = 0
        try:
            return self._clients[self._index].call(verb, argument, timeout_s)
        except CallTimeoutError:
            if not self._give_up():
                self._next()
            raise

    def close(self) -> None:
        """Close the sockets; the next call opens them anew."""
        for client in self._clients:
            client.close()

    def __enter__(self) -> Upward:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> None:
        if self._index == 0:
            self._left_first_at = self._clock()
        self._index = (self._index + 1) % len(self._clients)
