"""What every answer carries, and what no request may be.

Rules:
1. Nothing of ours is framed, sniffed, or told to other sites; the API's answers are not kept by caches.
2. A page's own policy (the portal's) stays; an answer without one allows nothing.
3. A body above the bound is refused before it is read to its end, and one that is not here in time.
4. A request whose `Host` is none is refused: addresses and the audit are made of it. It may be left out.
5. A fault of ours is answered like any other error, and told to the log alone.

Source: OWASP Secure Headers Project, "Response Headers".
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headquarters.api.pages import is_host
from headquarters.api.problems import MEDIA_TYPE, problem

_trouble = logging.getLogger("catchment.api")

BODY_BYTES_MAX = 2 << 20
"""A plan of a roll-out, or a long query; data never comes this way."""

LENGTH_CHARS_MAX = 12

BODY_S = 60.0
"""2 MiB in it are 35 kB/s; whoever needs longer holds a place that others wait for."""

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
        given = dict(scope["headers"])
        length = given.get(b"content-length", b"0")
        bounded = _Bounded(receive)
        started = refused = False

        async def whole(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = self._with(message.get("headers", []), state)
            await send(message)

        async def sending(message: Message) -> None:
            nonlocal refused
            if not started and bounded.fault is not None:
                refused = True
                await _refuse(scope, whole, bounded.fault)
            if not refused:
                await whole(message)

        if (host := given.get(b"host")) is not None and not is_host(host):
            await _answer(scope, whole, 400, "host", "expected a Host header with a name or an address")
            return
        if not length.isdigit() or len(length) > LENGTH_CHARS_MAX or int(length) > BODY_BYTES_MAX:
            await _refuse(scope, whole)
            return
        try:
            await self._app(scope, bounded, sending)
        except Exception:
            if refused:
                return
            if bounded.fault is not None and not started:
                await _refuse(scope, whole, bounded.fault)
                return
            _trouble.exception("%s %s", scope["method"], scope["path"])
            if started:
                raise
            detail = "the request failed; the log of headquarters says why"
            await _answer(scope, whole, 500, "failed", detail)

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


class _BodyError(Exception):
    """A body that turned out too large, or too slow, while it came."""


class _Bounded:
    """A body that may not be longer than it should."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = BODY_BYTES_MAX
        self._is_whole = False
        self._end: float | None = None
        self.fault: int | None = None
        """The status of what is wrong with it."""

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()  # that it is gone
        if self._end is None:
            self._end = asyncio.get_running_loop().time() + BODY_S
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError as error:
            self.fault = 408
            raise _BodyError from error
        if message["type"] == "http.request":
            self._is_whole = not message.get("more_body", False)
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.fault = 413
                raise _BodyError
        return message


async def _refuse(scope: Scope, send: Send, status: int = 413) -> None:
    if status == 408:
        detail = f"expected the whole body within {BODY_S:.0f} s"
        await _answer(scope, send, 408, "too-slow", detail)
        return
    detail = f"expected a body of at most {BODY_BYTES_MAX:,} bytes and its true length"
    await _answer(scope, send, 413, "too-large", detail)


async def _answer(scope: Scope, send: Send, status: int, kind: str, detail: str) -> None:
    body = json.dumps(problem(status, kind, detail, scope["path"])).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
