"""Tenants in the metadata store: what they own, and what they were granted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from headquarters.db.base import new_id
from headquarters.db.upsert import insert_for
from headquarters.tenancy.tables import GrantRow, SiteRow, TenantRow


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation.

    Args:
        id: Its short name, for good: `plant-a`.
        name: Its name for people.
        disabled: Whether its members are kept out.
        created_us: Since when it is there, microseconds since 1970.
    """

    id: str
    name: str
    disabled: bool
    created_us: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A view of another's site.

    Args:
        id: Of the grant.
        tenant: Who may see it.
        site: What it is a view of.
        points: A pattern of point names; `*` is all of the site.
        expires_us: Until when, microseconds since 1970; `None` until it is taken back.
        granted_by: The name of who granted it.
        created_us: Since when.
    """

    id: str
    tenant: str
    site: str
    points: str
    expires_us: int | None
    granted_by: str
    created_us: int


class Tenants:
    """Tenants, sites and grants within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, id: str) -> Tenant | None:
        """One tenant."""
        row = self._session.execute(select(*_TENANT).where(TenantRow.id == id)).one_or_none()
        return None if row is None else Tenant(*row)

    def all(self) -> tuple[Tenant, ...]:
        """Every tenant, by id."""
        return tuple(Tenant(*row) for row in self._session.execute(select(*_TENANT).order_by(TenantRow.id)))

    def add(self, id: str, name: str, at_us: int) -> None:
        """Make a tenant.

        Raises:
            ConflictError: There is one of this id, when the transaction ends.
        """
        self._session.add(TenantRow(id=id, name=name, disabled=False, created_us=at_us))
        self._session.flush()

    def rename(self, id: str, name: str) -> None:
        """Give a tenant another name for people."""
        self._session.execute(update(TenantRow).where(TenantRow.id == id).values(name=name))

    def set_disabled(self, id: str, disabled: bool) -> None:
        """Keep a tenant's members out, or let them in again."""
        self._session.execute(update(TenantRow).where(TenantRow.id == id).values(disabled=disabled))

    def own(self, site: str, tenant: str, at_us: int) -> None:
        """Give a site to a tenant; it is no longer another's."""
        statement = insert_for(self._session, SiteRow).values(site=site, tenant=tenant, since_us=at_us)
        self._session.execute(
            statement.on_conflict_do_update(
                index_elements=["site"], set_={"tenant": tenant, "since_us": at_us}
            )
        )

    def disown(self, site: str) -> None:
        """Leave a site to the group alone."""
        self._session.execute(delete(SiteRow).where(SiteRow.site == site))

    def owner_of(self, site: str) -> str | None:
        """The tenant that owns a site."""
        return self._session.execute(select(SiteRow.tenant).where(SiteRow.site == site)).scalar_one_or_none()

    def sites_of(self, tenant: str) -> frozenset[str]:
        """The sites that a tenant owns."""
        return frozenset(
            self._session.execute(select(SiteRow.site).where(SiteRow.tenant == tenant)).scalars()
        )

    def owners(self) -> dict[str, str]:
        """The tenant of every site that has one."""
        rows = self._session.execute(select(SiteRow.site, SiteRow.tenant).order_by(SiteRow.site))
        return {row.site: row.tenant for row in rows}

    def grant(
        self, tenant: str, site: str, points: str, expires_us: int | None, granted_by: str, at_us: int
    ) -> str:
        """Grant a view; one of the same points of the same site takes the new terms.

        Returns:
            Its id.
        """
        statement = insert_for(self._session, GrantRow).values(
            id=new_id(),
            tenant=tenant,
            site=site,
            points=points,
            expires_us=expires_us,
            granted_by=granted_by,
            created_us=at_us,
        )
        terms = {"expires_us": expires_us, "granted_by": granted_by, "created_us": at_us}
        self._session.execute(
            statement.on_conflict_do_update(index_elements=["tenant", "site", "points"], set_=terms)
        )
        where = (GrantRow.tenant == tenant, GrantRow.site == site, GrantRow.points == points)
        return self._session.execute(select(GrantRow.id).where(*where)).scalar_one()

    def take_back(self, id: str) -> Grant | None:
        """Take a grant back; `None` when there was none of this id."""
        row = self._session.execute(select(*_GRANT).where(GrantRow.id == id)).one_or_none()
        self._session.execute(delete(GrantRow).where(GrantRow.id == id))
        return None if row is None else Grant(*row)

    def grants_to(self, tenant: str) -> tuple[Grant, ...]:
        """What a tenant was granted, expired grants among them, by site."""
        return self._grants(GrantRow.tenant == tenant)

    def grants_of(self, site: str) -> tuple[Grant, ...]:
        """Who was granted a view of a site."""
        return self._grants(GrantRow.site == site)

    def _grants(self, where: ColumnElement[bool]) -> tuple[Grant, ...]:
        order = (GrantRow.site, GrantRow.points, GrantRow.tenant)
        rows = self._session.execute(select(*_GRANT).where(where).order_by(*order))
        return tuple(Grant(*row) for row in rows)


_TENANT = (TenantRow.id, TenantRow.name, TenantRow.disabled, TenantRow.created_us)
_GRANT = (
    GrantRow.id,
    GrantRow.tenant,
    GrantRow.site,
    GrantRow.points,
    GrantRow.expires_us,
    GrantRow.granted_by,
    GrantRow.created_us,
)
