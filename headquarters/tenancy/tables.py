"""Tables of tenants, what they own, see and may use."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from headquarters.db.base import Base, Micros


class TenantRow(Base):
    """An organisation."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    disabled: Mapped[bool] = mapped_column(default=False)
    created_us: Mapped[Micros]


class SiteRow(Base):
    """A site and the one tenant that owns it."""

    __tablename__ = "tenant_sites"

    site: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    since_us: Mapped[Micros]


class GrantRow(Base):
    """A view of a site that is granted to a tenant that does not own it."""

    __tablename__ = "tenant_grants"
    __table_args__ = (Index("ix_tenant_grants_place", "tenant", "site", "points", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    site: Mapped[str]
    points: Mapped[str] = mapped_column(default="*")
    expires_us: Mapped[Micros | None]
    granted_by: Mapped[str]
    created_us: Mapped[Micros]


class QuotaRow(Base):
    """How much of a thing a tenant may use; no row: as much as there is."""

    __tablename__ = "tenant_quotas"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    thing: Mapped[str] = mapped_column(primary_key=True)
    most: Mapped[Micros]


class UsageRow(Base):
    """How much of a thing a tenant has used since the beginning of its window."""

    __tablename__ = "tenant_usage"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    thing: Mapped[str] = mapped_column(primary_key=True)
    window_us: Mapped[Micros]
    used: Mapped[Micros]
