"""A platform of level 2 beside a hub: it is fed as headquarters is, and holds nobody up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import httpx

from headquarters.accounts import tokens
from headquarters.accounts.store import Users
from headquarters.config import load
from headquarters.db.base import now_us
from headquarters.db.engine import writing
from headquarters.lake.query import Engine
from headquarters.metadata import open_metadata
from headquarters.tenancy.permissions import ROLES
from headquarters.tenancy.principal import GROUP, machine
from scripts.demo.processes import finish, program
from tests.faults.enrolled import until
from tests.faults.river import Node, River, allow, change

ROWS = "SELECT gateway, name, unit, time, value::VARCHAR, text, quality FROM history ORDER BY ALL"
EVENTS = "SELECT gateway, stream, kind, time, detail FROM events ORDER BY ALL"
GAPS = "SELECT gateway, cause, t_from, t_to FROM gaps ORDER BY ALL"
WHOLE_S = 60.0
"""Longest wait for an answer of the API."""


def in_lake(platform: Node, sql: str) -> list[Any]:
    """What a platform's lake answers."""
    engine = Engine(platform.data / "lake")
    try:
        return list(engine.rows(sql)[1])
    finally:
        engine.close()


def rows(status: Mapping[str, Any]) -> int:
    """Rows of samples, as a platform's status has them."""
    return int(status["tables"]["samples"]["rows"])


def more(platform: Node, count: int) -> None:
    """Wait until a platform has so many rows more than now."""
    before = rows(platform.status())
    platform.wait(f"{count} rows more", lambda status: rows(status) >= before + count)


FEW = 3
"""Batches that may be under way where nothing waits."""


def waits_for(hub: Node, absent: Node, present: Node) -> None:
    """Wait until a hub keeps batches for one platform, while it owes the other one next to nothing."""

    def so(status: Mapping[str, Any]) -> bool:
        owed = {name: each["backlog"] for name, each in status["upstreams"].items()}
        return bool(owed[absent.name] > 2 * FEW and owed[present.name] <= FEW)

    hub.wait(f"batches kept for {absent.name}, and none for {present.name}", so)


def held(status: Mapping[str, Any], gateway: Node) -> int:
    """Batches of a gateway that a hub still holds."""
    return int(status["gateways"][gateway.name]["held"])


