"""What administrators do to tenants: checked, done and recorded in one transaction.

Rules:
1. Tenants, their sites, views and quotas are the group's affair (`tenants:write`).
2. A tenant is never removed: what it owned and did stays somebody's.
3. The tenant that is the group can neither own a site nor be disabled: it sees everything as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session

from headquarters.accounts.credentials import UserSessions
from headquarters.accounts.store import Users
from headquarters.audit.trail import record
from headquarters.db.base import now_us
from headquarters.tenancy import access
from headquarters.tenancy.principal import GROUP, Principal
from headquarters.tenancy.quota import THINGS
from headquarters.tenancy.store import Tenant, Tenants
from headquarters.tenancy.usage import Quotas
from protocols.batch import is_name
from protocols.errors import InputError, Problem

NAME_CHARS_MAX = 80
QUOTA_MAX = 1 << 60
_PATTERN = re.compile(r"[^\[\]\\'\"%\x00-\x1f]{1,100}")


class Organisations:
    """Tenants, as somebody administers them within one transaction.

    Args:
        session: A transaction that writes.
        principal: Who does it.
        at_us: When; `None`: now.
    """

    def __init__(self, session: Session, principal: Principal, at_us: int | None = None) -> None:
        self._session = session
        self._principal = principal
        self._at = now_us() if at_us is None else at_us
        self._tenants = Tenants(session)

    def add(self, id: str, name: str) -> Tenant:
        """Make a tenant.

        Raises:
            DeniedError, InputError, ConflictError: It may not, or cannot be.
        """
        access.demand(self._principal, "tenants:write")
        problems = _name_problems(name)
        if not is_name(id) or len(id) > 40:
            expected = "lower-case letters, digits, '-', '_' or '.', at most 40, such as plant-a"
            problems.append(Problem("tenant", "id", id, expected))
        elif self._tenants.get(id) is not None:
            problems.append(Problem("tenant", "id", id, "an id that no tenant has yet"))
        if problems:
            raise InputError(problems)
        self._tenants.add(id, name, self._at)
        self._record("tenants.add", id, {"name": name})
        return Tenant(id, name, False, self._at)

    def rename(self, id: str, name: str) -> None:
        """Give a tenant another name for people.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        self._known(id)
        problems = _name_problems(name)
        if problems:
            raise InputError(problems)
        self._tenants.rename(id, name)
        self._record("tenants.rename", id, {"name": name})

    def set_disabled(self, id: str, disabled: bool) -> None:
        """Keep all members of a tenant out at once, or let them in again.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        self._known(id)
        _not_group(id)
        self._tenants.set_disabled(id, disabled)
        if disabled:
            for user in Users(self._session).all(id):
                UserSessions(self._session).end_all(user.id)
        self._record("tenants.disable" if disabled else "tenants.enable", id)

    def own(self, id: str, sites: Iterable[str]) -> None:
        """Give sites to a tenant; they are no longer another's.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        self._known(id)
        _not_group(id)
        for site in _sites(sites):
            before = self._tenants.owner_of(site)
            self._tenants.own(site, id, self._at)
            self._record("tenants.own", id, {"site": site, "before": before})

    def disown(self, site: str, of: str | None = None) -> None:
        """Leave a site to the group alone.

        Args:
            site: Which.
            of: The tenant that is believed to own it; `None`: whoever does.

        Raises:
            DeniedError, InputError: It may not, or no tenant, or another one, owns it.
        """
        access.demand(self._principal, "tenants:write")
        owner = self._tenants.owner_of(site)
        if owner is None or of not in (None, owner):
            expected = "a site that a tenant owns" if of is None else f"a site that {of} owns"
            raise InputError([Problem("tenant", "site", site, expected)])
        self._tenants.disown(site)
        self._record("tenants.disown", owner, {"site": site})

    def grant(self, id: str, site: str, points: str, expires_us: int | None) -> str:
        """Grant a tenant a view of a site that it does not own.

        Args:
            id: Of the tenant.
            site: What it may see.
            points: A pattern of point names; `*` is all of the site.
            expires_us: Until when; `None`: until it is taken back.

        Returns:
            The grant's id.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        self._known(id)
        _not_group(id)
        (site,) = _sites([site])
        problems = []
        if self._tenants.owner_of(site) == id:
            problems.append(Problem("grant", "site", site, f"a site that {id} does not own"))
        if not _PATTERN.fullmatch(points):
            expected = "names with * for any text and ? for any character, such as 10LBA*"
            problems.append(Problem("grant", "points", points, expected))
        if expires_us is not None and expires_us <= self._at:
            problems.append(Problem("grant", "expires", str(expires_us), "an instant to come"))
        if problems:
            raise InputError(problems)
        by = self._principal.name
        grant = self._tenants.grant(id, site, points, expires_us, by, self._at)
        self._record("tenants.grant", id, {"site": site, "points": points, "expires_us": expires_us})
        return grant

    def take_back(self, grant: str, of: str | None = None) -> None:
        """Take a grant back.

        Args:
            grant: Its id.
            of: The tenant that is believed to have it; `None`: whoever has.

        Raises:
            DeniedError, InputError: It may not, or there is none.
        """
        access.demand(self._principal, "tenants:write")
        found = self._tenants.take_back(grant)
        if found is None or of not in (None, found.tenant):  # the transaction ends with the error
            raise InputError([Problem("grant", "id", grant, "a grant; see: catchment-hq tenants list")])
        self._record("tenants.take-back", found.tenant, {"site": found.site, "points": found.points})

    def set_quota(self, id: str, thing: str, most: int | None) -> None:
        """Set how much a tenant may use; `None`: as much as there is.

        Raises:
            DeniedError, InputError: It may not, or cannot be.
        """
        self._known(id)
        problems = []
        if thing not in THINGS:
            problems.append(Problem("quota", "thing", thing, f"one of {', '.join(THINGS)}"))
        if most is not None and not 0 <= most <= QUOTA_MAX:
            problems.append(Problem("quota", thing, str(most), "a number, 0 or more"))
        if problems:
            raise InputError(problems)
        Quotas(self._session).set(id, thing, most)
        self._record("tenants.quota", id, {"thing": thing, "most": most})

    def _known(self, id: str) -> Tenant:
        access.demand(self._principal, "tenants:write")
        tenant = self._tenants.get(id)
        if tenant is None:
            raise InputError([Problem("tenant", "id", id, "a tenant; see: catchment-hq tenants list")])
        return tenant

    def _record(self, action: str, tenant: str, detail: dict[str, Any] | None = None) -> None:
        record(self._session, self._principal, action, tenant, "done", detail, tenant, self._at)


def _not_group(id: str) -> None:
    if id == GROUP:
        expected = "another tenant: the group itself sees every site, and is always let in"
        raise InputError([Problem("tenant", "id", id, expected)])


def _sites(sites: Iterable[str]) -> list[str]:
    found = list(sites)
    problems = [
        Problem("tenant", "site", site, "a site such as plant-a") for site in found if not is_name(site)
    ]
    if problems:
        raise InputError(problems)
    return found


def _name_problems(name: str) -> list[Problem]:
    if 1 <= len(name) <= NAME_CHARS_MAX and name.isprintable():
        return []
    return [Problem("tenant", "name", name, f"1 to {NAME_CHARS_MAX} printable characters")]
