"""Tables of accounts. Secrets are kept as hashes, or sealed where they are needed again."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from headquarters.db.base import Base, Micros


class UserRow(Base):
    """A user; never removed, so that the audit's names stay somebody's."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(default="")
    language: Mapped[str] = mapped_column(default="")
    disabled: Mapped[bool] = mapped_column(default=False)
    created_us: Mapped[Micros]
    password: Mapped[str | None]
    password_us: Mapped[Micros | None]
    failures: Mapped[int] = mapped_column(default=0)
    locked_until_us: Mapped[Micros] = mapped_column(default=0)
    totp: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_step: Mapped[Micros] = mapped_column(default=0)


class PasswordRow(Base):
    """A password that a user had."""

    __tablename__ = "user_passwords"

    id: Mapped[int] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    password: Mapped[str]
    until_us: Mapped[Micros]


class UserRoleRow(Base):
    """A role that a user has in its tenant."""

    __tablename__ = "user_roles"

    user: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)


class GroupRow(Base):
    """A group of users of one tenant."""

    __tablename__ = "groups"
    __table_args__ = (Index("ix_groups_name", "tenant", "name", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    created_us: Mapped[Micros]


class GroupRoleRow(Base):
    """A role that every member of a group has."""

    __tablename__ = "group_roles"

    group: Mapped[str] = mapped_column(ForeignKey("groups.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)


class MemberRow(Base):
    """A user in a group."""

    __tablename__ = "group_members"

    group: Mapped[str] = mapped_column(ForeignKey("groups.id"), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)


class LinkRow(Base):
    """A one-time sign-in link; what is kept is the hash of its token."""

    __tablename__ = "sign_in_links"

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    expires_us: Mapped[Micros]
    used_us: Mapped[Micros | None]


class RecoveryRow(Base):
    """A recovery code, for when the second factor is lost; each serves once."""

    __tablename__ = "recovery_codes"

    user: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    used_us: Mapped[Micros | None]


class SessionRow(Base):
    """A signed-in browser; `id` is for lists, the cookie's token is kept as its hash."""

    __tablename__ = "user_sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    before: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    by: Mapped[str]
    address: Mapped[str]
    agent: Mapped[str]
    created_us: Mapped[Micros]
    rotated_us: Mapped[Micros]
    seen_us: Mapped[Micros]
    ends_us: Mapped[Micros]


class TokenRow(Base):
    """An API token of a user; its secret is kept as a hash."""

    __tablename__ = "api_tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[str]
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros]
    used_us: Mapped[Micros | None]
    revoked_us: Mapped[Micros | None]


class ExternalRow(Base):
    """A user as an OIDC provider knows it."""

    __tablename__ = "external_identities"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)


class ExternalSignInRow(Base):
    """A sign-in that is under way at a provider; taken out when the browser comes back."""

    __tablename__ = "external_sign_ins"

    state: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    provider: Mapped[str]
    nonce: Mapped[str]
    verifier: Mapped[bytes] = mapped_column(LargeBinary)
    browser: Mapped[bytes] = mapped_column(LargeBinary)
    next: Mapped[str]
    expires_us: Mapped[Micros]
