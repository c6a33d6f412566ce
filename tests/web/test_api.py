"""The API's contract, over the small lake of two plants: answers, errors, paging, keys, limits, streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from headquarters.accounts.store import Users
from headquarters.api import headers
from headquarters.api.app import examples, routes
from headquarters.api.forms import TIME_US_MAX
from headquarters.api.ratelimit import RateLimiter
from headquarters.api.routes import live
from headquarters.db.engine import reading, writing
from headquarters.ingest.rows import chunk
from headquarters.latest import Directory, LatestServer, LatestValues
from headquarters.operations import usage
from headquarters.operations.signals import SIGNALS, measure
from headquarters.portal.pages import live as pages_live
from headquarters.security.registry import FILE, Registry
from headquarters.tenancy.principal import GROUP
from headquarters.tenancy.store import Tenants
from headquarters.tenancy.usage import Quotas
from protocols.daemon import EventLog, Stop
from protocols.desired import Item, ItemKind
from protocols.errors import StoreError
from protocols.identity import Identity
from protocols.metrics import render
from tests.lake_parts import NOW, T0, scan
from tests.web.doors import Doors
from tests.web.house import TENANTS, House, asked
from tests.web.plants import alarm

API = "/api/v1"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.close()


@pytest.fixture
def own_house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_the_schema_describes_every_route_with_an_example_that_fits(house: House) -> None:
    with house.client(None) as client:
        schema = asked(client.get(f"{API}/openapi.json"))
    operations = {
        operation["operationId"]: operation
        for path in schema["paths"].values()
        for operation in path.values()
    }
    described = {route.name: route for _, route in routes(house.app)}
    assert operations.keys() == described.keys()
    for name, route in described.items():
        operation = operations[name]
        assert len(operation["summary"]) > 3 and operation["description"], name
        assert {"401", "403", "404", "422", "429", "503"} <= operation["responses"].keys()
        if route.response_model is not None:
            content = operation["responses"][str(route.status_code or 200)]["content"]
            example = content["application/json"]["example"]
            TypeAdapter(route.response_model).validate_python(example)
    assert examples().keys() <= described.keys()


def test_pages_lead_to_one_another(house: House) -> None:
    with house.client() as client:
        whole = asked(client.get(f"{API}/points"))
        assert whole["next"] is None and len(whole["items"]) == 6
        found: list[Any] = []
        cursor = None
        while cursor is not None or not found:
            asking = {"limit": 4} | ({} if cursor is None else {"cursor": cursor})
            page = asked(client.get(f"{API}/points", params=asking))
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                break
        assert found == whole["items"]


def test_users_come_in_pages_that_words_narrow(house: House) -> None:
    with house.client(GROUP, "security-administrator") as client:
        whole = asked(client.get(f"{API}/users", params={"limit": 1000}))
        assert whole["next"] is None and len(whole["items"]) == len(house.users)
        found: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = asked(client.get(f"{API}/users", params={"limit": 4, **cursor}))
            assert len(page["items"]) <= 4
            found += page["items"]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert found == whole["items"]
        assert [user["login"] for user in found] == sorted(user["login"] for user in found)
        narrowed = asked(client.get(f"{API}/users", params={"search": "PLANT-A operator"}))
        assert [user["login"] for user in narrowed["items"]] == ["plant-a.operator"]
        asked(client.get(f"{API}/users", params={"cursor": "x"}), 422)
    with house.client("plant-b", "security-administrator") as client:
        told = asked(client.get(f"{API}/users"))["items"]
        assert {user["tenant"] for user in told} == {"plant-b"}


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    (
        ("/nothing", 404, "not-found"),
        ("/gateways/unit-9", 404, "not-found"),
        ("/gateways/UNIT", 422, "wrong-input"),
        ("/points?limit=0", 422, "wrong-input"),
        ("/points?cursor=x", 422, "wrong-input"),
        ("/points/99999", 404, "not-found"),
        ("/trend?series=1&from=yesterday&to=0", 422, "wrong-input"),
        ("/trend?series=1&from=2026-09-21T14:00:00&to=2026-09-21T15:00:00Z", 422, "wrong-input"),
        ("/trend?series=1&from=5&to=1", 422, "wrong-input"),
        ("/samples?series=1&from=5&to=1", 422, "wrong-input"),
        ("/tables/none", 404, "not-found"),
        ("/commands/7", 404, "not-found"),
        ("/commands/7/file", 404, "not-found"),
        ("/rollouts/none", 404, "not-found"),
        ("/gateways/unit-1/desired", 404, "not-found"),
        ("/events?type=other", 422, "wrong-input"),
        ("/points?search=%00", 200, ""),
        ("/events?from=0&search=%00'", 200, ""),
    ),
)
def test_errors_are_problem_documents(house: House, path: str, status: int, kind: str) -> None:
    with house.client() as client:
        answer = client.get(API + path)
        found = asked(answer, status)
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert found["type"] == f"urn:catchment:problem:{kind}" and found["status"] == status
            assert found["instance"] == API + path.partition("?")[0] and found["detail"]


def test_a_wrong_body_names_every_fault(house: House) -> None:
    with house.client() as client:
        found = asked(client.post(f"{API}/alarms/actions", json={"verb": "hush", "alarms": []}), 422)
        assert {each["place"] for each in found["problems"]} == {"body.gateway", "body.verb", "body.alarms"}
        answer = client.post(
            f"{API}/alarms/actions", content=b"{", headers={"Content-Type": "application/json"}
        )
        asked(answer, 422)
        unknown = {"gateway": "unit-9", "verb": "ack", "alarms": ["a"]}
        asked(client.post(f"{API}/alarms/actions", json=unknown), 404)
        shelve = {"gateway": "unit-1", "verb": "shelve", "alarms": ["a"]}
        assert "why" in asked(client.post(f"{API}/alarms/actions", json=shelve), 422)["detail"]


def test_every_answer_carries_the_headers_that_protect_it(house: House) -> None:
    with house.client() as client:
        for path in ("/overview", "/nothing", "/gateways/UNIT"):
            answer = client.get(API + path)
            for name, value in (*headers.ALWAYS, *headers.UNLESS_GIVEN):
                assert answer.headers[name.decode()] == value.decode()
            assert "server" not in answer.headers
        assert client.get(f"{API}/overview").headers["ratelimit"].startswith('"default";r=')


def test_a_body_beyond_the_bound_is_refused(house: House) -> None:
    with house.client() as client:
        for content in (b"x" * (headers.BODY_BYTES_MAX + 1), iter([b"x" * 65_536] * 40)):
            answer = client.post(f"{API}/rollouts", content=content)
            assert answer.status_code == 413, answer.text


def test_who_asks_too_often_waits(own_house: House) -> None:
    own_house.context.limiter = RateLimiter(60, 3)
    now = [0.0]
    own_house.context.monotonic = lambda: now[0]
    with own_house.client() as client, own_house.client("plant-a") as other:
        statuses = [client.get(f"{API}/me").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        refused = client.get(f"{API}/me")
        assert refused.headers["retry-after"] == "1" and asked(refused, 429)["type"].endswith(
            "too-many-requests"
        )
        asked(other.get(f"{API}/me"))
        now[0] = 1.0
        asked(client.get(f"{API}/me"))


def test_who_tries_tokens_waits_as_well(own_house: House) -> None:
    own_house.context.strangers = RateLimiter(1, 3)
    with own_house.client(None) as client:
        tries = [
            client.get(f"{API}/me", headers={"Authorization": f"Bearer cat_{n}"}).status_code
            for n in range(5)
        ]
    assert tries == [401, 401, 401, 429, 429]


def test_the_same_key_does_a_thing_once(house: House) -> None:
    change = {"gateway": "unit-1", "verb": "ack", "alarms": ["steam/unit/high"], "comment": "once"}
    key = {"Idempotency-Key": "a-key-of-its-own"}
    with house.client() as client, house.client("plant-a") as other:
        first = client.post(f"{API}/alarms/actions", json=change, headers=key)
        again = client.post(f"{API}/alarms/actions", json=change, headers=key)
        assert asked(first, 202) == asked(again, 202)
        assert again.headers["idempotent-replayed"] == "true"
        different = {**change, "comment": "another"}
        asked(client.post(f"{API}/alarms/actions", json=different, headers=key), 422)
        theirs = asked(other.post(f"{API}/alarms/actions", json=change, headers=key), 202)
        assert theirs["number"] != first.json()["number"]
        asked(client.post(f"{API}/alarms/actions", json=change, headers={"Idempotency-Key": "x" * 300}), 422)


def test_an_answer_is_given_again_to_who_may_still_ask_for_it(own_house: House) -> None:
    change = {"gateway": "unit-1", "verb": "ack", "alarms": ["steam/unit/high"]}
    asking: dict[str, Any] = {"json": change, "headers": {"Idempotency-Key": "kept"}}
    path = f"{API}/alarms/actions"
    with own_house.client() as client, own_house.client(None) as program:
        asked(client.post(path, **asking), 202)
        assert "ratelimit" in client.post(path, **asking).headers
        token = own_house.token(GROUP, "operator", frozenset({"points:read"}))
        program.headers["Authorization"] = f"Bearer {token}"
        assert asked(program.post(path, **asking), 403)["permission"] == "alarms:act"
        with writing(own_house.metadata) as session:
            Users(session).take_role(own_house.users[GROUP, "operator"], "operator")
        assert asked(client.post(path, **asking), 403)["permission"] == "alarms:act"


def test_a_key_of_what_was_refused_is_free_again(house: House) -> None:
    key = {"Idempotency-Key": "tried-twice"}
    change = {"gateway": "unit-9", "verb": "ack", "alarms": ["steam/unit/high"]}
    with house.client() as client:
        asked(client.post(f"{API}/alarms/actions", json=change, headers=key), 404)
        good = {**change, "gateway": "unit-1"}
        asked(client.post(f"{API}/alarms/actions", json=good, headers=key), 202)


def test_a_secret_is_shown_once_and_kept_nowhere(house: House) -> None:
    key = {"Idempotency-Key": "a-secret"}
    wanted = {"name": "export", "scopes": ["samples:read"], "days": 1}
    with house.client() as client:
        made = asked(client.post(f"{API}/tokens", json=wanted, headers=key), 201)
        asked(client.post(f"{API}/tokens", json=wanted, headers=key), 409)
        for path in house.hq.settings.data.iterdir():
            assert not path.is_file() or made["text"].encode() not in path.read_bytes()
        assert made["token"]["name"] in [row["name"] for row in asked(client.get(f"{API}/tokens"))]
    with house.client(None) as client:
        client.headers["Authorization"] = f"Bearer {made['text']}"
        asked(client.get(f"{API}/overview"), 403)
        asked(client.get(f"{API}/latest", params={"series": 1}))
    with house.client() as client:
        asked(client.delete(f"{API}/tokens/{made['token']['id']}"), 204)
    with house.client(None) as client:
        client.headers["Authorization"] = f"Bearer {made['text']}"
        asked(client.get(f"{API}/me"), 401)


def test_samples_come_as_an_arrow_stream(house: House) -> None:
    series = [house.series("unit-1/10LBA10CT001"), house.series("unit-2/10LBA10CP001")]
    with house.client() as client:
        asking: dict[str, Any] = {"series": series, "from": "2026-09-21T14:00:00Z", "to": str(NOW)}
        answer = client.get(f"{API}/samples", params=asking)
        assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
        table = pa.ipc.open_stream(answer.content).read_all()
        assert len(table) == 50 and set(table["series"].to_pylist()) == set(series)
        asking["series"] = [10_000]
        assert len(pa.ipc.open_stream(client.get(f"{API}/samples", params=asking).content).read_all()) == 0


def test_a_command_is_followed_to_its_signed_result(own_house: House) -> None:
    from protocols.records import EventRecord
    from protocols.records.events import EventType

    with own_house.client() as client:
        wanted = {"gateway": "unit-1", "verb": "read", "words": ["10LBA10CT001"]}
        sent = asked(client.post(f"{API}/commands", json=wanted), 202)
        assert (sent["stage"], sent["outcome"]) == ("queued", None)
        with own_house.sources.commands() as queue:
            nonce = queue.get(sent["number"]).command.nonce.hex()
        result = EventRecord(
            own_house.hq.now_us,
            EventType.COMMAND,
            source="read",
            text="1 points read",
            transition="done",
            detail={"command": nonce, "verb": "read"},
        )
        own_house.hq.take(own_house.one.events(result))
        with own_house.sources.engine() as engine:
            engine.refresh()
        found = asked(client.get(f"{API}/commands/{sent['number']}"))
        assert (found["outcome"], found["good"], found["text"]) == ("done", True, "1 points read")
        assert asked(client.post(f"{API}/commands/{sent['number']}/cancel"))["cancelled_us"] is not None
    actions = [(entry.content.action, entry.content.outcome) for entry in own_house.audited()]
    assert actions == [("commands.read", "done"), ("commands.cancel", "done")]


def test_who_may_send_commands_may_not_always_write(house: House) -> None:
    write = {"gateway": "unit-1", "verb": "write", "words": ["SP-7=42.5"]}
    with house.client(GROUP, "engineer") as client:
        for command in (write, {"gateway": "unit-1", "verb": "restart"}):
            assert asked(client.post(f"{API}/commands", json=command), 403)["permission"] == "commands:write"
    with house.client(GROUP, "operator") as client:
        assert asked(client.post(f"{API}/commands", json=write), 202)["verb"] == "select"


def test_a_tenant_is_made_and_looked_after(own_house: House) -> None:
    place = f"{API}/tenants/works-c"
    with own_house.client(GROUP, "system-administrator") as client:
        key = {"Idempotency-Key": "works-c"}
        wanted = {"id": "works-c", "name": "Works C"}
        made = asked(client.post(f"{API}/tenants", json=wanted, headers=key), 201)
        assert made == asked(client.post(f"{API}/tenants", json=wanted, headers=key), 201)
        assert "no tenant has yet" in asked(client.post(f"{API}/tenants", json=wanted), 422)["detail"]
        asked(client.patch(place, json={"name": "Works Sea"}), 204)
        for site in ("south", "plant-a"):
            asked(client.put(f"{place}/sites/{site}"), 204)
        granted = asked(client.post(f"{place}/grants", json={"site": "plant-b", "points": "10LBA*"}), 201)
        again = {"site": "plant-b", "points": "10LBA*", "expires_us": TIME_US_MAX - 1}
        assert asked(client.post(f"{place}/grants", json=again), 201)["id"] == granted["id"]
        asked(client.put(f"{place}/quotas/queries", json={"most": 7}), 204)
        found = asked(client.get(place))
        assert (found["name"], found["sites"]) == ("Works Sea", ["plant-a", "south"])
        assert [grant["expires_us"] for grant in found["grants"]] == [TIME_US_MAX - 1]
        assert {"thing": "queries", "used": 0, "most": 7} in found["quotas"]
        assert found in asked(client.get(f"{API}/tenants"))
        asked(client.delete(f"{place}/sites/plant-a"), 204)
        asked(client.delete(f"{place}/grants/{granted['id']}"), 204)
        asked(client.delete(f"{place}/quotas/queries"), 204)
        found = asked(client.get(place))
        assert (found["sites"], found["grants"]) == (["south"], [])
        assert {each["most"] for each in found["quotas"]} == {None}
        asked(client.post(f"{place}/disable"), 204)
        assert asked(client.get(place))["disabled"]
        asked(client.post(f"{place}/enable"), 204)
    actions = [entry.content.action.partition(".")[2] for entry in own_house.audited()]
    assert actions == [
        "add", "rename", "own", "own", "grant", "grant", "quota", "disown", "take-back", "quota", "disable",
        "enable",
    ]  # fmt: skip


def test_storage_is_measured_by_tenant_and_bounds_what_people_add_and_not_the_field(own_house: House) -> None:
    sources, metadata = own_house.sources, own_house.metadata
    with writing(metadata) as session:
        Tenants(session).disown("plant-b")
    usage.measure(sources, metadata)
    with reading(metadata) as session:
        used = {id: Quotas(session).usage(id, 0)["storage"] for id in (GROUP, *TENANTS)}
    total = usage.stored_bytes(sources)
    samples = {name: totals.samples for name, totals in sources.fleet().gateways.items()}
    assert samples["unit-1"] > samples["unit-2"] > 0
    assert used["plant-a"] == total * samples["unit-1"] // sum(samples.values())
    assert used["plant-b"] == 0
    assert 0 <= total - sum(used.values()) < 3, "the group has what comes from sites that nobody owns"
    assert total > sum(path.stat().st_size for path in sources.config.archive.rglob("*.segment")) > 0
    with writing(metadata) as session:
        Quotas(session).set("plant-a", "storage", used["plant-a"])
    told = render(SIGNALS, measure(sources, metadata))
    assert f'catchment_group_tenant_storage_bytes{{tenant="plant-a"}} {used["plant-a"]}' in told
    assert 'catchment_group_tenant_storage_used_ratio{tenant="plant-a"} 1' in told
    assert 'used_ratio{tenant="group"}' not in told
    with own_house.client("plant-a") as client:
        refused = asked(client.post(f"{API}/queries/saved", json={"name": "x", "sql": "SELECT 1"}), 429)
        assert refused["type"].endswith(":quota")
        asked(client.post(f"{API}/queries", json={"sql": "SELECT 1"}), 202)
    before = own_house.sources.fleet().gateways["unit-1"].samples
    own_house.hq.take(own_house.one.data(scan(90, [1])))
    own_house.sources._kept_fleet.forget()
    with own_house.sources.engine() as engine:
        engine.refresh()
    assert own_house.sources.fleet().gateways["unit-1"].samples == before + 1


def test_storage_is_measured_by_itself_and_what_cannot_be_is_logged(
    own_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "FIRST_S", 0.0)
    monkeypatch.setattr(usage, "EVERY_S", 0.01)
    stop, log, looks = Stop(), EventLog("info", file=tmp_path / "web.log"), 0

    def fail_once(sources: Any, metadata: Any) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StoreError("the lake is away")
        plain(sources, metadata)
        stop.ask()

    plain = usage.measure
    monkeypatch.setattr(usage, "measure", fail_once)
    usage.UsageThread(own_house.sources, own_house.metadata, stop, log).run()
    log.close()
    [line] = (tmp_path / "web.log").read_text().splitlines()
    assert (json.loads(line)["event"], json.loads(line)["error"]) == (
        "usage-not-measured",
        "the lake is away",
    )
    with reading(own_house.metadata) as session:
        assert Quotas(session).usage("plant-a", 0)["storage"] > 0


def test_a_tenant_over_its_storage_gets_no_further_gateway(own_house: House) -> None:
    own_house.sources.registry = Registry(own_house.hq.home / FILE)
    with own_house.sources.registry.change():
        own_house.sources.registry.put_node(Identity.generate("unit-8", "gateway", "plant-a").public, "")
    with writing(own_house.metadata) as session:
        Quotas(session).set("plant-a", "storage", 10)
        Quotas(session).measure("plant-a", "storage", 10)
    with own_house.client(GROUP, "security-administrator") as client:
        for id, site, role, status in (
            ("unit-9", "plant-a", "gateway", 429),
            ("unit-9", "plant-a", "hub", 422),  # without an authority nobody is invited in the end
            ("unit-9", "plant-b", "gateway", 422),
            ("unit-8", "plant-a", "gateway", 422),
        ):
            asking = {"ids": [id], "site": site, "role": role, "address": "tcp://hq:4870"}
            asked(client.post(f"{API}/enrolment/invitations", json=asking), status)


def test_who_reads_in_bulk_has_a_job_until_it_is_over(own_house: House) -> None:
    series = own_house.series("unit-1/10LBA10CT001")
    asking: dict[str, Any] = {"series": series, "from": "0", "to": str(NOW)}
    with own_house.client("plant-a") as client:
        for most, status in ((1, 200), (1, 200), (0, 429)):
            with writing(own_house.metadata) as session:
                Quotas(session).set("plant-a", "jobs", most)
            assert client.get(f"{API}/samples", params=asking).status_code == status
    with reading(own_house.metadata) as session:
        assert Quotas(session).usage("plant-a", 0)["jobs"] == 0


def test_of_a_tenant_nothing_is_changed_that_is_anothers(own_house: House) -> None:
    before = len(own_house.audited())
    with own_house.client(GROUP, "system-administrator") as client:
        granted = asked(client.post(f"{API}/tenants/plant-a/grants", json={"site": "plant-b"}), 201)
        asked(client.delete(f"{API}/tenants/plant-b/grants/{granted['id']}"), 422)
        asked(client.delete(f"{API}/tenants/plant-b/sites/plant-a"), 422)
        asked(client.put(f"{API}/tenants/nobody/sites/plant-a"), 404)
        asked(client.post(f"{API}/tenants/group/disable"), 422)
        found = asked(client.get(f"{API}/tenants/plant-a"))
        assert (found["sites"], len(found["grants"])) == (["plant-a"], 1)
    assert len(own_house.audited()) == before + 1
    with own_house.client("plant-b", "system-administrator") as client:
        asked(client.get(f"{API}/tenants/plant-a"), 404)
        asked(client.put(f"{API}/tenants/plant-b/sites/plant-a"), 403)


def test_a_disabled_tenants_members_are_out_at_once(own_house: House) -> None:
    with own_house.client("plant-a") as member, own_house.client(GROUP, "system-administrator") as client:
        asked(member.get(f"{API}/me"))
        asked(client.post(f"{API}/tenants/plant-a/disable"), 204)
        asked(member.get(f"{API}/me"), 401)


def test_a_failure_is_audited_with_its_reason(own_house: House) -> None:
    with own_house.client(GROUP, "security-administrator") as client:
        asked(client.post(f"{API}/gateways/unit-1/revoke", json={"why": "stolen"}), 422)
    [entry] = own_house.audited()
    assert (entry.content.action, entry.content.outcome) == ("gateways.revoke", "failed")
    assert "authority" in json.loads(entry.content.detail)["why"]


def test_desired_states_and_their_differences_are_shown(own_house: House) -> None:
    with own_house.sources.desired() as store:
        for version in ("1", "2"):
            item = Item(ItemKind.POINTS, "p", version, f"config/p-{version}.csv", 3, version * 64)
            store.put("unit-1", [item], NOW, "li", "")
    with own_house.client("plant-a", "viewer") as client:
        path = f"{API}/gateways/unit-1/desired"
        assert asked(client.get(path))["version"] == 2
        assert len(asked(client.get(f"{path}/history"))) == 2
        assert {row["item"] for row in asked(client.get(f"{path}/diff"))} == {"points"}
        asked(client.get(f"{path}/diff?old=7&new=8"), 422)


def test_live_values_and_alarms_are_pushed_as_they_change(
    own_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PACE_S", 0.0)
    values = LatestValues()
    server = LatestServer(own_house.hq.settings.data, Directory(), values)
    server.start()
    series = own_house.series("unit-1/10LBA10CT001")
    looks = 0

    def stopping() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            own_house.sources.live._asked = -1.0
            values.update([chunk(scan(0, (1,), 41.0), *_runs(series))])
            own_house.hq.take(own_house.one.events(alarm(7, T0 + 9, "returned", "normal")))
            own_house.sources._kept_alarms.forget()
            own_house.sources.forget()
            with own_house.sources.engine() as engine:
                engine.refresh()
        return looks > 4

    try:
        values.update([chunk(scan(0, (1,), 40.0), *_runs(series))])
        own_house.context.stopping = stopping
        with own_house.client() as client:
            text = client.get(f"{API}/live", params={"series": series, "alarms": "true"}).text
    finally:
        server.close()
    events = [part for part in text.split("\n\n") if part.startswith("event: ")]
    told = [json.loads(part.partition("data: ")[2]) for part in events if part.startswith("event: values")]
    assert [each["values"][0]["value"] for each in told if each["values"]] == [41.0, 42.0]
    alarms = [json.loads(part.partition("data: ")[2]) for part in events if part.startswith("event: alarms")]
    assert [each["counts"]["acknowledged"] for each in alarms] == [1, 0]


@pytest.mark.parametrize("part", [live, pages_live])
def test_a_stream_tells_nothing_of_a_view_that_was_taken_back(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, part: Any
) -> None:
    for name, value in (("PACE_S", 0.0), ("STEP_S", 0.0), ("CHECK_S", 0.0)):
        monkeypatch.setattr(part, name, value, raising=False)
    house, values = doors.house, LatestValues()
    series = house.series("unit-1/10LBA10CT001")
    with writing(house.metadata) as session:
        Tenants(session).grant("plant-b", "plant-a", "*", None, "tests", NOW)
    server = LatestServer(house.hq.settings.data, Directory(), values)
    server.start()
    looks = 0

    def stopping() -> bool:
        nonlocal looks
        looks += 1
        house.sources.live._asked = -1.0
        values.update([chunk(scan(looks, (1,), float(looks)), *_runs(series))])
        if looks == 3:
            with writing(house.metadata) as session:
                [grant] = Tenants(session).grants_to("plant-b")
                Tenants(session).take_back(grant.id)
        return looks > 6

    try:
        monkeypatch.setattr(doors.context, "stopping", stopping)
        with doors.browser("operator", "plant-b") as client:
            text = client.get(f"{API}/live" if part is live else "/live", params={"series": series}).text
    finally:
        server.close()
    told = [json.loads(part.partition("data: ")[2]) for part in text.split("\n\n") if "event: values" in part]
    assert [len(each["values"]) for each in told if each["values"]] in ([1, 1], [1, 1, 1]), text


def _runs(series: int) -> tuple[Any, Any, int, int]:
    import numpy as np

    return np.array([series]), np.array([1]), 1, 0


def test_a_fault_of_ours_tells_nothing_of_this_machine(
    own_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headquarters.api.routes import fleet
    from protocols.errors import StoreError

    def fails(*_: object) -> None:
        raise StoreError("cannot read /srv/hq/data/secret")

    def breaks(*_: object) -> None:
        raise RuntimeError("/srv/hq")

    with own_house.client() as client:
        for how, status in ((fails, 503), (breaks, 500)):
            monkeypatch.setattr(fleet, "topology_of", how)
            answer = client.get(f"{API}/topology")
            assert "/srv" not in asked(answer, status)["detail"]
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_users_are_made_given_roles_and_kept_out(own_house: House) -> None:
    with own_house.client(GROUP, "system-administrator") as system:
        made = asked(
            system.post(f"{API}/users", json={"tenant": "plant-a", "login": "anna", "name": "Anna"}), 201
        )
        asked(system.put(f"{API}/users/{made['id']}/roles/viewer"), 403)
        assert asked(system.post(f"{API}/users/{made['id']}/link"), 201)["secret"]
        with own_house.client(GROUP, "security-administrator") as security:
            asked(security.put(f"{API}/users/{made['id']}/roles/viewer"), 204)
            asked(security.put(f"{API}/users/{made['id']}/roles/king"), 422)
            asked(security.post(f"{API}/users/{made['id']}/disable"), 403)
        assert asked(system.get(f"{API}/users/{made['id']}"))["roles"] == ["viewer"]
        asked(system.post(f"{API}/users/{made['id']}/disable"), 204)
        asked(system.get(f"{API}/users/none"), 404)
        group = asked(system.post(f"{API}/groups", json={"tenant": "plant-a", "name": "shift"}), 201)
        asked(system.put(f"{API}/groups/{group['id']}/members/{made['id']}"), 204)
        [found] = asked(system.get(f"{API}/groups", params={"tenant": "plant-a"}))
        assert found["members"] == [made["id"]]
    with own_house.client("plant-b", "system-administrator") as other:
        asked(other.get(f"{API}/users/{made['id']}"), 404)
        theirs = asked(other.post(f"{API}/groups", json={"tenant": "plant-b", "name": "shift"}), 201)
        refused = asked(other.put(f"{API}/groups/{theirs['id']}/members/{made['id']}"), 422)
        assert "anna" not in refused["detail"] and "plant-a" not in refused["detail"]
        asked(other.get(f"{API}/users", params={"tenant": "plant-a"}), 403)
        assert {row["tenant"] for row in asked(other.get(f"{API}/users"))["items"]} == {"plant-b"}


def test_a_lost_second_factor_is_taken_away_by_who_gives_roles(own_house: House) -> None:
    user = own_house.users["plant-a", "viewer"]
    with writing(own_house.metadata) as session:
        Users(session).set_totp(user, b"sealed", 1)
    path = f"{API}/users/{user}/second-factor"
    with own_house.client(GROUP, "system-administrator") as client:
        asked(client.delete(path), 403)
        assert asked(client.get(f"{API}/users/{user}"))["second_factor"]
    with own_house.client("plant-a", "security-administrator") as client:
        asked(client.delete(path), 204)
        assert not asked(client.get(f"{API}/users/{user}"))["second_factor"]


def test_the_audit_is_read_by_its_reader_alone_page_by_page(own_house: House) -> None:
    with own_house.client("plant-a", "viewer") as client:
        for _ in range(3):
            asked(client.get(f"{API}/audit"), 403)
    with own_house.client(GROUP, "audit-administrator") as client:
        first = asked(client.get(f"{API}/audit", params={"limit": 2, "outcome": "denied"}))
        assert [row["seq"] for row in first["items"]] == [3, 2]
        rest = asked(client.get(f"{API}/audit", params={"limit": 2, "before": first["next"]}))
        assert [row["seq"] for row in rest["items"]] == [1] and rest["next"] is None
        assert not asked(client.get(f"{API}/audit", params={"actor": "nobody"}))["items"]


def test_a_query_sees_what_its_asker_sees_and_is_nobody_elses(house: House) -> None:
    sql = "SELECT gateway, count(*) AS n FROM samples JOIN series USING (series) GROUP BY gateway ORDER BY 1"
    with house.client("plant-b") as client, house.client("plant-b", "engineer") as other:
        done = asked(client.post(f"{API}/queries", json={"sql": sql, "wait_s": 30}), 202)
        assert (done["state"], done["rows"]) == ("done", 1), done
        path = f"{API}/queries/{done['id']}"
        page = asked(client.get(f"{path}/result"))
        assert page["rows"] == [["unit-2", "20"]] and page["next"] is None
        assert pa.ipc.open_stream(client.get(f"{path}/arrow").content).read_all()["n"].to_pylist() == [20]
        asked(client.get(f"{path}/result", params={"page": 7}), 404)
        for question in (path, f"{path}/result", f"{path}/arrow"):
            asked(other.get(question), 404)
        wrong = asked(client.post(f"{API}/queries/explain", json={"sql": "SELECT * FROM passwd"}), 422)
        assert wrong["problems"][0]["place"]
        assert asked(client.post(f"{API}/queries/explain", json={"sql": sql}))["rows"] > 0
        kept = asked(other.post(f"{API}/queries/saved", json={"name": "n", "sql": sql, "shared": True}), 201)
        assert [row["id"] for row in asked(client.get(f"{API}/queries/saved"))] == [kept["id"]]
        asked(client.delete(f"{API}/queries/saved/{kept['id']}"), 404)
        denied = client.post(f"{API}/queries/saved", json={"name": "m", "sql": sql, "shared": True})
        assert asked(denied, 403)["permission"] == "queries:share"
        asked(other.delete(f"{API}/queries/saved/{kept['id']}"), 204)
        assert [row["id"] for row in asked(client.get(f"{API}/queries"))] == [done["id"]]
