"""The group at a glance."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.views.overview import overview

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/")
def show(request: Request, visitor: Annotated[Visitor, needs("overview:read")]) -> Response:
    """The overview."""
    return render(request, "overview.html", visitor, it=overview(visitor.sources, visitor.scope))
