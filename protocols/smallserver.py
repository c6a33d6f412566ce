"""A small HTTP server for few people or programs beside a node: a thread of its own, everything bounded.

HTTP/1.0, one request a connection, at most `CONNECTIONS_MAX` at once. The gateway's status page and what
monitors ask of hub and headquarters stand on it; each has a handler of its own.
"""

from __future__ import annotations

import socket
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONNECTIONS_MAX = 8
TIMEOUT_S = 10.0


class SmallServer:
    """Answers from `start` to `close`.

    Args:
        host: Address to listen on.
        port: Port; 0 for any that is free.
        handler: Answers a request, with `self.server.context` at hand.
        context: What it answers from.
        name: Of the thread.
        failed: Told the trace of a fault of ours.

    Raises:
        OSError: The address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        handler: type[SmallHandler],
        context: object,
        name: str,
        failed: Callable[[str], object],
    ) -> None:
        self._server = _Server(host, port, handler, context, failed)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @property
    def address(self) -> str:
        """Where it answers, as a URL without a path."""
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.2)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(
        self,
        host: str,
        port: int,
        handler: type[SmallHandler],
        context: object,
        failed: Callable[[str], object],
    ) -> None:
        self.context: Any = context
        self._failed = failed
        self._free = threading.Semaphore(CONNECTIONS_MAX)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind without looking this machine's name up, which may take seconds where no DNS answers."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse one connection more than are served at once."""
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, then make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a fault of ours; a client that went away is none."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self._failed("".join(traceback.format_exception(error)))


class SmallHandler(BaseHTTPRequestHandler):
    """What handlers share: they name no Python, wait for nobody for ever, and log no request."""

    server: _Server
    server_version = "catchment"
    sys_version = ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """Answer."""
        self.reply(b"")

    def do_HEAD(self) -> None:
        """Answer with headers alone; `reply` leaves the body out."""
        self.reply(b"")

    def reply(self, body: bytes) -> None:
        """Answer a request with this body."""
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: that somebody looks is no event of the node."""
