"""Tenants, and the audit of what was done and denied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from headquarters.api.context import Asker, needs
from headquarters.api.forms import instant, shown
from headquarters.api.idempotency import IdempotentRoute
from headquarters.audit.store import Audit, Filter
from headquarters.audit.trail import detail_of
from headquarters.db.engine import reading
from headquarters.tenancy import access
from headquarters.tenancy.principal import GROUP
from headquarters.tenancy.store import Tenants
from headquarters.views.paging import LIMIT_MAX

router = APIRouter(tags=["accounts"], route_class=IdempotentRoute)


@dataclass(frozen=True, slots=True)
class GrantView:
    """A view of another's site; `points` is a pattern of names."""

    id: str
    site: str
    points: str
    expires_us: int | None
    granted_by: str


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant, its sites, and what it was granted."""

    id: str
    name: str
    disabled: bool
    sites: tuple[str, ...]
    grants: tuple[GrantView, ...]


@dataclass(frozen=True, slots=True)
class AuditView:
    """An entry of the audit.

    Args:
        seq: Its place in the chain.
        time_us: When.
        tenant: Whose affair it was.
        actor_kind: `user`, `token` or `system`.
        actor_id: Who.
        actor_name: Who, as people know them.
        action: What.
        target: To whom or what.
        outcome: `done`, `denied` or `failed`.
        detail: More.
        hash: Of the entry, hexadecimal.
    """

    seq: int
    time_us: int
    tenant: str
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    target: str
    outcome: str
    detail: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, the newest first, and the cursor of the next page: the `seq` before which it begins."""

    items: tuple[AuditView, ...]
    next: int | None


@router.get("/tenants", response_model=tuple[TenantView, ...])
def list_tenants(asker: Annotated[Asker, needs("tenants:read")]) -> Response:
    """Tenants that may be seen, with their sites and what they were granted."""
    with reading(asker.context.metadata) as session:
        tenants = Tenants(session)
        found = tuple(
            TenantView(
                tenant.id,
                tenant.name,
                tenant.disabled,
                tuple(sorted(tenants.sites_of(tenant.id))),
                tuple(
                    GrantView(grant.id, grant.site, grant.points, grant.expires_us, grant.granted_by)
                    for grant in tenants.grants_to(tenant.id)
                ),
            )
            for tenant in tenants.all()
            if access.may(asker.principal, "tenants:read", tenant.id)
        )
    return shown(found, tuple[TenantView, ...])


@router.get("/audit", response_model=AuditPage)
def list_audit(
    asker: Annotated[Asker, needs("audit:read")],
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="`next` of the page before.")] = None,
    actor: Annotated[str, Query(max_length=200)] = "",
    action: Annotated[str, Query(max_length=200)] = "",
    target: Annotated[str, Query(max_length=200)] = "",
    outcome: Annotated[str, Query(max_length=10)] = "",
    from_: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    to: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Entries of the audit, the newest first."""
    tenant = None if asker.principal.tenant == GROUP else asker.principal.tenant
    wanted = Filter(
        tenant=tenant,
        actor=actor,
        action=action,
        target=target,
        outcome=outcome,
        from_us=None if from_ is None else instant("from", from_),
        to_us=None if to is None else instant("to", to),
    )
    with reading(asker.context.metadata) as session:
        rows = Audit(session).page(wanted, before, limit + 1)
    items = tuple(
        AuditView(*row.content[:9], detail_of(row.content.detail), row.hash.hex()) for row in rows[:limit]
    )
    return shown(AuditPage(items, items[-1].seq if len(rows) > limit else None), AuditPage)
