"""Users, groups and their roles in the metadata store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, union, update
from sqlalchemy.orm import Session

from headquarters.accounts.lockout import State
from headquarters.accounts.tables import (
    GroupRoleRow,
    GroupRow,
    MemberRow,
    PasswordRow,
    UserRoleRow,
    UserRow,
)
from headquarters.db.base import new_id
from headquarters.db.upsert import insert_for
from headquarters.tenancy.tables import TenantRow


@dataclass(frozen=True, slots=True)
class User:
    """A user, without secrets.

    Args:
        id: For good.
        tenant: Whose member.
        login: What is typed to sign in; lower case.
        name: For people.
        email: Where alarms go; may be empty.
        language: `en`, `zh`, or empty for the browser's.
        disabled: Whether it is kept out.
        created_us: Since when.
        password_us: When its password was set; `None`: it has none.
        lock: Failures and lock.
        second_factor: Whether it has one.
    """

    id: str
    tenant: str
    login: str
    name: str
    email: str
    language: str
    disabled: bool
    created_us: int
    password_us: int | None
    lock: State
    second_factor: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A group of users of one tenant.

    Args:
        id: For good.
        tenant: Whose.
        name: For people, one of its name in a tenant.
    """

    id: str
    tenant: str
    name: str


class Users:
    """Users within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, tenant: str, login: str, name: str, email: str, at_us: int) -> str:
        """Make a user, without a password and without roles.

        Returns:
            Its id.

        Raises:
            ConflictError: There is one of this login, when the transaction ends.
        """
        id = new_id()
        self._session.add(
            UserRow(id=id, tenant=tenant, login=login, name=name, email=email, created_us=at_us)
        )
        self._session.flush()
        return id

    def get(self, id: str) -> User | None:
        """One user."""
        return self._one(UserRow.id == id)

    def by_login(self, login: str) -> User | None:
        """One user by what is typed to sign in."""
        return self._one(UserRow.login == login)

    def all(self, tenant: str | None = None) -> list[User]:
        """Every user, or those of a tenant, by login."""
        query = select(*_USER).order_by(UserRow.login)
        if tenant is not None:
            query = query.where(UserRow.tenant == tenant)
        return [_user(row) for row in self._session.execute(query)]

    def lock_row(self, ids: Iterable[str]) -> None:
        """Let nobody else change these users, nor their roles, until the transaction ends."""
        query = select(UserRow.id).where(UserRow.id.in_(sorted(ids))).order_by(UserRow.id)
        self._session.execute(query.with_for_update()).all()

    def is_let_in(self, id: str) -> bool:
        """Whether neither the user nor its tenant is disabled."""
        query = select(UserRow.disabled, TenantRow.disabled).join(TenantRow, TenantRow.id == UserRow.tenant)
        row = self._session.execute(query.where(UserRow.id == id)).one_or_none()
        return row is not None and not row[0] and not row[1]

    def set_disabled(self, id: str, disabled: bool) -> None:
        """Keep a user out, or let it in again."""
        self._set(id, disabled=disabled)

    def set_profile(self, id: str, name: str, email: str, language: str) -> None:
        """Change what a user says of itself."""
        self._set(id, name=name, email=email, language=language)

    def set_lock(self, id: str, state: State) -> None:
        """Note failures."""
        self._set(id, failures=state.failures, locked_until_us=state.locked_until_us)

    # -- passwords and second factor -----------------------------------------------------------------

    def password(self, id: str) -> str | None:
        """What is kept of a user's password."""
        return self._session.execute(select(UserRow.password).where(UserRow.id == id)).scalar_one_or_none()

    def passwords_before(self, id: str, most: int) -> list[str]:
        """What is kept of the passwords before, the newest first."""
        query = select(PasswordRow.password).where(PasswordRow.user == id).order_by(PasswordRow.id.desc())
        return list(self._session.execute(query.limit(most)).scalars())

    def set_password(self, id: str, password: str | None, at_us: int) -> None:
        """Set what is kept of a password; the one before goes to those before."""
        old = self.password(id)
        if old is not None:
            self._session.add(PasswordRow(user=id, password=old, until_us=at_us))
        self._set(id, password=password, password_us=None if password is None else at_us)

    def replace_hash(self, id: str, password: str) -> None:
        """Keep the same password at other costs."""
        self._set(id, password=password)

    def totp(self, id: str) -> tuple[bytes | None, int]:
        """The sealed secret of the second factor, and the last time step that served."""
        row = self._session.execute(select(UserRow.totp, UserRow.totp_step).where(UserRow.id == id)).one()
        return None if row[0] is None else bytes(row[0]), row[1]

    def set_totp(self, id: str, sealed: bytes | None, step: int) -> None:
        """Set the sealed secret of the second factor, or none."""
        self._set(id, totp=sealed, totp_step=step)

    def use_totp_step(self, id: str, step: int) -> bool:
        """Note that a time step served; false when it, or a later one, had served already."""
        statement = update(UserRow).where(UserRow.id == id, UserRow.totp_step < step).values(totp_step=step)
        return int(self._session.execute(statement).rowcount) == 1  # type: ignore[attr-defined]

    # -- roles ---------------------------------------------------------------------------------------

    def roles(self, id: str) -> frozenset[str]:
        """All roles of a user: its own and those of its groups."""
        own = select(UserRoleRow.role).where(UserRoleRow.user == id)
        groups = select(GroupRoleRow.role).join(MemberRow, MemberRow.group == GroupRoleRow.group)
        return frozenset(self._session.execute(union(own, groups.where(MemberRow.user == id))).scalars())

    def own_roles(self, id: str) -> frozenset[str]:
        """The roles that a user has itself."""
        return frozenset(
            self._session.execute(select(UserRoleRow.role).where(UserRoleRow.user == id)).scalars()
        )

    def give_role(self, id: str, role: str) -> None:
        """Give a role; nothing happens when it is had."""
        self._session.execute(
            insert_for(self._session, UserRoleRow).values(user=id, role=role).on_conflict_do_nothing()
        )

    def take_role(self, id: str, role: str) -> None:
        """Take a role."""
        self._session.execute(delete(UserRoleRow).where(UserRoleRow.user == id, UserRoleRow.role == role))

    def _one(self, where: Any) -> User | None:
        row = self._session.execute(select(*_USER).where(where)).one_or_none()
        return None if row is None else _user(row)

    def _set(self, id: str, **values: Any) -> None:
        self._session.execute(update(UserRow).where(UserRow.id == id).values(**values))


