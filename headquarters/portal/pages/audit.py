"""The audit: what was done and denied, by whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headquarters.audit import witness
from headquarters.audit.store import Audit, Filter
from headquarters.audit.trail import verify
from headquarters.db.engine import reading
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.tenancy.principal import GROUP
from protocols.identity import Identity

ROWS = 100
OUTCOMES = ("done", "denied", "failed")

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/audit")
def show(
    request: Request,
    visitor: Annotated[Visitor, needs("audit:read")],
    actor: str = "",
    action: str = "",
    outcome: str = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """The newest entries, of one's own tenant or of all."""
    tenant = None if visitor.principal.tenant == GROUP else visitor.principal.tenant
    wanted = Filter(tenant=tenant, actor=actor, action=action, outcome=outcome if outcome in OUTCOMES else "")
    with reading(visitor.context.metadata) as session:
        entries = Audit(session).page(wanted, before, ROWS + 1)
    shown = entries[:ROWS]
    older = shown[-1].content.seq if len(entries) > ROWS else None
    return render(
        request,
        "audit.html",
        visitor,
        entries=[entry.content for entry in shown],
        older=older,
        actor=actor,
        action=action,
        outcome=outcome,
        outcomes=OUTCOMES,
    )


@router.get("/audit/check")
def check(request: Request, visitor: Annotated[Visitor, needs("audit:read")]) -> Response:
    """Walk the whole chain, and say whether it holds."""
    config = visitor.sources.config
    keys = [Identity.load(config.home).public.signing]
    with reading(visitor.context.metadata) as session:
        report = verify(session, keys, witness.missing(session, config.audit_seal))
    return render(request, "audit_check.html", visitor, report=report)
