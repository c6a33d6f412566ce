"""The same change asked for twice is done once: `Idempotency-Key`.

Rules:
1. A key belongs to who asks, for a day. Its first request is done; the same request again gets the
   same answer; another request under it is refused, and so is one while the first is under way.
2. An answer with a secret in it is not kept: the same request again is told that it was done.
3. What ended with an error of ours, or was refused, was not done: its key is free again.
4. Keys count for changes only, and never before who asks is known. An answer is given again to who
   may still ask for it, and counts as a request.

Source: draft-ietf-httpapi-idempotency-key-header-06.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from headquarters.api.context import SAFE, Context, Needs, authenticate, context_of
from headquarters.api.forms import SecretResponse
from headquarters.api.store import Kept, Keys
from headquarters.db.engine import writing
from headquarters.errors import ConflictError
from protocols.errors import InputError, Problem

SECRET = "secret"  # noqa: S105 - in the place of a media type: the answer was not kept
HEADER = "Idempotency-Key"
KEY_CHARS_MAX = 255
BODY_BYTES_MAX = 4 << 20
"""An answer that is longer is not kept, and its key free again."""


class IdempotentRoute(APIRoute):
    """A route whose changes may carry a key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the keys around it."""
        inner = super().get_route_handler()
        needs = [each.call for each in self.dependant.dependencies if isinstance(each.call, Needs)]

        async def handle(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if key is None or request.method in SAFE:
                return await inner(request)
            body = await request.body()
            return await _once(request, key, body, needs, inner)

        return handle


async def _once(
    request: Request,
    key: str,
    body: bytes,
    needs: Sequence[Needs],
    inner: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    if not 1 <= len(key) <= KEY_CHARS_MAX or not key.isprintable():
        expected = f"1 to {KEY_CHARS_MAX} printable characters, drawn at random"
        raise InputError([Problem("request", HEADER, key[:60], expected)])
    context = context_of(request)
    principal, _ = await run_in_threadpool(authenticate, context, request)
    digest = _digest(request, body)
    kept = await run_in_threadpool(_begin, context, principal.id, key, digest)
    if kept is not None:
        for each in needs:
            await run_in_threadpool(each, request)
        return _again(kept, digest, key)
    answer: Response | None = None
    try:
        answer = await inner(request)
    finally:
        done = answer is not None and answer.status_code < 400 and hasattr(answer, "body")
        await run_in_threadpool(_end, context, principal.id, key, answer if done else None)
    return answer


def _digest(request: Request, body: bytes) -> bytes:
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(head + body).digest()


def _begin(context: Context, principal: str, key: str, digest: bytes) -> Kept | None:
    with writing(context.metadata) as session:
        return Keys(session).begin(principal, key, digest, context.sources.now_us())


def _end(context: Context, principal: str, key: str, answer: Response | None) -> None:
    with writing(context.metadata) as session:
        keys = Keys(session)
        if isinstance(answer, SecretResponse):
            keys.end(principal, key, answer.status_code, SECRET, b"")
        elif answer is None or len(answer.body) > BODY_BYTES_MAX:
            keys.forget(principal, key)
        else:
            media_type = answer.headers.get("content-type", "")
            keys.end(principal, key, answer.status_code, media_type, bytes(answer.body))


def _again(kept: Kept, digest: bytes, key: str) -> Response:
    if kept.request != digest:
        expected = "a key of its own for each request: this one was used for another"
        raise InputError([Problem("request", HEADER, key[:60], expected)])
    if kept.status is None:
        raise ConflictError("expected the first request under this key to be over; wait for its answer")
    if kept.media_type == SECRET:
        raise ConflictError("expected a new request: this one was done, and its answer held a secret")
    headers = {"Idempotent-Replayed": "true"}
    return Response(kept.body or None, kept.status, headers, kept.media_type or None)
