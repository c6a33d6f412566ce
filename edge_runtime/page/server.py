"""The status page's HTTP server, for people beside the machine; loaded where `[status] http` is set."""

from __future__ import annotations

import socket
from collections.abc import Callable

from edge_runtime.config import PageConfig
from edge_runtime.page.guard import Guard
from edge_runtime.page.site import FORM_BYTES_MAX, HEADERS, Handle, Request, Response, Site
from edge_runtime.page.view import Seen
from protocols.daemon import EventLog
from protocols.errors import InputError, Problem
from protocols.probe import Answer
from protocols.smallserver import SmallHandler, SmallServer


class PageServer(SmallServer):
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
            super().__init__(config.host, config.port, _Handler, site, "page", self._failed)
        except OSError as error:
            expected = f"an address that is free on this machine ({error.strerror})"
            place = f"{config.host}:{config.port}"
            raise InputError([Problem("gateway.toml", "[status] http", place, expected)]) from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"{super().address}/"

    def _failed(self, trace: str) -> None:
        self._log.error("page-bug", error=trace)


class _Handler(SmallHandler):
    def do_POST(self) -> None:  # noqa: N802 - the name that http.server looks for
        """Answer a form."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > FORM_BYTES_MAX:
            self._send(Response(413, b"expected a small form\n", "text/plain; charset=utf-8"))
            return
        self.reply(self.rfile.read(int(length)))

    def reply(self, body: bytes) -> None:
        """Answer as the site does."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        site: Site = self.server.context
        self._send(site.answer(Request(self.command, self.path, headers, body)))

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