def test_headquarters_and_a_platform_of_level_2_have_the_same_rows_whichever_was_dark(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    region = river.platform(hub)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    allow(region, gateway)
    river.start()
    more(region, 200)

    region.kill()
    more(headquarters, 400)
    river.drained()
    waits_for(hub, absent=region, present=headquarters)
    hub.wait("all of it held", lambda status: held(status, gateway) > FEW)
    region.up()
    hub.wait("what the region has let go", lambda status: held(status, gateway) <= FEW)

    headquarters.kill()
    waits_for(hub, absent=headquarters, present=region)
    hub.wait("all of it held again", lambda status: held(status, gateway) > FEW)
    kept = "what headquarters has not signed for, whatever a region says"
    gateway.wait(kept, lambda status: status["backlog"]["batches"] > FEW)

    verdict = river.finish()
    assert river.judge(region).to_json() == verdict.to_json()
    for table in (ROWS, EVENTS, GAPS):
        assert in_lake(region, table) == in_lake(headquarters, table)
    assert ("trimmed",) not in in_lake(headquarters, "SELECT cause FROM gaps")
    assert {hub.name, gateway.name} <= {name for (name,) in in_lake(region, "SELECT gateway FROM ledger")}


def test_a_platform_that_the_hub_does_not_keep_for_declares_what_it_missed_and_goes_on(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    region = river.platform(hub)
    change(region.home / "headquarters.toml", "headquarters", hole_wait_s=1)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    allow(region, gateway)
    river.start()
    more(region, 100)
    region.kill()
    hub.kill()
    config = hub.home / "hub.toml"
    config.write_text(config.read_text().replace("keep = true", "keep = false"))
    hub.up()
    more(headquarters, 200)
    hub.wait("what headquarters has to go", lambda status: held(status, gateway) <= FEW)
    region.up()
    region.wait("a hole declared", lambda status: bool(region.logged("hole-accepted")))
    more(region, 100)
    river.finish()
    assert river.judge(region).in_gaps > 0
    missed = set(in_lake(headquarters, ROWS)) - set(in_lake(region, ROWS))
    assert missed and not set(in_lake(region, ROWS)) - set(in_lake(headquarters, ROWS))
    assert ("trimmed",) in in_lake(region, "SELECT cause FROM gaps")


def test_a_platform_that_joins_a_running_group_learns_the_names_of_what_it_gets(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    gateway.replaced("telling")
    river.start()
    more(headquarters, 200)
    hub.wait("what headquarters has to go", lambda status: held(status, gateway) <= FEW)
    hub.kill()
    region = river.platform(hub)
    change(region.home / "headquarters.toml", "headquarters", hole_wait_s=1)
    allow(region, gateway)
    river.start()
    more(region, 200)
    river.finish()
    river.judge(region)
    rows_there = in_lake(region, ROWS)
    assert rows_there and set(rows_there) < set(in_lake(headquarters, ROWS)), (
        "the names are those of the plant"
    )


def token(platform: Node) -> str:
    """A token of somebody who may do all that operators may."""
    engine = open_metadata(load(platform.home).data, None)
    try:
        with writing(engine) as session:
            user = Users(session).add(GROUP, "operator", "Operator", "", now_us())
            Users(session).give_role(user, "operator")
            wanted = ROLES["operator"].permissions
            return tokens.make(session, machine("tests"), "tests", wanted, 1, user=user).text
    finally:
        engine.dispose()


def test_a_platform_of_level_2_answers_api_and_sql_and_refuses_portal_and_control(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    region = river.platform(hub)
    with (region.home / "headquarters.toml").open("a", encoding="utf-8") as config:
        config.write('\n[web]\nbind = "127.0.0.1:0"\n')
    bearer = {"Authorization": f"Bearer {token(region)}"}
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    allow(region, gateway)
    river.start()
    more(region, 100)
    until(lambda: bool(region.logged("web-started")), "the web process")
    with httpx.Client(
        base_url=region.logged("web-started")[-1]["url"], headers=bearer, timeout=WHOLE_S
    ) as web:
        assert web.get("/api/v1/me").json()["level"] == 2
        assert [each["id"] for each in web.get("/api/v1/gateways").json()["items"]] == [gateway.name]
        asked = {"sql": "SELECT count(*) FROM samples", "wait_s": 20}
        answer = web.post("/api/v1/queries", json=asked).json()
        assert answer["state"] == "done", answer
        [[count]] = web.get(f"/api/v1/queries/{answer['id']}/result").json()["rows"]
        assert int(count) >= 100
        refused = web.post("/api/v1/alarms/actions", json={})
        assert refused.status_code == 403 and "level 2" in refused.json()["detail"]
        for page in ("/", "/sign-in", "/static/portal.css"):
            assert web.get(page).status_code == 404, page
    for platform in (headquarters, region):
        _, text = finish([program("catchment-hq"), "versions", "--home", str(platform.home), "--json"], (0,))
        [own] = [each for each in json.loads(text) if each["role"] == "hub"]
        assert own["node"] == hub.name and own["version"] == version("catchment")
    river.finish()


def test_a_platform_without_a_web_process_judges_its_alerts_itself(river: River) -> None:
    platform = river.headquarters("region")
    change(platform.home / "headquarters.toml", "headquarters", level=2)
    with (platform.home / "headquarters.toml").open("a", encoding="utf-8") as config:
        config.write("\n[alerts]\ninterval_s = 1\n")
    own = ("no-session", "--metric", "catchment_hq_sessions", "--below", "1", "--home", str(platform.home))
    finish([program("catchment-hq"), "alerts", "add", *own], (0,))
    platform.replaced("hasty")
    platform.up()
    until(lambda: bool(platform.logged("alert-fires")), "an alert")
    assert [each["rule"] for each in platform.logged("alert-fires")] == ["no-session"]
    platform.stop()
    _, text = finish(
        [program("catchment-hq"), "alerts", "list", "--json", "--home", str(platform.home)], (0,)
    )
    [fired] = json.loads(text)
    assert fired["rule"] == "no-session" and fired["resolved_us"] is None
    assert not platform.logged("alerts-failed")
