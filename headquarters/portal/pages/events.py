"""Events, the newest first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.views.events import DAY_US, TYPES, events
from headquarters.views.gateways import gateway_rows
from headquarters.views.paging import Paging

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/events")
def show(
    request: Request,
    visitor: Annotated[Visitor, needs("events:read")],
    q: str = "",
    type: str = "",
    gateway: str = "",
    days: Annotated[int, Query(ge=1, le=3650)] = 7,
    cursor: str | None = None,
) -> Response:
    """A list of events."""
    sources, scope = visitor.sources, visitor.scope
    since_us = sources.now_us() - days * DAY_US
    return render(
        request,
        "events.html",
        visitor,
        found=events(sources, scope, Paging(cursor=cursor), gateway, type, q, since_us),
        types=TYPES,
        gateways=[row.id for row in gateway_rows(sources, scope)],
        q=q,
        type=type,
        gateway=gateway,
        days=days,
    )
