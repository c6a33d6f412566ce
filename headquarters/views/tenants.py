"""Tenants as they are shown: what each owns, was granted, may use and uses."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from headquarters.tenancy import access
from headquarters.tenancy.principal import Principal
from headquarters.tenancy.quota import THINGS
from headquarters.tenancy.store import Tenant, Tenants
from headquarters.tenancy.usage import Quotas


@dataclass(frozen=True, slots=True)
class GrantView:
    """A view of another's site.

    Args:
        id: Of the grant.
        site: What it is a view of.
        points: A pattern of point names; `*` is all of the site.
        expires_us: Until when, microseconds since 1970; `None` until it is taken back.
        granted_by: Who granted it.
    """

    id: str
    site: str
    points: str
    expires_us: int | None
    granted_by: str


@dataclass(frozen=True, slots=True)
class QuotaView:
    """How much of a thing is used, and may be.

    Args:
        thing: One of `headquarters.tenancy.quota.THINGS`.
        used: So much is used, in the unit of the thing.
        most: So much may be; `None`: no bound.
    """

    thing: str
    used: int
    most: int | None

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        return self.most is not None and self.used >= self.most


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant.

    Args:
        id: Its short name, for good.
        name: Its name for people.
        disabled: Whether its members are kept out.
        created_us: Since when it is there, microseconds since 1970.
        sites: What it owns.
        grants: What it was granted, expired grants among them.
        quotas: Of every thing, in the order of `THINGS`.
    """

    id: str
    name: str
    disabled: bool
    created_us: int
    sites: tuple[str, ...]
    grants: tuple[GrantView, ...]
    quotas: tuple[QuotaView, ...]


def tenants(session: Session, principal: Principal, at_us: int) -> tuple[TenantView, ...]:
    """The tenants that somebody may see, by id.

    Args:
        session: A transaction of the metadata store.
        principal: Who looks.
        at_us: Now, microseconds since 1970.
    """
    return tuple(_view(session, each, at_us) for each in Tenants(session).all() if _sees(principal, each.id))


def tenant(session: Session, principal: Principal, id: str, at_us: int) -> TenantView | None:
    """One tenant; `None` when there is none of this id, or it may not be seen. Arguments as of `tenants`."""
    found = Tenants(session).get(id)
    return _view(session, found, at_us) if found is not None and _sees(principal, id) else None


def _sees(principal: Principal, tenant: str) -> bool:
    return access.may(principal, "tenants:read", tenant)


def _view(session: Session, tenant: Tenant, at_us: int) -> TenantView:
    store, quotas = Tenants(session), Quotas(session)
    limits, used = quotas.limits(tenant.id), quotas.usage(tenant.id, at_us)
    return TenantView(
        tenant.id,
        tenant.name,
        tenant.disabled,
        tenant.created_us,
        tuple(sorted(store.sites_of(tenant.id))),
        tuple(
            GrantView(grant.id, grant.site, grant.points, grant.expires_us, grant.granted_by)
            for grant in store.grants_to(tenant.id)
        ),
        tuple(QuotaView(thing, used[thing], limits.get(thing)) for thing in THINGS),
    )
