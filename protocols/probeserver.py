"""The small HTTP server that monitors of hubs and headquarters ask, in a thread of its own.

It answers GET and HEAD. It is for the network of those who look after the node: there is no sign-in, and
what it tells are numbers and names of nodes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from protocols.addresses import is_bind
from protocols.daemon import EventLog
from protocols.errors import InputError, Problem
from protocols.field.settings import Form, Kind, Setting
from protocols.probe import Answer, Probe
from protocols.smallserver import SmallHandler, SmallServer

METRICS = (
    Setting(
        "bind",
        Kind.TEXT,
        "Where monitors ask for /metrics, /healthz and /readyz, such as 127.0.0.1:9464; left out: closed.",
        form=Form(lambda text: is_bind(f"tcp://{text}"), "a host and a port such as '127.0.0.1:9464'"),
    ),
)
"""`[metrics]` of a hub and of headquarters."""


class ProbeServer(SmallServer):
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
        host = host.strip("[]").replace("*", "0.0.0.0")  # noqa: S104 - as the settings say
        self._log = log
        try:
            super().__init__(host, int(port), _Handler, probe, "metrics", self._failed)
        except OSError as error:
            expected = f"an address that is free on this machine ({error.strerror})"
            raise InputError([Problem(place, "[metrics] bind", bind, expected)]) from error

    def start(self) -> None:
        """Answer from now on."""
        super().start()
        self._log.info("metrics-open", address=self.address)

    def _failed(self, trace: str) -> None:
        self._log.error("metrics-bug", error=trace)


class _Handler(SmallHandler):
    def reply(self, body: bytes) -> None:
        """Answer a monitor."""
        probe: Probe = self.server.context
        found = probe.answer(urlsplit(self.path).path)
        answer = found or Answer(404, b"expected /metrics, /healthz or /readyz\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
