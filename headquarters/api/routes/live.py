"""What happens now, pushed: server-sent events for values and alarms.

Rules:
1. A stream begins with all that was asked for, and goes on with what changes, at most once a second.
2. It ends by itself when who asks may no longer, or is signed out, and tells nothing of what is seen no
   more: that is looked at every half minute.
3. A line comes every 15 seconds at least, so that whoever is in between keeps the connection.

Source: WHATWG HTML, 9.2 "Server-sent events".
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from headquarters.api.context import Asker, authenticate, needs
from headquarters.api.idempotency import IdempotentRoute
from headquarters.db.engine import reading
from headquarters.tenancy import access
from headquarters.tenancy.scope import Scope, scope_of
from headquarters.views.alarms import AlarmCounts, StandingAlarm, counts, standing_alarms
from headquarters.views.lakepool import BusyError
from headquarters.views.latest import SERIES_MAX, Latest, changed
from protocols.errors import CatchmentError

router = APIRouter(tags=["live"], route_class=IdempotentRoute)

EVENT_STREAM = "text/event-stream"

PACE_S = 1.0
HEARTBEAT_S = 15.0
CHECK_S = 30.0

STREAMS_MAX = 500
STREAMS_EACH_MAX = 20
"""Of one principal: every tab of a browser has one."""

ALARMS_SHOWN = 200
"""Of the most urgent; a flood beyond is counted."""

_values = TypeAdapter(Latest)
_alarms = TypeAdapter(tuple[StandingAlarm, ...])
_counts = TypeAdapter(AlarmCounts)


class Streams:
    """How many streams there are; safe between threads.

    >>> streams = Streams(2, 1)
    >>> streams.begin("anna"), streams.begin("anna"), streams.begin("li"), streams.begin("wu")
    (True, False, True, False)
    """

    def __init__(self, most: int = STREAMS_MAX, each: int = STREAMS_EACH_MAX) -> None:
        self._most = most
        self._each = each
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def begin(self, who: str) -> bool:
        """One more for somebody; whether there may be one."""
        with self._lock:
            if self._open.total() >= self._most or self._open[who] >= self._each:
                return False
            self._open[who] += 1
            return True

    def end(self, who: str) -> None:
        """One less."""
        with self._lock:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]


_streams = Streams()


@router.get(
    "/live",
    response_class=StreamingResponse,
    responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}},
)
def live(
    request: Request,
    asker: Annotated[Asker, needs("samples:read")],
    series: Annotated[
        list[Annotated[int, Query(ge=0, le=2**53)]],
        Query(max_length=SERIES_MAX, description="Numbers of series; repeat the parameter."),
    ] = [],  # noqa: B006 - FastAPI's way to say that none need be given; nobody changes it
    alarms: Annotated[bool, Query(description="Whether alarms are told as well.")] = False,
) -> StreamingResponse:
    """Live values (`event: values`) and alarms (`event: alarms`), as they change."""
    if alarms:
        asker.demand("alarms:read", "GET /api/v1/live")
    if not _streams.begin(asker.principal.id):
        raise BusyError(f"expected at most {STREAMS_EACH_MAX} live streams at once; close one")
    events = _follow(request, asker, series, alarms)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type=EVENT_STREAM, headers=headers)


def message(event: str, data: str) -> str:
    """One event as it travels.

    >>> message("values", "{}")
    'event: values\\ndata: {}\\n\\n'
    """
    return f"event: {event}\ndata: {data}\n\n"


async def _follow(request: Request, asker: Asker, series: list[int], with_alarms: bool) -> AsyncIterator[str]:
    version, seen_alarms, quiet_s, unchecked_s = 0, -1, 0.0, 0.0
    try:
        yield "retry: 3000\n\n"
        while not asker.context.stopping():
            texts, version, seen_alarms = await run_in_threadpool(
                _news, asker, series, with_alarms, version, seen_alarms
            )
            for text in texts:
                yield text
            quiet_s = 0.0 if texts else quiet_s + PACE_S
            if quiet_s >= HEARTBEAT_S:
                quiet_s = 0.0
                yield ": still here\n\n"
            unchecked_s += PACE_S
            if unchecked_s >= CHECK_S:
                unchecked_s = 0.0
                scope = await run_in_threadpool(_still_sees, request, asker, with_alarms)
                if scope is None:
                    break
                asker = replace(asker, scope=scope)
            await asyncio.sleep(PACE_S)
    finally:
        _streams.end(asker.principal.id)


def _news(
    asker: Asker, series: list[int], with_alarms: bool, version: int, seen_alarms: int
) -> tuple[list[str], int, int]:
    """What changed since, as text; the version of values, and the number of the alarms' change."""
    texts: list[str] = []
    try:
        if series:
            found = changed(asker.sources, asker.scope, series, version)
            if found.values or (version == 0 and found.version == 0):
                texts.append(message("values", _values.dump_json(found).decode()))
            version = found.version
        if with_alarms:
            number = asker.sources.alarms().version
            if number != seen_alarms:
                texts.append(message("alarms", _alarm_text(asker)))
                seen_alarms = number
    except CatchmentError:  # a store that fails is told, and tried again
        texts.append(message("trouble", json.dumps({"detail": "headquarters cannot read its stores now"})))
    return texts, version, seen_alarms


def _alarm_text(asker: Asker) -> str:
    rows = standing_alarms(asker.sources, asker.scope)
    shown: dict[str, Any] = {
        "counts": _counts.dump_python(counts(rows), mode="json"),
        "alarms": _alarms.dump_python(tuple(rows[:ALARMS_SHOWN]), mode="json"),
    }
    return json.dumps(shown, ensure_ascii=False)


def _still_sees(request: Request, asker: Asker, with_alarms: bool) -> Scope | None:
    """Whose data is seen by now; `None` when nothing may be told any more."""
    try:
        if asker.session is not None:  # by its id: the cookie that began the stream is an old one by now
            principal = asker.context.sessions.principal(asker.session.session.id)
        else:
            principal, _ = authenticate(asker.context, request)
        wanted = ("samples:read", "alarms:read") if with_alarms else ("samples:read",)
        if principal is None or not all(access.may(principal, each) for each in wanted):
            return None
        with reading(asker.context.metadata) as database:
            return scope_of(database, principal)
    except CatchmentError:
        return None
