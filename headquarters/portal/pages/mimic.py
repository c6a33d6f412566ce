"""The picture of a power unit with its live values."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.portal.mimic import placed, units_of
from headquarters.views.latest import latest
from headquarters.views.seeing import seen_points

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/mimic")
def show(
    request: Request, visitor: Annotated[Visitor, needs("samples:read")], site: str = "", unit: str = ""
) -> Response:
    """The picture of one unit of one site."""
    sources, scope = visitor.sources, visitor.scope
    seen = seen_points(sources, scope)
    sites = sorted({point.site for point in seen if units_of([point])})
    chosen = site if site in sites else next(iter(sites), "")
    here = [point for point in seen if point.site == chosen]
    units = units_of(here)
    shown = unit if unit in units else next(iter(units), "")
    places = placed(here, shown)
    told = latest(sources, scope, [point.series for _, point in places if point is not None])
    return render(
        request,
        "mimic.html",
        visitor,
        places=places,
        values={value.series: value for value in told.values},
        is_live=told.is_live,
        sites=sites,
        site=chosen,
        units=units,
        unit=shown,
    )