class Groups:
    """Groups within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, tenant: str, name: str, at_us: int) -> str:
        """Make a group.

        Returns:
            Its id.

        Raises:
            ConflictError: The tenant has one of this name, when the transaction ends.
        """
        id = new_id()
        self._session.add(GroupRow(id=id, tenant=tenant, name=name, created_us=at_us))
        self._session.flush()
        return id

    def remove(self, id: str) -> None:
        """Remove a group; its members stay, without its roles."""
        self._session.execute(delete(MemberRow).where(MemberRow.group == id))
        self._session.execute(delete(GroupRoleRow).where(GroupRoleRow.group == id))
        self._session.execute(delete(GroupRow).where(GroupRow.id == id))

    def get(self, id: str) -> Group | None:
        """One group."""
        return self._one(GroupRow.id == id)

    def by_name(self, tenant: str, name: str) -> Group | None:
        """One group by its name."""
        return self._one((GroupRow.tenant == tenant) & (GroupRow.name == name))

    def all(self, tenant: str | None = None) -> list[Group]:
        """Every group, or those of a tenant, by name."""
        query = select(*_GROUP).order_by(GroupRow.tenant, GroupRow.name)
        if tenant is not None:
            query = query.where(GroupRow.tenant == tenant)
        return [Group(*row) for row in self._session.execute(query)]

    def of_user(self, user: str) -> list[Group]:
        """The groups that a user is in."""
        query = select(*_GROUP).join(MemberRow, MemberRow.group == GroupRow.id).order_by(GroupRow.name)
        return [Group(*row) for row in self._session.execute(query.where(MemberRow.user == user))]

    def lock_row(self, id: str) -> None:
        """Let nobody else change this group until the transaction ends; before its members' rows."""
        self._session.execute(select(GroupRow.id).where(GroupRow.id == id).with_for_update()).all()

    def members(self, id: str) -> list[str]:
        """The ids of a group's members."""
        query = select(MemberRow.user).where(MemberRow.group == id).order_by(MemberRow.user)
        return list(self._session.execute(query).scalars())

    def join(self, id: str, user: str) -> None:
        """Put a user in; nothing happens when it is in."""
        self._session.execute(
            insert_for(self._session, MemberRow).values(group=id, user=user).on_conflict_do_nothing()
        )

    def leave(self, id: str, user: str) -> None:
        """Take a user out."""
        self._session.execute(delete(MemberRow).where(MemberRow.group == id, MemberRow.user == user))

    def roles(self, id: str) -> frozenset[str]:
        """The roles that a group gives."""
        query = select(GroupRoleRow.role).where(GroupRoleRow.group == id)
        return frozenset(self._session.execute(query).scalars())

    def give_role(self, id: str, role: str) -> None:
        """Give all members a role."""
        self._session.execute(
            insert_for(self._session, GroupRoleRow).values(group=id, role=role).on_conflict_do_nothing()
        )

    def take_role(self, id: str, role: str) -> None:
        """Take a role from all members."""
        self._session.execute(delete(GroupRoleRow).where(GroupRoleRow.group == id, GroupRoleRow.role == role))

    def _one(self, where: Any) -> Group | None:
        row = self._session.execute(select(*_GROUP).where(where)).one_or_none()
        return None if row is None else Group(*row)


_USER = (
    UserRow.id,
    UserRow.tenant,
    UserRow.login,
    UserRow.name,
    UserRow.email,
    UserRow.language,
    UserRow.disabled,
    UserRow.created_us,
    UserRow.password_us,
    UserRow.failures,
    UserRow.locked_until_us,
    UserRow.totp.is_not(None),
)
_GROUP = (GroupRow.id, GroupRow.tenant, GroupRow.name)


def _user(row: Any) -> User:
    fields: list[Any] = [*row[:9], State(row[9], row[10]), bool(row[11])]
    return User(*fields)
