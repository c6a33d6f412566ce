"""Tenants: their sites, views and quotas; and the audit of what was done and denied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from headquarters.accounts.organisations import QUOTA_MAX, Organisations
from headquarters.api.context import Asker, needs
from headquarters.api.forms import TIME_US_MAX, instant, shown, there
from headquarters.api.idempotency import IdempotentRoute
from headquarters.audit.store import Audit, Filter
from headquarters.audit.trail import detail_of
from headquarters.db.engine import reading, writing
from headquarters.tenancy.principal import GROUP
from headquarters.views import tenants as view
from headquarters.views.paging import LIMIT_MAX
from headquarters.views.tenants import GrantView, TenantView

router = APIRouter(tags=["accounts"], route_class=IdempotentRoute)

Id = Annotated[str, Path(max_length=64, examples=["plant-a"])]
Site = Annotated[str, Path(max_length=64, examples=["north"])]
GrantId = Annotated[str, Path(max_length=64, examples=["5f0c2a9e6b1d4c7788aa90e1"])]
Thing = Annotated[str, Path(max_length=20, examples=["queries"])]
Named = Annotated[str, Field(max_length=200, examples=["Plant A"])]


class NewTenant(BaseModel):
    """A tenant that is to be."""

    id: Annotated[str, Field(max_length=64, examples=["plant-a"])]
    name: Named


class Renamed(BaseModel):
    """What a tenant is called."""

    name: Named


class NewGrant(BaseModel):
    """A view of another's site that is to be granted; without an end until it is taken back."""

    site: Annotated[str, Field(max_length=64, examples=["east"])]
    points: Annotated[str, Field(max_length=200, examples=["10LBA*"])] = "*"
    expires_us: Annotated[int | None, Field(ge=0, lt=TIME_US_MAX)] = None


class Bound(BaseModel):
    """How much of a thing a tenant may use."""

    most: Annotated[int, Field(ge=0, le=QUOTA_MAX, examples=[5000])]


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
    """Tenants that may be seen: what they own, were granted, may use and use."""
    with reading(asker.context.metadata) as session:
        found = view.tenants(session, asker.principal, asker.sources.now_us())
    return shown(found, tuple[TenantView, ...])


@router.post("/tenants", response_model=TenantView, status_code=201)
def add_tenant(asker: Annotated[Asker, needs("tenants:write")], asked: NewTenant) -> Response:
    """Make a tenant, which owns nothing yet."""
    with writing(asker.context.metadata) as session:
        Organisations(session, asker.principal).add(asked.id, asked.name)
        found = _seen(session, asker, asked.id)
    return shown(found, TenantView, 201)


@router.get("/tenants/{tenant}", response_model=TenantView)
def get_tenant(asker: Annotated[Asker, needs("tenants:read")], tenant: Id) -> Response:
    """One tenant."""
    with reading(asker.context.metadata) as session:
        found = _seen(session, asker, tenant)
    return shown(found, TenantView)


@router.patch("/tenants/{tenant}", status_code=204)
def rename_tenant(asker: Annotated[Asker, needs("tenants:write")], tenant: Id, asked: Renamed) -> None:
    """Give a tenant another name for people."""
    with _changing(asker, tenant) as organisations:
        organisations.rename(tenant, asked.name)


@router.post("/tenants/{tenant}/disable", status_code=204)
def disable_tenant(asker: Annotated[Asker, needs("tenants:write")], tenant: Id) -> None:
    """Keep all members of a tenant out, at once."""
    with _changing(asker, tenant) as organisations:
        organisations.set_disabled(tenant, True)


@router.post("/tenants/{tenant}/enable", status_code=204)
def enable_tenant(asker: Annotated[Asker, needs("tenants:write")], tenant: Id) -> None:
    """Let the members of a tenant in again."""
    with _changing(asker, tenant) as organisations:
        organisations.set_disabled(tenant, False)


@router.put("/tenants/{tenant}/sites/{site}", status_code=204)
def own_site(asker: Annotated[Asker, needs("tenants:write")], tenant: Id, site: Site) -> None:
    """Give a site to a tenant, with what it measured before; it is no longer another's."""
    with _changing(asker, tenant) as organisations:
        organisations.own(tenant, [site])


@router.delete("/tenants/{tenant}/sites/{site}", status_code=204)
def disown_site(asker: Annotated[Asker, needs("tenants:write")], tenant: Id, site: Site) -> None:
    """Leave a site of a tenant to the group alone."""
    with _changing(asker, tenant) as organisations:
        organisations.disown(site, tenant)


@router.post("/tenants/{tenant}/grants", response_model=GrantView, status_code=201)
def grant_view(asker: Annotated[Asker, needs("tenants:write")], tenant: Id, asked: NewGrant) -> Response:
    """Let a tenant see another's site; a grant of the same points takes the new end."""
    with writing(asker.context.metadata) as session:
        _seen(session, asker, tenant)
        organisations = Organisations(session, asker.principal)
        made = organisations.grant(tenant, asked.site, asked.points, asked.expires_us)
        [found] = [each for each in _seen(session, asker, tenant).grants if each.id == made]
    return shown(found, GrantView, 201)


@router.delete("/tenants/{tenant}/grants/{grant}", status_code=204)
def take_grant_back(asker: Annotated[Asker, needs("tenants:write")], tenant: Id, grant: GrantId) -> None:
    """Take a grant of a tenant back."""
    with _changing(asker, tenant) as organisations:
        organisations.take_back(grant, tenant)


@router.put("/tenants/{tenant}/quotas/{thing}", status_code=204)
def set_quota(
    asker: Annotated[Asker, needs("tenants:write")], tenant: Id, thing: Thing, asked: Bound
) -> None:
    """Set how much of a thing a tenant may use."""
    with _changing(asker, tenant) as organisations:
        organisations.set_quota(tenant, thing, asked.most)


@router.delete("/tenants/{tenant}/quotas/{thing}", status_code=204)
def lift_quota(asker: Annotated[Asker, needs("tenants:write")], tenant: Id, thing: Thing) -> None:
    """Let a tenant use as much of a thing as there is."""
    with _changing(asker, tenant) as organisations:
        organisations.set_quota(tenant, thing, None)


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


@contextmanager
def _changing(asker: Asker, tenant: str) -> Iterator[Organisations]:
    """What changes a tenant that is there, within one transaction."""
    with writing(asker.context.metadata) as session:
        _seen(session, asker, tenant)
        yield Organisations(session, asker.principal)


def _seen(session: Session, asker: Asker, id: str) -> TenantView:
    found: TenantView = there(view.tenant(session, asker.principal, id, asker.sources.now_us()), "tenant", id)
    return found
