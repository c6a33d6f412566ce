"""What is pushed to a page: values of the series that it shows, and word that something changed.

One stream a page. What changed is told as a name (`alarms`, `fleet`), and the page asks anew for the
part of it that shows that; so a page costs nothing while nothing happens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from headquarters.api.routes.live import STREAMS_EACH_MAX, Streams
from headquarters.db.engine import reading
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute
from headquarters.tenancy import access
from headquarters.tenancy.scope import Scope, scope_of
from headquarters.views.lakepool import BusyError
from headquarters.views.latest import SERIES_MAX, changed
from headquarters.views.sources import Sources
from protocols.errors import CatchmentError, InputError, Problem

STEP_S = 1.0
"""Values are told so often: headquarters itself has a new one each second and point."""

LIFE_S = 3600.0
"""A stream ends after an hour, and the browser opens another."""

CHECK_S = 10.0
"""So often it is looked at whether the session goes on: one that ended ends its streams."""

_streams = Streams()

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/live")
async def follow(
    request: Request,
    visitor: Annotated[Visitor, needs("overview:read")],
    series: Annotated[str, Query(max_length=20 * SERIES_MAX)] = "",
) -> Response:
    """A stream of server-sent events (HTML, 9.2)."""
    wanted = numbers(series)
    if wanted and not visitor.may("samples:read"):
        wanted = []
    if not _streams.begin(visitor.principal.id):
        raise BusyError(f"expected at most {STREAMS_EACH_MAX} pages with live values at once; close one")
    stream = _stream(request, visitor.sources, visitor, wanted)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def numbers(text: str) -> list[int]:
    """Numbers of series, between commas.

    >>> numbers("3,1"), numbers("")
    ([3, 1], [])

    Raises:
        InputError: One is no number, or there are too many.
    """
    parts = [part for part in text.split(",") if part]
    if len(parts) > SERIES_MAX or not all(
        part.isascii() and part.isdigit() and len(part) < 19 for part in parts
    ):
        expected = f"at most {SERIES_MAX} numbers of series, with commas between"
        raise InputError([Problem("query", "series", text[:60], expected)])
    return [int(part) for part in parts]


async def _stream(
    request: Request, sources: Sources, visitor: Visitor, series: list[int]
) -> AsyncIterator[bytes]:
    version, before, clock = 0, _marks(sources), asyncio.get_running_loop().time
    end, checked = clock() + LIFE_S, clock()
    stopping, scope = visitor.context.stopping, visitor.scope
    try:
        yield b"retry: 3000\n\n"
        while not (stopping() or await request.is_disconnected()) and clock() < end:
            if clock() - checked >= CHECK_S:
                checked = clock()
                now = await run_in_threadpool(_still_sees, visitor, bool(series))
                if now is None:
                    break
                scope = now
            if series:
                told = await run_in_threadpool(changed, sources, scope, series, version)
                version = told.version
                values = [asdict(value) for value in told.values]
                yield _event("values", {"live": told.is_live, "values": values})
            marks = await run_in_threadpool(_marks, sources)
            names = [name for name, mark in marks.items() if mark != before[name]]
            before = marks
            if names:
                yield _event("changed", names)
            elif not series:
                yield b": still here\n\n"
            await asyncio.sleep(STEP_S)
    finally:
        _streams.end(visitor.principal.id)


def _still_sees(visitor: Visitor, with_values: bool) -> Scope | None:
    """Whose data is seen by now; `None` when the session, or the right to be told, is gone."""
    try:
        principal = visitor.context.sessions.principal(visitor.resumed.session.id)
        if principal is None or not access.may(principal, "samples:read" if with_values else "overview:read"):
            return None
        with reading(visitor.context.metadata) as database:
            return scope_of(database, principal)
    except CatchmentError:
        return None


def _marks(sources: Sources) -> dict[str, Any]:
    status = sources.status()
    return {
        "alarms": sources.alarms().version,
        "fleet": None if status is None else status["time"],
        "enrolment": None if sources.registry is None else sources.registry.revision,
    }


def _event(name: str, told: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
