"""The status page's HTTP server: a thread of its own, few connections, everything bounded.

Only loaded where `[status] http` is set. It serves people beside the machine: HTTP/1.0, one
request a connection, at most `CONNECTIONS_MAX` at once.
"""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edge_runtime.config import PageConfig
from edge_runtime.page.guard import Guard
from edge_runtime.page.site import FORM_BYTES_MAX, HEADERS, Handle, Request, Response, Site
from edge_runtime.page.view import Seen
from protocols.daemon import EventLog
from protocols.errors import InputError, Problem
from protocols.probe import Answer

CONNECTIONS_MAX = 8
TIMEOUT_S = 10.0


class PageServer:
    """Serves the page.

    Args:
        config: Where, and the password.
        look: What there is to show now.
        handle: Does things to alarms.
        log: For what goes wrong.
        probe: Answers monitors, by path.

    Raises:
        InputError: The address cannot be listened on.
    """

    def __init__(
        self,
        config: PageConfig,
        look: Callable[[], Seen],
        handle: Handle,
        log: EventLog,
        probe: Callable[[str], Answer | None] = lambda path: None,
    ) -> None:
        self._log = log
        site = Site(Guard(config.password, socket.gethostname()), look, handle, probe)
        try:
            self._server = _Server(config, site, self._failed)
        except OSError as error:
            expected = f"an address that is free on this machine ({error.strerror})"
            place = f"{config.host}:{config.port}"
            raise InputError([Problem("gateway.toml", "[status] http", place, expected)]) from error
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)

    @property
    def address(self) -> str:
        """Where the page is."""
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}/"

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

    def _failed(self, error: BaseException) -> None:
        self._log.error("page-bug", error="".join(traceback.format_exception(error)))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, config: PageConfig, site: Site, failed: Callable[[BaseException], None]) -> None:
        self.site = site
        self.failed = failed
        self._free = threading.Semaphore(CONNECTIONS_MAX)
        self.address_family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        super().__init__((config.host, config.port), _Handler)

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
        import sys

        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.failed(error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "catchment"
    sys_version = ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        self._answer(b"")

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > FORM_BYTES_MAX:
            self._send(Response(413, b"expected a small form\n", "text/plain; charset=utf-8"))
            return
        self._answer(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: who looks at the page is no event of the gateway."""

    def _answer(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.server.site.answer(Request(self.command, self.path, headers, body)))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        named = {name for name, _ in response.headers}
        for name, value in HEADERS.items():
            if name not in named:
                self.send_header(name, value)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.status != 304:
            self.send_header("Content-Type", response.type)
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD" and response.status != 304:
            self.wfile.write(response.body)
