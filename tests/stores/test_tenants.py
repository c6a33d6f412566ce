"""Tenants, what they own and see, and their quotas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from headquarters.accounts.organisations import Organisations
from headquarters.accounts.principals import principal_of
from headquarters.db.engine import reading, writing
from headquarters.errors import DeniedError, QuotaError
from headquarters.tenancy.meter import Meter
from headquarters.tenancy.principal import GROUP
from headquarters.tenancy.quota import DAY_US
from headquarters.tenancy.scope import EVERYTHING, Scope, scope_of
from headquarters.tenancy.store import Tenants
from headquarters.tenancy.usage import Quotas, demand_room
from protocols.errors import InputError
from tests.stores.people_parts import NOW_US, ROOT, acting, make_tenant, make_user


def test_a_tenant_sees_what_it_owns_and_what_it_was_granted(engine: Engine) -> None:
    with writing(engine) as session:
        organisations = Organisations(session, ROOT, NOW_US)
        organisations.add("plant-a", "Plant A")
        organisations.add("plant-b", "Plant B")
        organisations.own("plant-a", ["north", "south"])
        organisations.own("plant-b", ["east", "west"])
        organisations.grant("plant-a", "east", "10LBA*", None)
        organisations.grant("plant-a", "east", "10LBB?", NOW_US + 10)
        whole = organisations.grant("plant-a", "west", "*", NOW_US + 10)
    anna = acting(engine, make_user(engine, "anna", "viewer", tenant="plant-a"))
    owned = frozenset({"north", "south"})
    with reading(engine) as session:
        assert scope_of(session, anna, NOW_US) == Scope(owned | {"west"}, {"east": ("10LBA*", "10LBB?")})
        assert scope_of(session, anna, NOW_US + 10) == Scope(owned, {"east": ("10LBA*",)})
        assert scope_of(session, ROOT) == EVERYTHING
    with writing(engine) as session:
        Organisations(session, ROOT).take_back(whole)
        Organisations(session, ROOT).disown("south")
    with reading(engine) as session:
        assert scope_of(session, anna, NOW_US).sites == frozenset({"north"})
        assert Tenants(session).owners() == {"north": "plant-a", "east": "plant-b", "west": "plant-b"}


def test_a_site_has_one_owner(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    make_tenant(engine, "plant-b")
    with writing(engine) as session:
        Organisations(session, ROOT).own("plant-a", ["north"])
        Organisations(session, ROOT).own("plant-b", ["north"])
        tenants = Tenants(session)
        assert (tenants.sites_of("plant-a"), tenants.owner_of("north")) == (frozenset(), "plant-b")


def test_a_grant_of_the_same_points_takes_the_new_terms(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    with writing(engine) as session:
        organisations = Organisations(session, ROOT, NOW_US)
        first = organisations.grant("plant-a", "east", "*", NOW_US + 1)
        assert organisations.grant("plant-a", "east", "*", None) == first
        assert [grant.expires_us for grant in Tenants(session).grants_of("east")] == [None]


@pytest.mark.parametrize(
    ("site", "points", "expires_us", "expected"),
    [
        ("north", "*", None, "does not own"),
        ("East!", "*", None, "a site such as"),
        ("east", "", None, "names with"),
        ("east", "10[A-Z]", None, "names with"),
        ("east", "10'; drop", None, "names with"),
        ("east", "*", NOW_US, "an instant to come"),
    ],
)
def test_wrong_grants_are_refused(
    engine: Engine, site: str, points: str, expires_us: int | None, expected: str
) -> None:
    make_tenant(engine, "plant-a")
    with writing(engine) as session:
        Organisations(session, ROOT).own("plant-a", ["north"])
    with pytest.raises(InputError, match=expected), writing(engine) as session:
        Organisations(session, ROOT, NOW_US).grant("plant-a", site, points, expires_us)


def test_a_disabled_tenants_members_are_nobody(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    anna = make_user(engine, "anna", "viewer", tenant="plant-a")
    for disabled in (True, False):
        with writing(engine) as session:
            Organisations(session, ROOT).set_disabled("plant-a", disabled)
        with reading(engine) as session:
            assert (principal_of(session, anna.id) is None) == disabled
    with pytest.raises(InputError, match="the group itself"), writing(engine) as session:
        Organisations(session, ROOT).set_disabled(GROUP, True)


def test_tenants_are_the_groups_affair(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    local = acting(engine, make_user(engine, "local", "system-administrator", tenant="plant-a"))
    acts: tuple[Callable[[Organisations], object], ...] = (
        lambda it: it.add("plant-c", "C"),
        lambda it: it.own("plant-a", ["east"]),
        lambda it: it.grant("plant-a", "east", "*", None),
        lambda it: it.set_quota("plant-a", "queries", 10**9),
        lambda it: it.rename("plant-a", "A"),
        lambda it: it.disown("east"),
        lambda it: it.take_back("1"),
    )
    for act in acts:
        with pytest.raises(DeniedError), writing(engine) as session:
            act(Organisations(session, local))


def test_a_quota_is_charged_until_it_is_used_up_and_begins_anew_each_day(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    with writing(engine) as session:
        Organisations(session, ROOT).set_quota("plant-a", "queries", 3)
    for _ in range(3):
        with writing(engine) as session:
            Quotas(session).charge("plant-a", "queries", 1, NOW_US)
    with pytest.raises(QuotaError, match="3 queries"), writing(engine) as session:
        Quotas(session).charge("plant-a", "queries", 1, NOW_US)
    with writing(engine) as session:
        assert Quotas(session).usage("plant-a", NOW_US)["queries"] == 3
        Quotas(session).charge("plant-a", "queries", 2, NOW_US + DAY_US)
        assert Quotas(session).usage("plant-a", NOW_US + DAY_US)["queries"] == 2
        Quotas(session).charge(GROUP, "queries", 10**9, NOW_US)  # no quota, no bound


def test_what_is_given_back_makes_room_and_what_is_measured_counts(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    with writing(engine) as session:
        quotas = Quotas(session)
        quotas.set("plant-a", "jobs", 1)
        quotas.set("plant-a", "storage", 100)
        quotas.charge("plant-a", "jobs", 1, NOW_US)
        with pytest.raises(QuotaError):
            quotas.charge("plant-a", "jobs", 1, NOW_US)
        quotas.release("plant-a", "jobs", 1)
        quotas.charge("plant-a", "jobs", 1, NOW_US)
        quotas.measure("plant-a", "storage", 150)
        with pytest.raises(QuotaError, match="150 used"):
            quotas.charge("plant-a", "storage", 0, NOW_US)
        quotas.set("plant-a", "storage", None)
        quotas.charge("plant-a", "storage", 1, NOW_US)
        assert quotas.limits("plant-a") == {"jobs": 1}


def test_a_new_meter_begins_without_jobs_and_what_ends_is_given_back_however_it_ends(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    meter = Meter(engine)

    def jobs() -> int:
        with reading(engine) as session:
            return Quotas(session).usage("plant-a", NOW_US)["jobs"]

    def failing() -> Iterator[int]:
        raise InputError([])

    meter.charge("plant-a", jobs=1)
    meter = Meter(engine)
    assert jobs() == 0, "those of the process before have ended"
    with writing(engine) as session:
        Quotas(session).set("plant-a", "jobs", 2)
    assert list(meter.as_job("plant-a", lambda: iter((1, 2)))) == [1, 2]
    with pytest.raises(InputError):
        meter.as_job("plant-a", failing)
    assert jobs() == 0
    held = [meter.as_job("plant-a", lambda: iter((1, 2))) for _ in range(2)]
    with pytest.raises(QuotaError, match="2 jobs"):
        meter.as_job("plant-a", failing)  # which is not even begun
    assert jobs() == 2
    assert next(held[0]) == 1
    held.clear()
    assert jobs() == 0, "whoever goes away holds nothing"


def test_a_charge_of_several_things_is_whole_or_none(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    with writing(engine) as session:
        Quotas(session).set("plant-a", "jobs", 0)
    with pytest.raises(QuotaError):
        Meter(engine).charge("plant-a", queries=1, jobs=1)
    with reading(engine) as session:
        assert Quotas(session).usage("plant-a", NOW_US)["queries"] == 0


def test_a_site_has_room_while_its_tenant_is_within_its_storage(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    with writing(engine) as session:
        Organisations(session, ROOT).own("plant-a", ["north"])
        Organisations(session, ROOT).set_quota("plant-a", "storage", 100)
        Quotas(session).measure("plant-a", "storage", 99)
        demand_room(session, "north", NOW_US)
        Quotas(session).measure("plant-a", "storage", 100)
        demand_room(session, "south", NOW_US)  # nobody's
        with pytest.raises(QuotaError, match="100 storage"):
            demand_room(session, "north", NOW_US)


def test_many_who_charge_at_once_never_go_over(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    with writing(engine) as session:
        Quotas(session).set("plant-a", "jobs", 5)
    refused = []

    def charge() -> None:
        try:
            with writing(engine) as session:
                Quotas(session).charge("plant-a", "jobs", 1, NOW_US)
        except QuotaError as error:
            refused.append(error)

    threads = [threading.Thread(target=charge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        assert (Quotas(session).usage("plant-a", NOW_US)["jobs"], len(refused)) == (5, 3)
