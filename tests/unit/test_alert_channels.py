"""Alerts as mail at a real SMTP server, and as signed posts at a real HTTP server."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from headquarters.operations.alerts.channels import SIGNATURE, ChannelError, Email, Webhook, channels_of
from headquarters.operations.alerts.settings import ALERTS
from headquarters.operations.alerts.store import Delivery, Notification

NOW = 1_790_000_000.0
DEFAULTS = {setting.name: setting.default for setting in ALERTS}


def delivery(name: str, firing: bool = True, summary: str = "") -> Delivery:
    told = Notification(
        f"n-{name}", "gateway-silent", {"gateway": name}, "warning", summary or f"{name} 没有数据",
        1_790_000_000_000_000, None if firing else 1_790_000_060_000_000, True,
    )  # fmt: skip
    return Delivery(f"d-{name}", "email", firing, 0, 1_790_000_000_000_000, told)


class Mailbox:
    """Takes mail, or refuses it."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.refuse = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope)
        return self.refuse or "250 taken"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, dict[str, Any]]]:
    box = Mailbox()

    def signs_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"hq", b"pa55word"))

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port, authenticator=signs_in, auth_require_tls=False)
    server.start()
    yield box, DEFAULTS | {
        "email_to": "anna@plant.example, bo@plant.example", "email_from": "hq@plant.example",
        "smtp_host": "127.0.0.1", "smtp_port": port, "smtp_user": "hq", "smtp_password": "pa55word",
    }  # fmt: skip
    server.stop()


def test_a_mail_tells_of_all_and_goes_to_everybody(mailbox: tuple[Mailbox, dict[str, Any]]) -> None:
    box, settings = mailbox
    Email(settings, "hq").send([delivery("unit-1"), delivery("unit-2", firing=False)], NOW)
    [envelope] = box.mails
    assert envelope.rcpt_tos == ["anna@plant.example", "bo@plant.example"]
    assert isinstance(envelope.content, bytes)
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["Subject"] == "[hq] WARNING: unit-1 没有数据 and 1 more"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.timestamp() == NOW
    body = mail.get_content()
    assert "WARNING: unit-1 没有数据" in body
    assert "RESOLVED: unit-2 没有数据" in body
    assert "rule gateway-silent, gateway=unit-2" in body


def test_a_summary_breaks_no_header(mailbox: tuple[Mailbox, dict[str, Any]]) -> None:
    box, settings = mailbox
    Email(settings, "hq").send([delivery("a", summary="x\r\nBcc: eve@evil.example\r\n\r\nhello")], NOW)
    [envelope] = box.mails
    assert envelope.rcpt_tos == ["anna@plant.example", "bo@plant.example"]
    assert isinstance(envelope.content, bytes)
    assert email.message_from_bytes(envelope.content, policy=email.policy.default)["Bcc"] is None


def test_a_server_that_takes_no_mail_is_named_and_the_password_is_not(
    mailbox: tuple[Mailbox, dict[str, Any]],
) -> None:
    box, settings = mailbox
    box.refuse = "452 no room"
    with pytest.raises(ChannelError, match=r"expected 127.0.0.1:\d+ to take a mail, got: .*no room"):
        Email(settings, "hq").send([delivery("a")], NOW)
    for wrong in ({"smtp_password": "secret7"}, {"smtp_port": 1}, {"smtp_security": "starttls"}):
        with pytest.raises(ChannelError, match=r"see \[alerts\]") as caught:
            Email(settings | wrong, "hq").send([delivery("a")], NOW)
        assert "secret7" not in str(caught.value)
        assert "pa55word" not in str(caught.value)


class Hook(BaseHTTPRequestHandler):
    """Takes posts."""

    posts: list[tuple[str, dict[str, str], bytes]]
    status: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).posts.append((self.path, dict(self.headers), body))
        self.send_response(type(self).status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[type[Hook], str]]:
    class Own(Hook):
        status = 204

    Own.posts = []
    server = HTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Own, f"http://127.0.0.1:{server.server_port}/alerts?team=ops"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_post_is_signed_and_says_all(hook: tuple[type[Hook], str]) -> None:
    handler, url = hook
    Webhook(url, "geheim", "hq").send([delivery("unit-1"), delivery("unit-2", firing=False)], NOW)
    [(path, headers, body)] = handler.posts
    assert path == "/alerts?team=ops"
    fields = dict(part.split("=") for part in headers[SIGNATURE].split(","))
    assert fields["t"] == "1790000000"
    expected = hmac.new(b"geheim", b"1790000000." + body, hashlib.sha256).hexdigest()
    assert fields["v1"] == expected
    document = json.loads(body)
    assert document["headquarters"] == "hq"
    assert [(each["id"], each["state"], each["ended"]) for each in document["alerts"]] == [
        ("d-unit-1", "firing", None),
        ("d-unit-2", "ended", "2026-09-21T14:14:20.000Z"),
    ]
    Webhook(url, "", "hq").send([delivery("unit-1")], NOW)
    assert SIGNATURE not in handler.posts[1][1]


@pytest.mark.parametrize("status", [301, 404, 500])
def test_what_is_no_success_is_a_failure_and_no_redirect_is_followed(
    hook: tuple[type[Hook], str], status: int
) -> None:
    handler, url = hook
    handler.status = status
    with pytest.raises(ChannelError, match=f"expected 127.0.0.1 to answer 2xx, got {status}"):
        Webhook(url, "geheim", "hq").send([delivery("unit-1")], NOW)
    assert len(handler.posts) == 1


def test_a_receiver_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(ChannelError, match=r"expected 127\.0\.0\.1 to take a post"):
        Webhook("http://127.0.0.1:1/", "", "hq").send([delivery("unit-1")], NOW)


def test_channels_are_those_that_are_set() -> None:
    assert channels_of(DEFAULTS, "hq") == []
    both = DEFAULTS | {"email_to": "a@b.example", "webhook_url": "https://h.example/x"}
    assert [channel.name for channel in channels_of(both, "hq")] == ["email", "webhook"]
