"""Errors as problem documents.

Source: RFC 9457, "Problem Details for HTTP APIs".

>>> problem(404, "not-found", "expected a gateway", "/api/v1/gateways/x")["type"]
'urn:catchment:problem:not-found'
"""

from __future__ import annotations

import http
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from headquarters.errors import ConflictError, DeniedError, QuotaError, SignInError
from headquarters.views.lakepool import BusyError
from headquarters.views.seeing import UnseenError
from protocols.errors import CatchmentError, InputError, PeerError, StoreError

MEDIA_TYPE = "application/problem+json"

SHOWN_CHARS = 200
"""Of a wrong value; what was sent is known to who sent it."""

_trouble = logging.getLogger("catchment.api")


class RateError(CatchmentError):
    """Too many requests.

    Args:
        wait_s: When the next one is answered.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"expected fewer requests; wait {max(1, round(wait_s))} s")
        self.wait_s = wait_s


class RefusedError(CatchmentError):
    """A request that is refused for how it was made: without its CSRF token, or from another site."""


_KNOWN: tuple[tuple[type[CatchmentError], int, str], ...] = (
    (SignInError, 401, "not-signed-in"),
    (DeniedError, 403, "denied"),
    (RefusedError, 403, "refused"),
    (UnseenError, 404, "not-found"),
    (ConflictError, 409, "conflict"),
    (InputError, 422, "wrong-input"),
    (PeerError, 422, "wrong-input"),
    (QuotaError, 429, "quota"),
    (RateError, 429, "too-many-requests"),
    (BusyError, 503, "busy"),
)


def is_for_people(error: CatchmentError) -> bool:
    """Whether an error's text is about what was asked for, and names nothing of this machine."""
    return any(isinstance(error, kind) for kind, _, _ in _KNOWN)


def problem(status: int, kind: str, detail: str, instance: str, **more: Any) -> dict[str, Any]:
    """A problem document.

    Args:
        status: Of HTTP.
        kind: The problem's short name.
        detail: What is wrong and what to do.
        instance: The path that was asked.
        more: What a program may want to know besides.
    """
    return {
        "type": f"urn:catchment:problem:{kind}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        **more,
    }


class ProblemResponse(JSONResponse):
    """A problem document; what was sent and is no text is shown as `?`."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """The document as UTF-8."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def answer(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem document as an answer."""
    document = problem(status, kind, detail, request.url.path, **more)
    return ProblemResponse(document, status, dict(headers or {}))


def of_error(request: Request, error: CatchmentError) -> JSONResponse:
    """The answer to a request that ended with one of our errors."""
    known = next((each for each in _KNOWN if isinstance(error, each[0])), None)
    if known is None:
        # Its text may name files of this machine: that is for its log.
        _trouble.error("%s %s: %s", request.method, request.url.path, error)
        if isinstance(error, StoreError):
            detail = "a store of headquarters cannot be used now; its log says why"
            return answer(request, 503, "store", detail, {"Retry-After": "5"})
        return answer(request, 500, "failed", "the request failed; the log of headquarters says why")
    _, status, name = known
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, InputError):
        more["problems"] = [
            {"place": each.place, "value": each.value[:SHOWN_CHARS], "expected": each.expected}
            for each in error.problems
        ]
    if isinstance(error, DeniedError):
        more["permission"] = error.permission
    if isinstance(error, SignInError):
        headers["WWW-Authenticate"] = 'Bearer realm="catchment"'
    if isinstance(error, RateError):
        headers["Retry-After"] = str(max(1, round(error.wait_s)))
    if isinstance(error, BusyError):
        headers["Retry-After"] = "2"
    return answer(request, status, name, str(error), headers, **more)


def install(app: FastAPI, denied: Callable[[Request, DeniedError], None]) -> None:
    """Have an application answer with problem documents, whatever goes wrong.

    Args:
        app: The application.
        denied: Told of every denial.
    """

    @app.exception_handler(CatchmentError)
    def ours(request: Request, error: CatchmentError) -> JSONResponse:
        if isinstance(error, DeniedError):
            denied(request, error)
        return of_error(request, error)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [
            {
                "place": ".".join(str(part) for part in each["loc"]),
                "value": str(each.get("input", ""))[:SHOWN_CHARS],
                "expected": each["msg"],
            }
            for each in error.errors()
        ]
        detail = "; ".join(f"{each['place']}: {each['expected']}" for each in problems[:5])
        return answer(request, 422, "wrong-input", detail, problems=problems)

    @app.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> JSONResponse:
        names = {404: "not-found", 405: "method", 413: "too-large"}
        return answer(
            request, error.status_code, names.get(error.status_code, "refused"), error.detail, error.headers
        )
