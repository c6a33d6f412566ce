"""What data somebody may see: the sites of its tenant, and views granted of others'.

Rules:
1. A member of tenant `group` sees every site, a site without an owner among them.
2. Everybody else sees the sites that its tenant owns, and what is granted to it, until it expires.
3. A grant may be of points of a pattern only: `*` is any text, `?` any character, case counts.
4. Every view, query and export takes a `Scope`; one that has none shows nothing.

>>> scope = Scope(frozenset({"plant-a"}), {"plant-b": ("10LBA*",)})
>>> scope.sees("plant-a"), scope.sees("plant-b"), scope.sees("plant-c")
(True, True, False)
>>> scope.sees_point("plant-b", "10LBA10CT001"), scope.sees_point("plant-b", "20LBA10CT001")
(True, False)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy.orm import Session

from headquarters.db.base import now_us
from headquarters.tenancy.principal import GROUP, Principal
from headquarters.tenancy.store import Grant, Tenants


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody may see.

    Args:
        sites: Whole sites; `None`: the whole group.
        points: Of further sites, patterns of the points that may be seen.
    """

    sites: frozenset[str] | None
    points: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole group."""
        return self.sites is None

    def sees(self, site: str) -> bool:
        """Whether anything of a site may be seen."""
        return self.sites is None or site in self.sites or site in self.points

    def sees_whole(self, site: str) -> bool:
        """Whether everything of a site may be seen."""
        return self.sites is None or site in self.sites

    def sees_point(self, site: str, point: str) -> bool:
        """Whether a point of a site may be seen, by its name."""
        if self.sees_whole(site):
            return True
        return any(_compiled(pattern).fullmatch(point) for pattern in self.points.get(site, ()))


NOTHING = Scope(frozenset())
"""The scope of somebody of no tenant."""

EVERYTHING = Scope(None)
"""The scope of the group."""


def scope_of(session: Session, principal: Principal, at_us: int | None = None) -> Scope:
    """The scope of somebody.

    Args:
        session: A transaction of the metadata store.
        principal: Who.
        at_us: When, microseconds since 1970; `None`: now.
    """
    if principal.tenant == GROUP:
        return EVERYTHING
    tenants = Tenants(session)
    at = now_us() if at_us is None else at_us
    return combine(tenants.sites_of(principal.tenant), tenants.grants_to(principal.tenant), at)


def combine(owned: frozenset[str], grants: tuple[Grant, ...], at_us: int) -> Scope:
    """The scope of a tenant that owns sites and has grants.

    Args:
        owned: Its sites.
        grants: What it was granted, expired ones among them.
        at_us: When, microseconds since 1970.
    """
    valid = [grant for grant in grants if grant.expires_us is None or grant.expires_us > at_us]
    whole = owned | {grant.site for grant in valid if grant.points == "*"}
    points: dict[str, tuple[str, ...]] = {}
    for grant in valid:
        if grant.site not in whole:
            points[grant.site] = (*points.get(grant.site, ()), grant.points)
    return Scope(whole, points)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c) or re.escape(c) for c in pattern), re.DOTALL)
