"""The asking side: one DEALER, one call under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import zmq

from protocols.calls import messages
from protocols.calls.messages import CallRefusedError
from protocols.curve import secure
from protocols.errors import MalformedError, PeerError
from protocols.identity import LinkKey

SLICE_S = 0.2
"""How soon a waiting call notices that it should be given up."""


class CallTimeoutError(PeerError):
    """No answer came in time."""


class CallClient:
    """Calls one server; used by one thread.

    Args:
        address: Where the server listens, as `tcp://10.1.2.3:7501`.
        server_key: Its CURVE public key (Z85); nobody else is talked to.
        key: Ours.
        timeout_s: How long to wait for an answer, where a call does not say.
        give_up: Asked while waiting; true ends the wait as if no answer had come in time.
        context: ZeroMQ context; the process's own by default.
    """

    def __init__(
        self,
        address: str,
        server_key: bytes,
        key: LinkKey,
        *,
        timeout_s: float = 10.0,
        give_up: Callable[[], bool] = lambda: False,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.address = address
        self._server_key = server_key
        self._key = key
        self._timeout_s = timeout_s
        self._give_up = give_up
        self._context = context or zmq.Context.instance()
        self._socket: zmq.Socket[bytes] | None = None
        self._number = 0

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        """Ask and wait.

        Args:
            verb: What to do.
            argument: What msgpack can hold; lists come back as tuples.
            timeout_s: How long to wait.

        Returns:
            The result.

        Raises:
            CallRefusedError: The server will not.
            CallTimeoutError: No answer came, or the wait was given up.
            MalformedError, LimitError: What was asked is too large, or what came is no answer.
        """
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + wait_s
        self._number += 1
        frames = messages.call(self._number, verb, argument)
        socket = self._socket or self._connect()
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
            while True:
                number, result = messages.parse_answer(self._receive(socket, end, verb, wait_s))
                if number == self._number:
                    break
        except (PeerError, zmq.Again) as error:
            self.close()
            if isinstance(error, zmq.Again):
                raise CallTimeoutError(f"{self.address} takes nothing now; try again later") from error
            raise
        if isinstance(result, CallRefusedError):
            raise result
        return result

    def close(self) -> None:
        """Close the socket; the next call opens a new one."""
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    def __enter__(self) -> CallClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        secure(socket, self._key)
        socket.curve_serverkey = self._server_key
        socket.linger = 0
        try:
            socket.connect(self.address)
        except zmq.ZMQError as error:
            socket.close(0)
            raise MalformedError(
                f"expected an address as tcp://HOST:PORT, got {self.address!r:.80}"
            ) from error
        self._socket = socket
        return socket

    def _receive(self, socket: zmq.Socket[bytes], end: float, verb: str, wait_s: float) -> list[bytes]:
        while True:
            left = end - time.monotonic()
            if left <= 0 or self._give_up():
                raise CallTimeoutError(f"{self.address} did not answer {verb!r} within {wait_s:g} s")
            if socket.poll(max(1, int(min(left, SLICE_S) * 1000))):
                return socket.recv_multipart()
