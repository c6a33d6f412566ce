"""Points: search, with live values."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.views.paging import Paging
from headquarters.views.points import points
from headquarters.views.seeing import seen_points

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/points")
def show(
    request: Request,
    visitor: Annotated[Visitor, needs("points:read")],
    q: str = "",
    gateway: str = "",
    unit: str = "",
    cursor: str | None = None,
) -> Response:
    """A list of points."""
    sources, scope = visitor.sources, visitor.scope
    seen = seen_points(sources, scope)
    return render(
        request,
        "points.html",
        visitor,
        found=points(sources, scope, q, Paging(cursor=cursor), gateway, unit=unit or None),
        gateways=sorted({point.gateway for point in seen}),
        units=sorted({point.unit for point in seen if point.unit}),
        q=q,
        gateway=gateway,
        unit=unit,
    )
