"""Tenants: what they own, what they were granted, and what they may use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headquarters.db.base import now_us
from headquarters.db.engine import reading
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.tenancy import access
from headquarters.tenancy.store import Tenants

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/tenants")
def show(request: Request, visitor: Annotated[Visitor, needs("tenants:read")]) -> Response:
    """The tenants that may be seen, with their sites and grants."""
    with reading(visitor.context.metadata) as session:
        tenants = Tenants(session)
        rows = [
            (tenant, sorted(tenants.sites_of(tenant.id)), tenants.grants_to(tenant.id))
            for tenant in tenants.all()
            if access.may(visitor.principal, "tenants:read", tenant.id)
        ]
    return render(request, "tenants.html", visitor, rows=rows, now=now_us())
