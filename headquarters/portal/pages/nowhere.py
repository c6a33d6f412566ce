"""What answers for every address that leads nowhere; the last of all routes."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from headquarters.portal.frame import PageRoute, missing

router = APIRouter(route_class=PageRoute, include_in_schema=False)
api = APIRouter(include_in_schema=False)


@api.get("/api/{path:path}")
def no_operation(path: str) -> Response:
    """Programs get a problem document, not a page."""
    raise HTTPException(404, f"expected an operation of /api/v1/openapi.json, got /api/{path[:80]}")


@router.get("/{path:path}")
async def nowhere(request: Request, path: str) -> Response:
    """The page that says so."""
    return await missing(request)
