"""The access matrix: every route, asked by nobody and by every role of every tenant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from headquarters.api.app import routes
from headquarters.api.context import PUBLIC, Needs
from headquarters.levels import CONTROL
from headquarters.tenancy.permissions import PERMISSIONS, ROLES
from headquarters.tenancy.principal import GROUP
from tests.web.house import TENANTS, House, asked

OTHERS = ("unit-1", "plant-a")
"""What members of plant-b must never be told."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.close()


def methods(route: APIRoute) -> set[str]:
    assert route.methods
    return route.methods


def permission_of(route: APIRoute) -> Needs | None:
    """What a route declares."""
    found = [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)]
    assert len(found) <= 1, route.path
    return found[0] if found else None


def fitting(house: House, path: str) -> tuple[str, dict[str, Any]]:
    """A path of plant-a's things for a route, and its query."""
    known = {
        "gateway": "unit-1",
        "node": "unit-1",
        "rollout": "none",
        "number": "1",
        "table": "samples",
        "series": str(house.series("unit-1/10LBA10CT001")),
    }
    query = {"series": known["series"], "from": "0", "to": "7000000000000000"}
    query = {name: value for name, value in query.items() if "{" + name + "}" not in path}
    return re.sub(r"\{(\w+)\}", lambda name: known.get(name[1], "none"), path), query


def test_every_route_names_its_permission(house: House) -> None:
    assert len(routes(house.app)) > 35
    for full, route in routes(house.app):
        needs = permission_of(route)
        if needs is None:
            assert (min(methods(route)), full) in PUBLIC, full
        else:
            assert needs.permission is None or needs.permission in PERMISSIONS, full


def test_what_changes_gateways_is_of_level_1(house: House) -> None:
    changing = {
        needs.permission
        for _, route in routes(house.app)
        if (needs := permission_of(route)) is not None
        and methods(route) & {"POST", "PATCH", "PUT", "DELETE"}
        and route.tags != ["accounts"]
        and route.tags not in (["queries"], ["operations"])
    }
    assert changing <= CONTROL


def test_nobody_gets_in_without_a_session_or_a_token(house: House) -> None:
    with house.client(None) as client:
        for full, route in routes(house.app):
            if permission_of(route) is None:
                continue
            path, query = fitting(house, full)
            for headers in ({}, {"Authorization": "Bearer cat_no"}, {"Cookie": "catchment=no"}):
                for method in methods(route):
                    answer = client.request(method, path, params=query, headers=headers)
                    assert answer.status_code == 401, (method, path)
                    assert not any(word in answer.text for word in ("unit-2", "plant-b", "10LBA"))


@pytest.mark.parametrize("tenant", (GROUP, *TENANTS))
@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_what_it_may_and_nothing_of_others(house: House, tenant: str, role: str) -> None:
    allowed = ROLES[role].permissions
    with house.client(tenant, role) as client:
        for full, route in routes(house.app):
            needs = permission_of(route)
            if needs is None:
                continue
            permission = needs.permission
            may = permission is None or (
                permission in allowed and (tenant == GROUP or not PERMISSIONS[permission].group)
            )
            path, query = fitting(house, full)
            for method in methods(route):
                answer = client.request(method, path, params=query, json={})
                assert answer.status_code < 500, (method, path, answer.text)
                denied = answer.status_code == 403
                assert denied is not may, (method, path, answer.status_code, answer.text)
                if full.endswith("/audit") and may:  # it holds what members asked for, and were denied
                    items = answer.json()["items"]
                    assert tenant == GROUP or {item["tenant"] for item in items} <= {tenant}
                elif tenant == "plant-b":
                    told = answer.text.replace(path, "").replace(f"'{path.rpartition('/')[2]}'", "")
                    told = told.replace("'unit-1'", "")  # its own question, said back
                    assert not any(word in told for word in OTHERS), (method, path, told)


def test_a_denied_access_is_audited_with_what_it_asked_for(house: House) -> None:
    before = len(house.audited())
    with house.client("plant-a", "viewer") as client:
        answer = client.post("/api/v1/gateways/unit-1/revoke", json={"why": "no"})
    found = asked(answer, 403)
    assert found["permission"] == "gateways:revoke"
    [entry] = house.audited()[before:]
    assert (entry.content.action, entry.content.outcome) == ("gateways:revoke", "denied")
    assert entry.content.target == "POST /api/v1/gateways/unit-1/revoke"
    assert entry.content.actor_name == "plant-a.viewer"


def test_a_token_does_what_its_scopes_name_and_its_owner_may(house: House) -> None:
    text = house.token("plant-a", "operator", frozenset({"points:read"}))
    with house.client(None) as client:
        client.headers["Authorization"] = f"Bearer {text}"
        assert asked(client.get("/api/v1/points"))["items"]
        asked(client.get("/api/v1/gateways"), 403)
        assert asked(client.get("/api/v1/me"))["permissions"] == ["points:read"]


def test_a_change_with_a_cookie_needs_the_csrf_token_and_a_page_of_ours(house: House) -> None:
    change = {"gateway": "unit-1", "verb": "ack", "alarms": ["steam/unit/high"]}
    with house.client("plant-a") as client:
        good = client.headers["X-CSRF-Token"]
        for token in ("", "x", good[:-2] + "AA", good.swapcase()):
            answer = client.post("/api/v1/alarms/actions", json=change, headers={"X-CSRF-Token": token})
            assert asked(answer, 403)["type"].endswith(":refused")
        for site in ("cross-site", "same-site"):
            answer = client.post("/api/v1/alarms/actions", json=change, headers={"Sec-Fetch-Site": site})
            asked(answer, 403)
        asked(client.post("/api/v1/alarms/actions", json=change), 202)
        with house.client("plant-a", "engineer") as other:
            answer = other.post("/api/v1/alarms/actions", json=change, headers={"X-CSRF-Token": good})
            asked(answer, 403)


def test_a_tenant_acts_on_its_own_gateways_only(house: House) -> None:
    change = {"verb": "ack", "alarms": ["steam/unit/high"]}
    with house.client("plant-b") as client:
        asked(client.post("/api/v1/alarms/actions", json={**change, "gateway": "unit-1"}), 404)
        sent = asked(client.post("/api/v1/alarms/actions", json={**change, "gateway": "unit-2"}), 202)
    with house.client("plant-a") as client:
        asked(client.get(f"/api/v1/commands/{sent['number']}"), 404)
        asked(client.post(f"/api/v1/commands/{sent['number']}/cancel"), 404)
        assert sent["number"] not in [each["number"] for each in asked(client.get("/api/v1/commands"))]


def test_a_platform_of_level_2_changes_no_gateway(tmp_path_factory: pytest.TempPathFactory) -> None:
    house = House(tmp_path_factory.mktemp("level2"))
    try:
        house.context.level = 2
        with house.client() as client:
            asked(client.get("/api/v1/overview"))
            answer = client.post("/api/v1/alarms/actions", json={})
            assert "level 2" in asked(answer, 403)["detail"]
    finally:
        house.close()
