"""Users, groups and roles: three administrators apart, whichever way a role would come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from headquarters.accounts.people import People
from headquarters.accounts.store import Groups, User, Users
from headquarters.audit.store import Audit, Filter
from headquarters.db.engine import reading, writing
from headquarters.errors import ConflictError, DeniedError
from headquarters.tenancy.permissions import ADMINISTRATORS
from headquarters.tenancy.principal import GROUP, Principal
from protocols.errors import InputError
from tests.stores.people_parts import NOW_US, ROOT, acting, make_tenant, make_user


def give(engine: Engine, user: User, role: str, by: Principal = ROOT) -> None:
    with writing(engine) as session:
        People(session, by, NOW_US).give_role(user.id, role)


def roles(engine: Engine, user: User) -> frozenset[str]:
    with reading(engine) as session:
        return Users(session).roles(user.id)


def test_a_user_has_its_own_roles_and_those_of_its_groups(engine: Engine) -> None:
    anna = make_user(engine, "anna", "operator")
    with writing(engine) as session:
        people = People(session, ROOT)
        shift = people.add_group(GROUP, "shift")
        people.join(shift.id, anna.id)
        people.give_group_role(shift.id, "engineer")
    assert roles(engine, anna) == {"operator", "engineer"}
    with writing(engine) as session:
        people = People(session, ROOT)
        assert [user.login for user in people.members_of(shift.id)] == ["anna"]
        people.leave(shift.id, anna.id)
    assert roles(engine, anna) == {"operator"}


@pytest.mark.parametrize("first", sorted(ADMINISTRATORS))
@pytest.mark.parametrize("second", sorted(ADMINISTRATORS))
def test_no_one_holds_two_administrators_whichever_way(engine: Engine, first: str, second: str) -> None:
    if first == second:
        return
    anna = make_user(engine, "anna", first)
    with writing(engine) as session:
        group = People(session, ROOT).add_group(GROUP, "deputies")
    with pytest.raises(InputError, match="three people"):
        give(engine, anna, second)
    with writing(engine) as session:
        People(session, ROOT).join(group.id, anna.id)
    with pytest.raises(InputError, match="three people"), writing(engine) as session:
        People(session, ROOT).give_group_role(group.id, second)
    with writing(engine) as session:
        people = People(session, ROOT)
        people.leave(group.id, anna.id)
        people.give_group_role(group.id, second)
    with pytest.raises(InputError, match="three people"), writing(engine) as session:
        People(session, ROOT).join(group.id, anna.id)
    assert roles(engine, anna) == {first}


def test_who_makes_accounts_gives_no_roles_and_the_other_way_round(engine: Engine) -> None:
    system = acting(engine, make_user(engine, "sys", "system-administrator"))
    security = acting(engine, make_user(engine, "sec", "security-administrator"))
    with writing(engine) as session:
        ben = People(session, system).add(GROUP, "ben", "Ben")
    with pytest.raises(DeniedError, match="roles:write"):
        give(engine, ben, "viewer", system)
    give(engine, ben, "viewer", security)
    with pytest.raises(DeniedError, match="users:write"), writing(engine) as session:
        People(session, security).add(GROUP, "eve", "Eve")


def test_nobody_gives_roles_to_oneself_nor_through_a_group(engine: Engine) -> None:
    user = make_user(engine, "sec", "security-administrator")
    security = acting(engine, user)
    with pytest.raises(DeniedError):
        give(engine, user, "engineer", security)
    with writing(engine) as session:
        group = People(session, ROOT).add_group(GROUP, "engineers")
        People(session, ROOT).give_group_role(group.id, "engineer")
    with pytest.raises(DeniedError), writing(engine) as session:
        People(session, security).join(group.id, user.id)
    with writing(engine) as session:
        People(session, ROOT).join(group.id, user.id)
        empty = People(session, ROOT).add_group(GROUP, "empty")
        People(session, ROOT).join(empty.id, user.id)
    with pytest.raises(DeniedError), writing(engine) as session:
        People(session, security).give_group_role(empty.id, "operator")


def test_nobody_walks_in_as_another_administrator_by_a_link(engine: Engine) -> None:
    system = acting(engine, make_user(engine, "sys", "system-administrator"))
    auditor = make_user(engine, "aud", "audit-administrator")
    viewer = make_user(engine, "eye", "viewer")
    with writing(engine) as session:
        assert len(People(session, system).link(viewer.id)) >= 43
    with pytest.raises(DeniedError), writing(engine) as session:
        People(session, system).link(auditor.id)


def test_a_tenants_administrator_reaches_its_own_tenant_only(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    make_tenant(engine, "plant-b")
    local = acting(engine, make_user(engine, "local", "system-administrator", tenant="plant-a"))
    other = make_user(engine, "other", tenant="plant-b")
    with writing(engine) as session:
        people = People(session, local)
        people.add("plant-a", "ben", "Ben")
        assert [user.login for user in people.users()] == ["ben", "local"]
    acts: tuple[Callable[[People], object], ...] = (
        lambda people: people.add("plant-b", "eve", "Eve"),
        lambda people: people.add(GROUP, "eve", "Eve"),
        lambda people: people.users("plant-b"),
        lambda people: people.set_disabled(other.id, True),
        lambda people: people.link(other.id),
    )
    for act in acts:
        with pytest.raises(DeniedError), writing(engine) as session:
            act(People(session, local))
    with pytest.raises(InputError), reading(engine) as session:
        People(session, local).get(other.id)


def test_members_and_groups_are_of_one_tenant(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    anna = make_user(engine, "anna", tenant="plant-a")
    with writing(engine) as session:
        group = People(session, ROOT).add_group(GROUP, "all")
    with pytest.raises(InputError, match="a user of group"), writing(engine) as session:
        People(session, ROOT).join(group.id, anna.id)


@pytest.mark.parametrize(
    ("login", "name", "email", "expected"),
    [
        ("Anna", "Anna", "", "lower-case"),
        ("", "Anna", "", "lower-case"),
        ("anna\0", "Anna", "", "lower-case"),
        ("taken", "Anna", "", "nobody has yet"),
        ("anna", "", "", "printable"),
        ("anna", "A\nB", "", "printable"),
        ("anna", "Anna", "no address", "an address"),
    ],
)
def test_wrong_users_are_refused_with_their_remedy(
    engine: Engine, login: str, name: str, email: str, expected: str
) -> None:
    make_user(engine, "taken")
    with pytest.raises(InputError, match=expected), writing(engine) as session:
        People(session, ROOT).add(GROUP, login, name, email)


def test_two_who_make_the_same_login_at_once_make_one(engine: Engine) -> None:
    make_user(engine, "anna")
    with pytest.raises(ConflictError), writing(engine) as session:
        Users(session).add(GROUP, "anna", "Anna", "", NOW_US)


def test_a_group_goes_when_it_has_no_roles_any_more(engine: Engine) -> None:
    with writing(engine) as session:
        people = People(session, ROOT)
        group = people.add_group(GROUP, "shift")
        people.give_group_role(group.id, "viewer")
    with pytest.raises(InputError, match="without roles"), writing(engine) as session:
        People(session, ROOT).remove_group(group.id)
    with writing(engine) as session:
        people = People(session, ROOT)
        people.take_group_role(group.id, "viewer")
        people.remove_group(group.id)
        assert Groups(session).all() == []


def test_each_act_is_in_the_audit_of_the_tenant_it_was_done_to(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    anna = make_user(engine, "anna", "viewer", tenant="plant-a")
    with writing(engine) as session:
        people = People(session, ROOT)
        people.set_profile(anna.id, "Anna Li", "anna@example.org", "zh")
        people.set_disabled(anna.id, True)
        people.set_disabled(anna.id, False)
        people.unlock(anna.id)
        people.link(anna.id)
        people.take_role(anna.id, "viewer")
    with reading(engine) as session:
        entries = Audit(session).page(Filter(tenant="plant-a", target="anna"))
        found = Users(session).get(anna.id)
    assert [entry.content.action for entry in reversed(entries)] == [
        "users.add",
        "roles.give",
        "users.profile",
        "users.disable",
        "users.enable",
        "users.unlock",
        "users.link",
        "roles.take",
    ]
    assert found is not None
    assert (found.name, found.email, found.language) == ("Anna Li", "anna@example.org", "zh")
