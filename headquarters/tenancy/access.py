"""May somebody do something somewhere: pycasbin, with tenants as its domains.

Rules:
1. A role counts in its holder's own tenant; a role of the group counts in every tenant.
2. A permission of the group alone is asked of the group, whatever tenant is named.
3. A token may do what its owner may do now, and of that only what its scopes name.
4. The machine itself may do everything: who can write its files needs no door.

>>> anna = Principal("1", "anna", "user", "plant-a", frozenset({"operator"}))
>>> may(anna, "alarms:act"), may(anna, "alarms:act", "plant-b"), may(anna, "users:write")
(True, False, False)
"""

from __future__ import annotations

import threading
from functools import lru_cache

import casbin
from casbin.model import Model
from casbin.util import key_match

from headquarters.errors import DeniedError
from headquarters.tenancy.permissions import PERMISSIONS, ROLES
from headquarters.tenancy.principal import GROUP, Principal

_MODEL = """
[request_definition]
r = subject, tenant, permission

[policy_definition]
p = role, permission

[role_definition]
g = _, _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.permission == p.permission && g(r.subject, p.role, r.tenant)
"""

DECISIONS_MAX = 8192
"""Decisions remembered: 30 permissions of some hundred combinations of roles and tenants."""


def may(principal: Principal, permission: str, tenant: str | None = None) -> bool:
    """Whether somebody may do something.

    Args:
        principal: Who.
        permission: What, such as `users:write`.
        tenant: Where; `None`: in its own tenant, or in the group for what is of the group alone.

    Raises:
        KeyError: There is no such permission.
    """
    row = PERMISSIONS[permission]
    if principal.kind == "system":
        return True
    if principal.scopes is not None and permission not in principal.scopes:
        return False
    where = GROUP if row.group else tenant or principal.tenant
    return _decide(principal.roles, principal.tenant, where, permission)


def demand(principal: Principal, permission: str, tenant: str | None = None) -> None:
    """See that somebody may do something; arguments as of `may`.

    Raises:
        DeniedError: It may not.
    """
    if not may(principal, permission, tenant):
        where = GROUP if PERMISSIONS[permission].group else tenant or principal.tenant
        raise DeniedError(principal.name, permission, where)


def permissions_of(principal: Principal, tenant: str | None = None) -> frozenset[str]:
    """All that somebody may do in a tenant; arguments as of `may`."""
    return frozenset(name for name in PERMISSIONS if may(principal, name, tenant))


class _Casbin:
    """One enforcer; casbin's are not safe between threads."""

    def __init__(self) -> None:
        model = Model()
        model.load_model_from_text(_MODEL)
        self._lock = threading.Lock()
        self._enforcer = casbin.Enforcer(model)
        self._enforcer.add_named_domain_matching_func("g", key_match)
        self._enforcer.add_policies(
            [(name, permission) for name, role in ROLES.items() for permission in sorted(role.permissions)]
        )

    def decide(self, roles: frozenset[str], home: str, tenant: str, permission: str) -> bool:
        domain = "*" if home == GROUP else home
        held = [("who", role, domain) for role in sorted(roles)]
        with self._lock:
            self._enforcer.add_named_grouping_policies("g", held)
            try:
                return bool(self._enforcer.enforce("who", tenant, permission))
            finally:
                self._enforcer.remove_named_grouping_policies("g", held)


@lru_cache(maxsize=1)
def _casbin() -> _Casbin:
    return _Casbin()


@lru_cache(maxsize=DECISIONS_MAX)
def _decide(roles: frozenset[str], home: str, tenant: str, permission: str) -> bool:
    return bool(roles) and _casbin().decide(roles, home, tenant, permission)
