"""What administrators do to users, groups and roles: checked, done and recorded in one transaction.

Rules:
1. Every act demands its permission in the tenant of whom it is done to, and is in the audit.
2. No one holds two of the three administrators, by itself or through groups: an act that would lead
   to it is refused, whoever does it.
3. Nobody gives or takes roles of its own.
4. A new user has no password: it comes in by a one-time link, and sets one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy.orm import Session

from headquarters.accounts.credentials import Links, RecoveryCodes, UserSessions, draw
from headquarters.accounts.lockout import State
from headquarters.accounts.store import Group, Groups, User, Users
from headquarters.accounts.terms import LINK_US
from headquarters.audit.trail import record
from headquarters.db.base import now_us
from headquarters.errors import DeniedError
from headquarters.tenancy import access
from headquarters.tenancy.permissions import ROLES, administrators
from headquarters.tenancy.principal import GROUP, Principal
from headquarters.tenancy.store import Tenants
from protocols.errors import InputError, Problem

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
NAME_CHARS_MAX = 80


class People:
    """Users, groups and roles, as somebody administers them within one transaction.

    Args:
        session: A transaction; one that writes, for whatever changes something.
        principal: Who does it.
        at_us: When; `None`: now.
    """

    def __init__(self, session: Session, principal: Principal, at_us: int | None = None) -> None:
        self._session = session
        self._principal = principal
        self._at = now_us() if at_us is None else at_us
        self._users = Users(session)
        self._groups = Groups(session)

    # -- users ---------------------------------------------------------------------------------------

    def users(self, tenant: str | None = None, search: str = "") -> list[User]:
        """Users of a tenant, or all that may be seen, by login.

        Args:
            tenant: Which; `None` for all.
            search: Words that all must occur in login, name or tenant, in any case.

        Raises:
            DeniedError: They may not be seen.
        """
        tenant = self._seen(tenant)
        access.demand(self._principal, "users:read", tenant)
        words = search.casefold().split()
        found = [
            user
            for user in self._users.all(tenant)
            if all(word in f"{user.login} {user.name} {user.tenant}".casefold() for word in words)
        ]
        return sorted(found, key=lambda user: user.login)  # databases sort by rules of their own

    def get(self, id: str) -> User:
        """One user.

        Raises:
            InputError: There is none, or it may not be seen.
        """
        user = self._users.get(id)
        if user is None or not access.may(self._principal, "users:read", user.tenant):
            raise InputError([Problem("user", "id", id, "a user that there is")])
        return user

    def add(self, tenant: str, login: str, name: str, email: str = "") -> User:
        """Make a user.

        Raises:
            DeniedError, InputError, ConflictError: It may not, or cannot be.
        """
        access.demand(self._principal, "users:write", tenant)
        problems = []
        if Tenants(self._session).get(tenant) is None:
            problems.append(Problem("user", "tenant", tenant, "a tenant; see: catchment-hq tenants list"))
        if not _LOGIN.fullmatch(login):
            expected = "lower-case letters, digits, '.', '_', '-' or '@', at most 64, such as anna.li"
            problems.append(Problem("user", "login", login, expected))
        elif self._users.by_login(login) is not None:
            problems.append(Problem("user", "login", login, "a login that nobody has yet"))
        problems += _profile_problems(name, email)
        if problems:
            raise InputError(problems)
        id = self._users.add(tenant, login, name, email, self._at)
        self._record("users.add", login, tenant, {"id": id, "name": name, "email": email})
        return self._known(id)

    def set_disabled(self, id: str, disabled: bool) -> None:
        """Keep a user out at once, or let it in again.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        user = self._writable(id)
        if disabled and id == self._principal.id:
            raise InputError([Problem("user", "id", user.login, "somebody else: nobody shuts oneself out")])
        self._users.set_disabled(id, disabled)
        if disabled:
            UserSessions(self._session).end_all(id)
            Links(self._session).drop(id)
        self._record("users.disable" if disabled else "users.enable", user.login, user.tenant)

    def set_profile(self, id: str, name: str, email: str, language: str) -> None:
        """Change what is known of a user; everybody may do so for oneself.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        user = self._known(id) if self._is_own(id) else self._writable(id)
        problems = _profile_problems(name, email)
        if language not in ("", "en", "zh"):
            problems.append(Problem("user", "language", language, "en, zh, or nothing"))
        if problems:
            raise InputError(problems)
        self._users.set_profile(id, name, email, language)
        self._record("users.profile", user.login, user.tenant, {"name": name, "email": email})

    def unlock(self, id: str) -> None:
        """Forget a user's failures.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        user = self._writable(id)
        self._users.set_lock(id, State())
        self._record("users.unlock", user.login, user.tenant)

    def link(self, id: str) -> str:
        """Make a one-time sign-in link; an older one serves no more.

        Returns:
            The secret that the link ends with.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        user = self._writable(id)
        if administrators(self._users.roles(id)) and self._principal.kind != "system":
            # Whoever makes the link could walk in as the other administrator.
            raise DeniedError(self._principal.name, "users:write", user.tenant)
        secret = draw()
        Links(self._session).add(secret, id, self._at + LINK_US)
        self._record("users.link", user.login, user.tenant)
        return secret

    def drop_second_factor(self, id: str) -> None:
        """Take a lost second factor from a user; a security administrator's affair.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        user = self._known(id)
        access.demand(self._principal, "roles:write", user.tenant)
        self._users.set_totp(id, None, 0)
        RecoveryCodes(self._session).replace(id, ())
        UserSessions(self._session).end_all(id)
        self._record("users.drop-second-factor", user.login, user.tenant)

    # -- roles ---------------------------------------------------------------------------------------

    def roles_of(self, id: str) -> frozenset[str]:
        """All roles of a user, its groups' among them."""
        return self._users.roles(self.get(id).id)

    def give_role(self, id: str, role: str) -> None:
        """Give a user a role in its tenant.

        Raises:
            DeniedError: It may not be.
            InputError: No such role or user, or it would hold two administrators.
        """
        user = self._for_roles(id)
        _check_role(role)
        self._users.lock_row([id])
        self._apart(user, self._users.roles(id) | {role})
        self._users.give_role(id, role)
        self._record("roles.give", user.login, user.tenant, {"role": role})

    def take_role(self, id: str, role: str) -> None:
        """Take a role from a user.

        Raises:
            DeniedError: It may not be.
            InputError: It has not this role itself.
        """
        user = self._for_roles(id)
        if role not in self._users.own_roles(id):
            raise InputError([Problem("role", user.login, role, "a role that the user has by itself")])
        self._users.take_role(id, role)
        self._record("roles.take", user.login, user.tenant, {"role": role})

    def give_group_role(self, group: str, role: str) -> None:
        """Give all members of a group a role.

        Raises:
            DeniedError: It may not be.
            InputError: No such role or group, or a member would hold two administrators.
        """
        found = self._group(group, "roles:write")
        _check_role(role)
        self._groups.lock_row(group)
        members = self._groups.members(group)
        if self._principal.id in members:
            raise DeniedError(self._principal.name, "roles:write", found.tenant)
        self._users.lock_row(members)
        for member in members:
            self._apart(self._known(member), self._users.roles(member) | {role})
        self._groups.give_role(group, role)
        self._record("roles.give", found.name, found.tenant, {"group": group, "role": role})

    def take_group_role(self, group: str, role: str) -> None:
        """Take a role from a group.

        Raises:
            DeniedError: It may not be.
            InputError: It has not this role.
        """
        found = self._group(group, "roles:write")
        if role not in self._groups.roles(group):
            raise InputError([Problem("role", found.name, role, "a role that the group has")])
        self._groups.take_role(group, role)
        self._record("roles.take", found.name, found.tenant, {"group": group, "role": role})

    # -- groups --------------------------------------------------------------------------------------

    def groups(self, tenant: str | None = None) -> list[Group]:
        """Groups of a tenant, or all that may be seen.

        Raises:
            DeniedError: They may not be seen.
        """
        tenant = self._seen(tenant)
        access.demand(self._principal, "users:read", tenant)
        return self._groups.all(tenant)

    def members_of(self, group: str) -> list[User]:
        """The members of a group, by login."""
        self._group(group, "users:read")
        found = [self._known(id) for id in self._groups.members(group)]
        return sorted(found, key=lambda user: user.login)

    def roles_of_group(self, group: str) -> frozenset[str]:
        """The roles that a group gives."""
        self._group(group, "users:read")
        return self._groups.roles(group)

    def add_group(self, tenant: str, name: str) -> Group:
        """Make a group.

        Raises:
            DeniedError, InputError, ConflictError: It may not, or cannot be.
        """
        access.demand(self._principal, "users:write", tenant)
        if Tenants(self._session).get(tenant) is None:
            raise InputError([Problem("group", "tenant", tenant, "a tenant that there is")])
        if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
            raise InputError([Problem("group", "name", name, f"1 to {NAME_CHARS_MAX} printable characters")])
        if self._groups.by_name(tenant, name) is not None:
            raise InputError([Problem("group", "name", name, "a name that no group of the tenant has")])
        id = self._groups.add(tenant, name, self._at)
        self._record("groups.add", name, tenant, {"id": id})
        return Group(id, tenant, name)

    def remove_group(self, group: str) -> None:
        """Remove a group.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        found = self._group(group, "users:write")
        roles = ", ".join(sorted(self._groups.roles(group)))
        if roles:
            expected = "a group without roles; the security administrator takes them first"
            raise InputError([Problem("group", "roles", roles, expected)])
        self._groups.remove(group)
        self._record("groups.remove", found.name, found.tenant)

    def join(self, group: str, user: str) -> None:
        """Put a user into a group. Of a group with roles it gives them, and needs `roles:write`.

        Raises:
            DeniedError: It may not be.
            InputError: Of another tenant, or it would hold two administrators.
        """
        found = self._group(group, "users:read")
        self._groups.lock_row(group)
        member = self.get(user)
        self._demand_membership(found, user)
        if member.tenant != found.tenant:
            raise InputError([Problem("group", found.name, member.login, f"a user of {found.tenant}")])
        self._users.lock_row([user])
        self._apart(member, self._users.roles(user) | self._groups.roles(group))
        self._groups.join(group, user)
        self._record("groups.join", found.name, found.tenant, {"user": member.login})

    def leave(self, group: str, user: str) -> None:
        """Take a user out of a group; needs what `join` needs.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        found = self._group(group, "users:read")
        self._groups.lock_row(group)
        self._demand_membership(found, user)
        if user not in self._groups.members(group):
            raise InputError([Problem("group", found.name, user, "a member of the group")])
        self._groups.leave(group, user)
        self._record("groups.leave", found.name, found.tenant, {"user": self._known(user).login})

    # -- leaves --------------------------------------------------------------------------------------

    def _demand_membership(self, group: Group, user: str) -> None:
        with_roles = bool(self._groups.roles(group.id))
        needed = "roles:write" if with_roles else "users:write"
        access.demand(self._principal, needed, group.tenant)
        if with_roles and self._is_own(user):
            raise DeniedError(self._principal.name, needed, group.tenant)

    def _seen(self, tenant: str | None) -> str | None:
        """All tenants only for the group; else one's own."""
        return self._principal.tenant if tenant is None and self._principal.tenant != GROUP else tenant

    def _known(self, id: str) -> User:
        user = self._users.get(id)
        if user is None:
            raise InputError([Problem("user", "id", id, "a user that there is")])
        return user

    def _writable(self, id: str) -> User:
        user = self._known(id)
        access.demand(self._principal, "users:write", user.tenant)
        return user

    def _for_roles(self, id: str) -> User:
        user = self._known(id)
        access.demand(self._principal, "roles:write", user.tenant)
        if self._is_own(id):
            raise DeniedError(self._principal.name, "roles:write", user.tenant)
        return user

    def _group(self, id: str, permission: str) -> Group:
        group = self._groups.get(id)
        if group is None:
            raise InputError([Problem("group", "id", id, "a group that there is")])
        access.demand(self._principal, permission, group.tenant)
        return group

    def _is_own(self, user: str) -> bool:
        return user == self._principal.id and self._principal.kind != "system"

    @staticmethod
    def _apart(user: User, roles: Iterable[str]) -> None:
        held = administrators(roles)
        if len(held) > 1:
            expected = "one administrator's role at most: system, security and audit are three people"
            raise InputError([Problem("role", user.login, " and ".join(held), expected)])

    def _record(self, action: str, target: str, tenant: str, detail: dict[str, str] | None = None) -> None:
        record(self._session, self._principal, action, target, "done", detail, tenant, self._at)


def _profile_problems(name: str, email: str) -> list[Problem]:
    problems = []
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        problems.append(Problem("user", "name", name, f"1 to {NAME_CHARS_MAX} printable characters"))
    if email and not (_EMAIL.fullmatch(email) and email.isprintable()):
        problems.append(Problem("user", "email", email, "an address such as anna@example.org, or nothing"))
    return problems


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InputError([Problem("role", "", role, f"one of {', '.join(sorted(ROLES))}")])
