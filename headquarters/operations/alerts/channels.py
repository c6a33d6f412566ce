"""The ways alerts reach people: e-mail and a webhook.

Rules:
1. A channel sends several deliveries as one message, so that a site that goes dark is one mail.
2. It raises `ChannelError` when the other side did not take it; whoever calls tries again.
3. A webhook's body is signed: `X-Catchment-Signature: t=SECONDS,v1=HEX`, HMAC-SHA256 under the shared secret
   of `SECONDS.BODY`. The receiver refuses what is older than some minutes, and what it has had: `id` of each
   alert is the same at every try.
4. Redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any, Protocol
from urllib.parse import urlsplit

from headquarters.operations.alerts.store import Delivery
from protocols.daemon import iso_time
from protocols.errors import PeerError

TIMEOUT_S = 10.0
SIGNATURE = "X-Catchment-Signature"


class ChannelError(PeerError):
    """The other side of a channel did not take a message."""


class Channel(Protocol):
    """A way to people."""

    name: str

    def send(self, deliveries: Sequence[Delivery], now: float) -> None:
        """Send them as one message.

        Raises:
            ChannelError: It was not taken.
        """


def channels_of(settings: Mapping[str, Any], id: str) -> list[Channel]:
    """The channels that `[alerts]` sets.

    Args:
        settings: Checked, by name.
        id: Name of headquarters.
    """
    found: list[Channel] = []
    if settings["email_to"]:
        found.append(Email(settings, id))
    if settings["webhook_url"]:
        found.append(Webhook(settings["webhook_url"], settings["webhook_secret"] or "", id))
    return found


class Email:
    """Mail to a list of people.

    Args:
        settings: Of `[alerts]`.
        id: Name of headquarters, in the subject.
    """

    name = "email"

    def __init__(self, settings: Mapping[str, Any], id: str) -> None:
        self._settings = settings
        self._id = id

    def send(self, deliveries: Sequence[Delivery], now: float) -> None:
        """Send one mail.

        Raises:
            ChannelError: The server did not take it.
        """
        settings = self._settings
        try:
            with self._connected() as server:
                if settings["smtp_user"]:
                    server.login(settings["smtp_user"], settings["smtp_password"] or "")
                server.send_message(self.message(deliveries, now))
        except (OSError, smtplib.SMTPException) as error:
            where = f"{settings['smtp_host']}:{settings['smtp_port']}"
            raise ChannelError(
                f"expected {where} to take a mail, got: {_short(error)}; see [alerts]"
            ) from error

    def message(self, deliveries: Sequence[Delivery], now: float) -> EmailMessage:
        """The mail."""
        message = EmailMessage()
        first = deliveries[0]
        more = f" and {len(deliveries) - 1} more" if len(deliveries) > 1 else ""
        message["Subject"] = _line(f"[{self._id}] {_word(first)}: {first.notification.summary}")[:150] + more
        message["From"] = self._settings["email_from"]
        message["To"] = self._settings["email_to"]
        message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        message["Message-ID"] = make_msgid(first.id, "catchment")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n".join(map(_paragraph, deliveries)))
        return message

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        host, port = settings["smtp_host"], settings["smtp_port"]
        if settings["smtp_security"] == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
        if settings["smtp_security"] == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server


class Webhook:
    """A POST of signed JSON.

    Args:
        url: Where to.
        secret: Shared with the receiver; empty: not signed.
        id: Name of headquarters.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str, id: str) -> None:
        self._url = urlsplit(url)
        self._secret = secret.encode()
        self._id = id

    def send(self, deliveries: Sequence[Delivery], now: float) -> None:
        """Post them.

        Raises:
            ChannelError: The answer was not one of success.
        """
        body = json.dumps(
            {"headquarters": self._id, "alerts": [as_json(each) for each in deliveries]}, ensure_ascii=False
        ).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "catchment"}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, body, int(now))
        url = self._url
        assert url.hostname is not None
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname, url.port, timeout=TIMEOUT_S)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            answer.read(1 << 16)
        except (OSError, http.client.HTTPException) as error:
            raise ChannelError(f"expected {url.hostname} to take a post, got: {_short(error)}") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise ChannelError(f"expected {url.hostname} to answer 2xx, got {answer.status} {answer.reason}")


def signature(secret: bytes, body: bytes, at: int) -> str:
    """The signature of a body.

    >>> signature(b"secret", b"{}", 1)[:12]
    't=1,v1=11227'
    """
    return f"t={at},v1={hmac.new(secret, f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def as_json(delivery: Delivery) -> dict[str, Any]:
    """A delivery as a receiver gets it."""
    told = delivery.notification
    return {
        "id": delivery.id,
        "state": "firing" if delivery.firing else "ended",
        "notification": told.id,
        "rule": told.rule,
        "severity": told.severity,
        "labels": told.labels,
        "summary": told.summary,
        "fired": iso_time(told.fired_us / 1e6),
        "ended": None if delivery.firing or told.resolved_us is None else iso_time(told.resolved_us / 1e6),
    }


def _word(delivery: Delivery) -> str:
    return delivery.notification.severity.upper() if delivery.firing else "RESOLVED"


def _paragraph(delivery: Delivery) -> str:
    told = delivery.notification
    labels = ", ".join(f"{name}={value}" for name, value in told.labels.items())
    lines = [
        f"{_word(delivery)}: {told.summary}",
        f"  rule {told.rule}{', ' + labels if labels else ''}",
        f"  since {iso_time(told.fired_us / 1e6)}",
    ]
    if not delivery.firing and told.resolved_us is not None:
        lines.append(f"  until {iso_time(told.resolved_us / 1e6)}")
    return "\n".join(map(_line, lines)) + "\n"


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _short(error: Exception) -> str:
    return _line(f"{type(error).__name__}: {error}")[:300]
