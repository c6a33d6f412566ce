"""Who may do what, where: every role against every permission, in every tenant."""

from __future__ import annotations

import itertools

import pytest

from headquarters.errors import DeniedError
from headquarters.tenancy import access
from headquarters.tenancy.permissions import ADMINISTRATORS, PERMISSIONS, ROLES, administrators, allowed
from headquarters.tenancy.principal import GROUP, Principal, machine
from headquarters.tenancy.scope import Scope, combine
from headquarters.tenancy.store import Grant

TENANTS = (GROUP, "plant-a", "plant-b")


def holder(tenant: str, *roles: str, scopes: frozenset[str] | None = None) -> Principal:
    return Principal("1", "anna", "user" if scopes is None else "token", tenant, frozenset(roles), scopes)


@pytest.mark.parametrize("home", TENANTS)
@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_counts_in_its_own_tenant_and_of_the_group_in_every_one(role: str, home: str) -> None:
    who = holder(home, role)
    for permission, where in itertools.product(PERMISSIONS, TENANTS):
        asked = GROUP if PERMISSIONS[permission].group else where
        expected = permission in ROLES[role].permissions and home in (GROUP, asked)
        assert access.may(who, permission, where) == expected, (permission, where)


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_without_a_role_nothing_may_be_done(permission: str) -> None:
    for home in TENANTS:
        assert not access.may(holder(home), permission)
        assert not access.may(holder(home, "owner-of-everything"), permission)
        with pytest.raises(DeniedError, match=permission):
            access.demand(holder(home), permission)


def test_a_token_may_only_do_what_its_scopes_name_and_its_owner_may() -> None:
    everything = frozenset(PERMISSIONS)
    for role in ROLES:
        assert access.permissions_of(holder(GROUP, role, scopes=everything)) == allowed(role)
        assert access.permissions_of(holder(GROUP, role, scopes=frozenset())) == frozenset()
    one = holder(GROUP, "engineer", scopes=frozenset({"samples:read", "users:write"}))
    assert access.permissions_of(one) == {"samples:read"}


def test_the_machine_may_do_everything() -> None:
    assert access.permissions_of(machine("root")) == frozenset(PERMISSIONS)


def test_a_permission_that_does_not_exist_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        access.may(machine("root"), "users:eat")


def test_the_administrators_share_nothing_by_which_one_could_become_another() -> None:
    system, security, audit = (
        ROLES[f"{each}-administrator"].permissions for each in ("system", "security", "audit")
    )
    assert "users:write" in system and "users:write" not in security | audit
    assert "roles:write" in security and "roles:write" not in system | audit
    assert audit == {"audit:read"} and "audit:read" not in system | security
    others = [role for name, role in ROLES.items() if name not in ADMINISTRATORS]
    powers = {"users:write", "roles:write", "audit:read", "tokens:write", "tenants:write", "backups:run"}
    assert not powers & frozenset().union(*(role.permissions for role in others))
    assert administrators(ROLES) == tuple(sorted(ADMINISTRATORS))


def test_permissions_and_roles_are_told_in_both_languages() -> None:
    told = [(row.en, row.zh) for row in PERMISSIONS.values()] + [(row.en, row.zh) for row in ROLES.values()]
    for en, zh in told:
        assert en and en.isascii()
        assert any("\u4e00" <= c <= "\u9fff" for c in zh)


@pytest.mark.parametrize(
    ("pattern", "point", "seen"),
    [
        ("10LBA*", "10LBA10CT001", True),
        ("10LBA*", "10lba10CT001", False),
        ("10LBA*", "X10LBA10", False),
        ("10LBA??", "10LBA10", True),
        ("10LBA??", "10LBA1", False),
        ("a.c", "abc", False),
        ("*", "给水\n流量", True),
        ("[ab]", "a", False),
        ("a", "a\n", False),
    ],
)
def test_patterns_of_points(pattern: str, point: str, seen: bool) -> None:
    scope = combine(frozenset(), (Grant("1", "plant-a", "east", pattern, None, "root", 0),), 1)
    assert Scope(scope.sites, {"east": (pattern,)}).sees_point("east", point) == seen
    assert not scope.sees_point("west", point)
