"""The application: routes under `/api/v1`, errors, headers, and what OpenAPI says of it all."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from headquarters.api import problems
from headquarters.api.context import Context, note_denied
from headquarters.api.headers import Headers
from headquarters.api.routes import (
    accounts,
    alarms,
    data,
    fleet,
    live,
    me,
    operations,
    queries,
    rollouts,
    tenants,
)

PREFIX = "/api/v1"

DESCRIPTION = """\
Everything that the portal and the command line do with the group's data and fleet.

Sign in with `Authorization: Bearer TOKEN`. Times that end in `_us` are microseconds since 1970, UTC.
Lists come in pages: pass `next` of one as `cursor` of the next. A change may carry an `Idempotency-Key`:
the same key with the same request is done once. Errors are `application/problem+json` (RFC 9457).
"""

_REFUSALS = {
    "401": "Nobody who is known.",
    "403": "Who asks may not do this.",
    "404": "Not there, or not seen.",
    "409": "It was changed, or exists, meanwhile.",
    "422": "Something in the request is wrong; `problems` says what.",
    "429": "Too many requests, or a quota is used up.",
    "503": "Busy, or a store cannot be used now.",
}


def make_app(context: Context, *further: APIRouter) -> FastAPI:
    """The application.

    Args:
        context: What it stands on.
        further: Routes of the portal and others, which OpenAPI does not tell of.
    """
    app = FastAPI(
        title="Catchment",
        version=version("catchment"),
        description=DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.context = context
    problems.install(app, note_denied)
    app.include_router(api_router(), prefix=PREFIX)
    for router in further:
        app.include_router(router)
    app.add_middleware(Headers, is_tls=context.is_tls)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(plain())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def api_router() -> APIRouter:
    """All routes of the API."""
    router = APIRouter()
    for part in (fleet, data, alarms, rollouts, live, queries, me, operations, accounts, tenants):
        router.include_router(part.router)
    return router


def routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """The routes of the API in an application, with their whole paths."""
    return [
        (str(context.path), context.original_route)
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute) and str(context.path).startswith(PREFIX)
    ]


@cache
def examples() -> dict[str, Any]:
    """An answer of each operation, by its name."""
    text = files("headquarters.api").joinpath("examples.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with examples, the ways to sign in, and the errors that every route may end with."""
    parts = schema.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = _PROBLEM
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "__Host-catchment"},
    }
    schema["security"] = [{"token": []}, {"session": []}]
    body = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in schema["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            for status, text in _REFUSALS.items():
                answers[status] = {"description": text, "content": body}
            example = examples().get(operation["operationId"])
            for status in ("200", "201", "202"):
                content = answers.get(status, {}).get("content", {})
                if example is not None and "application/json" in content:
                    content["application/json"]["example"] = example
    return schema


_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:catchment:problem:not-found"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["expected a gateway that is here and that you may see"]},
        "instance": {"type": "string", "examples": ["/api/v1/gateways/unit-9"]},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("place", "value", "expected")},
            },
        },
        "permission": {"type": "string", "examples": ["gateways:revoke"]},
    },
}
