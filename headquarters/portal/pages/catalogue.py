"""The catalogue of the lake's tables."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.views.catalogue import catalogue, preview, table

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/catalogue")
def show_all(request: Request, visitor: Annotated[Visitor, needs("catalogue:read")]) -> Response:
    """Every table."""
    return render(request, "catalogue.html", visitor, tables=catalogue(visitor.sources, visitor.scope))


@router.get("/catalogue/{name}")
def show(request: Request, visitor: Annotated[Visitor, needs("catalogue:read")], name: str) -> Response:
    """One table, with some rows of it for those who may read samples."""
    sources, scope = visitor.sources, visitor.scope
    found = table(sources, scope, name)
    if found is None:
        raise HTTPException(404)
    rows = preview(sources, scope, name) if visitor.may("samples:read") else None
    return render(request, "table.html", visitor, it=found, rows=rows)
