"""The small HTTP server that monitors of hubs and headquarters ask, in a thread of its own.

It answers GET and HEAD, one request a connection, at most `CONNECTIONS_MAX` at once. It is for the network
of those who look after the node: there is no sign-in, and what it tells are numbers and names of nodes.
"""

from __future__ import annotations

import socket
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from protocols.addresses import is_bind
from protocols.daemon import EventLog
from protocols.errors import InputError, Problem
from protocols.field.settings import Form, Kind, Setting
from protocols.probe import Answer, Probe

CONNECTIONS_MAX = 8
TIMEOUT_S = 10.0

METRICS = (
    Setting(
        "bind",
        Kind.TEXT,
        "Where monitors ask for /metrics, /healthz and /readyz, such as 127.0.0.1:9464; left out: closed.",
        form=Form(lambda text: is_bind(f"tcp://{text}"), "a host and a port such as '127.0.0.1:9464'"),
    ),
)
"""`[metrics]` of a hub and of headquarters."""


class ProbeServer:
    """Answers from `start` to `close`.

    Args:
        bind: Host and port; port 0 for any that is free.
        probe: Knows the answers.
        place: The file that says so, for errors.
        log: For faults of ours.

    Raises:
        InputError: The address cannot be listened on.
    """

    def __init__(self, bind: str, probe: Probe, place: str, log: EventLog) -> None:
        host, _, port = bind.rpartition(":")
        self._log = log
        try:
            self._server = _Server(host.strip("[]").replace("*", "0.0.0.0"), int(port), probe, self._failed)  # noqa: S104
        except OSError as error:
            expected = f"an address that is free on this machine ({error.strerror})"
            raise InputError([Problem(place, "[metrics] bind", bind, expected)]) from error
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)

    @property
    def address(self) -> str:
        """Where it answers, as a URL without a path."""
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()
        self._log.info("metrics-open", address=self.address)

    def close(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.2)

    def _failed(self, error: BaseException) -> None:
        self._log.error("metrics-bug", error="".join(traceback.format_exception(error)))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, host: str, port: int, probe: Probe, failed: Callable[[BaseException], None]) -> None:
        self.probe = probe
        self._failed = failed
        self._free = threading.Semaphore(CONNECTIONS_MAX)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

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
            self._failed(error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "catchment"
    sys_version = ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: that a monitor asks is no event."""

    def _answer(self) -> None:
        found = self.server.probe.answer(urlsplit(self.path).path)
        answer = found or Answer(404, b"expected /metrics, /healthz or /readyz\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
