"""What every answer carries, and what no request may be.

Rules:
1. Nothing of ours is framed, sniffed, or told to other sites; the API's answers are not kept by caches.
2. A page's own policy (the portal's) stays; an answer without one allows nothing.
3. A body above the bound is refused before it is read to its end.
4. A fault of ours is answered like any other error, and told to the log alone.

Source: OWASP Secure Headers Project, "Response Headers".
"""

from __future__ import annotations

import json
import logging
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headquarters.api.problems import MEDIA_TYPE, problem

_trouble = logging.getLogger("catchment.api")

BODY_BYTES_MAX = 2 << 20
"""A plan of a roll-out, or a long query; data never comes this way."""

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
UNLESS_GIVEN = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
OVER_TLS = (b"strict-transport-security", b"max-age=31536000")


class Headers:
    """Adds them to every answer, and bounds bodies.

    Args:
        app: What answers.
        is_tls: Whether people reach it by HTTPS.
    """

    def __init__(self, app: ASGIApp, is_tls: bool) -> None:
        self._app = app
        self._always = (*ALWAYS, OVER_TLS) if is_tls else ALWAYS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        length = dict(scope["headers"]).get(b"content-length", b"0")
        bounded = _Bounded(receive)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = self._with(message.get("headers", []), state)
            await send(message)

        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            await _refuse(scope, sending)
            return
        try:
            await self._app(scope, bounded, sending)
        except _TooLargeError:
            if started:
                raise
            await _refuse(scope, sending)
        except Exception:
            _trouble.exception("%s %s", scope["method"], scope["path"])
            if started:
                raise
            detail = "the request failed; the log of headquarters says why"
            await _answer(scope, sending, 500, "failed", detail)

    def _with(self, given: Any, state: dict[str, Any]) -> list[tuple[bytes, bytes]]:
        headers = [(name.lower(), value) for name, value in given]
        names = {name for name, _ in headers}
        headers += [(name, value) for name, value in self._always if name not in names]
        headers += [(name, value) for name, value in UNLESS_GIVEN if name not in names]
        if (taken := state.get("taken")) is not None:
            headers += taken.headers()
        if (cookie := state.get("cookie")) is not None:
            headers.append((b"set-cookie", cookie.encode()))
        return headers


class _TooLargeError(Exception):
    """A body that turned out too large while it came."""


class _Bounded:
    """A body that may not be longer than it should."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = BODY_BYTES_MAX

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise _TooLargeError
        return message


async def _refuse(scope: Scope, send: Send) -> None:
    detail = f"expected a body of at most {BODY_BYTES_MAX:,} bytes and its true length"
    await _answer(scope, send, 413, "too-large", detail)


async def _answer(scope: Scope, send: Send, status: int, kind: str, detail: str) -> None:
    body = json.dumps(problem(status, kind, detail, scope["path"])).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
