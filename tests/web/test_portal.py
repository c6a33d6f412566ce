"""The portal without a browser: its words, its files, what it lets in and out."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator

import httpx
import pytest
from babel.messages.catalog import Message
from fastapi.routing import APIRoute

from headquarters.accounts.oidc import Oidc, Provider
from headquarters.accounts.own import OwnAccount
from headquarters.accounts.password import Hasher
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.signin import SignIn
from headquarters.accounts.store import Users
from headquarters.accounts.terms import Terms
from headquarters.api.app import make_app
from headquarters.db.base import now_us
from headquarters.db.engine import writing
from headquarters.desired.store import DesiredStore
from headquarters.operations.alerts.evaluator import Change
from headquarters.operations.alerts.rules import SEVERITIES, Rule
from headquarters.operations.alerts.store import Notifications
from headquarters.portal import assets
from headquarters.portal.door import READS
from headquarters.portal.frame import TEMPLATES
from headquarters.portal.pages import users
from headquarters.portal.routes import router
from headquarters.portal.service import NAME, PortalService
from headquarters.tenancy.permissions import ROLES
from headquarters.tenancy.principal import GROUP
from headquarters.tenancy.usage import Quotas
from headquarters.trust import allow
from protocols.identity import Identity
from protocols.records import HubReport, StoreUse
from scripts.portal import words
from tests.lake_parts import SECOND, T0
from tests.web.client import InProcess
from tests.web.house import House, asked

BASE_MAX = 150_000
OPEN = {
    "/static/{name}", "/preferences", "/sign-in", "/sign-in/link/{secret}", "/sign-in/oidc",
    "/sign-in/oidc/begin", "/api/{path:path}",
    "/{path:path}",
}  # fmt: skip
"""What is answered to nobody in particular."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    found = House(tmp_path_factory.mktemp("house"))
    found.hq.take(found.one.statement([(2, 0, 3, 40)], 40, T0 + 60 * SECOND))
    yield found
    found.close()


def provider(url: str, form: object, basic: object) -> dict[str, str]:
    """An OpenID provider's discovery document, for whoever asks it anything."""
    assert url.endswith("/.well-known/openid-configuration")
    ends = ("authorization", "token")
    return {"issuer": "https://id.example", "jwks_uri": "https://id.example/jwks"} | {
        f"{end}_endpoint": f"https://id.example/{end}" for end in ends
    }


@pytest.fixture(scope="module")
def shown(house: House) -> Iterator[InProcess]:
    terms, sealer, hasher = Terms(), Sealer(bytes(32)), Hasher(time_cost=1, memory_kib=8, lanes=1)
    works = Provider("works", "https://id.example", "catchment", "s" * 32, "group")
    house.context.services[NAME] = PortalService(
        SignIn(house.metadata, terms, hasher, sealer),
        OwnAccount(house.metadata, terms, hasher, sealer),
        Oidc(house.metadata, works, sealer, provider),
        "https://portal.example",
    )
    transport = InProcess(make_app(house.context, router))
    yield transport
    transport.end()


def visit(house: House, shown: InProcess, role: str, tenant: str = "group") -> httpx.Client:
    """A browser without scripts in which somebody is signed in."""
    client = httpx.Client(transport=shown, base_url="http://portal")
    token = house.sessions.begin(house.users[tenant, role], "tests", "127.0.0.1", "tests")
    client.cookies.set(house.context.cookie, token)
    return client


def test_every_text_is_translated_and_nothing_else_is_in_the_catalogue() -> None:
    kept = {message.id: message for message in words.kept("zh") if message.id}
    wanted = {message.id for message in words.extracted() if message.id}
    assert kept.keys() == wanted, "run: make portal"
    empty = [message.id for message in kept.values() if not all(_texts(message))]
    assert empty == []


def test_translations_name_the_same_values() -> None:
    for message in words.kept("zh"):
        if message.id:
            one = message.id if isinstance(message.id, str) else message.id[1]
            other = _texts(message)[0]
            assert set(re.findall(r"%\((\w+)\)s", one)) == set(re.findall(r"%\((\w+)\)s", other)), one


def test_the_first_page_loads_less_script_than_it_may() -> None:
    script = (assets.STATIC / assets.asset("portal.js").removeprefix("/static/")).read_bytes()
    assert len(gzip.compress(script)) < BASE_MAX


def test_no_template_has_a_script_or_style_of_its_own() -> None:
    for file in TEMPLATES.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text), file.name
        assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", text), file.name
        assert "|safe" not in text and "autoescape" not in text, file.name


def test_every_page_says_who_may_see_it() -> None:
    for route in router.routes:
        if not isinstance(route, APIRoute):
            continue
        needed = [call for d in route.dependant.dependencies if hasattr(call := d.call, "permission")]
        assert bool(needed) != (route.path in OPEN), route.path


def test_every_form_that_changes_something_carries_the_token() -> None:
    for file in TEMPLATES.iterdir():
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", file.read_text(), re.DOTALL):
            is_open = 'action="/preferences"' in form or file.name.startswith("sign_in")
            assert is_open or "guard()" in form or 'name="csrf"' in form, file.name


def test_nothing_changes_without_the_token_or_from_another_site(house: House, shown: InProcess) -> None:
    with visit(house, shown, "operator") as client:
        page = client.get("/alarms").text
        token = re.search(r'csrf-token" content="([^"]+)"', page)
        assert token is not None
        form = {"verb": "ack", "alarm": "unit-1|steam/unit/high"}
        assert client.post("/alarms", data=form).status_code == 403
        assert client.post("/alarms", data={**form, "csrf": token[1][:-2] + "xx"}).status_code == 403
        given = {**form, "csrf": token[1]}
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert client.post("/alarms", data=given, headers=elsewhere).status_code == 403
        assert client.post("/alarms", data=given).status_code == 303


def test_what_is_silenced_is_shown_ended_and_in_the_audit(house: House, shown: InProcess) -> None:
    with visit(house, shown, "system-administrator") as client:
        token = re.search(r'csrf-token" content="([^"]+)"', client.get("/operations").text)
        assert token is not None
        form = {"csrf": token[1], "rule": "gateway-*", "hours": "2", "comment": "works in plant-a"}
        assert client.post("/operations/silences", data={**form, "comment": " "}).status_code == 400
        assert client.post("/operations/silences", data=form).status_code == 303
        page = client.get("/operations").text
        assert "works in plant-a" in page
        [end] = re.findall(r'action="(/operations/silences/[^"]+/end)"', page)
        assert client.post(end, data={"csrf": token[1]}).status_code == 303
        assert client.post(end, data={"csrf": token[1]}).status_code == 404
        assert "works in plant-a" not in client.get("/operations").text
    told = [entry.content.action for entry in house.audited() if entry.content.action.startswith("alerts.")]
    assert told == ["alerts.silence", "alerts.end-silence"]


def test_what_fires_is_shown_whatever_its_severity(house: House, shown: InProcess) -> None:
    rules = [Rule(f"test-{name}", "catchment_hq_failing", above=0, severity=name) for name in SEVERITIES]
    changes = [Change(rule, {}, True, 1.0, 0.0) for rule in rules]
    with writing(house.metadata) as session:
        Notifications(session).take(changes, [], [], now_us())
    with visit(house, shown, "system-administrator") as client:
        page = client.get("/operations")
        assert page.status_code == 200
        shown_at = [page.text.index(f"test-{name}") for name in SEVERITIES]
        assert shown_at == sorted(shown_at, reverse=True), "the most severe first"
        assert "&lt; 10.0 GB" in page.text, "a bound of bytes, as people read it"


def form_token(client: httpx.Client, page: str) -> str:
    """The token that the forms of a page carry."""
    found = re.search(r'csrf-token" content="([^"]+)"', client.get(page).text)
    assert found is not None
    return found[1]


def test_a_tenant_is_made_and_looked_after_on_its_page(house: House, shown: InProcess) -> None:
    with visit(house, shown, "system-administrator") as client:
        guard = {"csrf": form_token(client, "/tenants")}

        def send(path: str, **form: str) -> int:
            return client.post(path, data=guard | form).status_code

        made = client.post("/tenants", data={**guard, "id": "works-c", "name": "Works C"})
        assert (made.status_code, made.headers["location"]) == (303, "/tenants/works-c")
        assert send("/tenants/works-c/name", name="Works Sea") == 303
        assert send("/tenants/works-c/sites", verb="give", site="south") == 303
        assert send("/tenants/works-c/grants", site="east", points="10*", days="30") == 303
        assert send("/tenants/works-c/grants", site="west", points="", days="") == 303
        assert send("/tenants/works-c/quotas", thing="storage", most="1.5") == 303
        assert send("/tenants/works-c/quotas", thing="queries", most="7") == 303
        page = client.get("/tenants/works-c?lang=en").text
        for word in ("Works Sea", "south", "10*", "1.50 GB", 'value="7"', 'value="1.5"'):
            assert word in page, word
        assert "0 B / 1.50 GB" in client.get("/tenants?lang=en").text
        [first, second] = re.findall(r'action="(/tenants/works-c/grants/[^"]+/end)"', page)
        assert send(first) == send(second) == 303
        assert send(first) == 400
        assert send("/tenants/works-c/sites", verb="take", site="south") == 303
        assert send("/tenants/plant-b/sites", verb="take", site="plant-a") == 400, "not plant-b's"
        assert send("/tenants/works-c/quotas", thing="queries", most="") == 303
        assert send("/tenants/works-c/access", verb="disable") == 303
        page = client.get("/tenants/works-c?lang=en").text
        assert "kept out" in page and "south" not in page and "10*" not in page and 'value="7"' not in page
        assert send("/tenants/works-c/access", verb="enable") == 303
        for form in ({"thing": "storage", "most": "much"}, {"thing": "coffee", "most": "1"}):
            assert send("/tenants/works-c/quotas", **form) == 400
        assert send("/tenants/works-c/grants", site="east", days="0") == 400
        assert client.get("/tenants/nobody").status_code == 404
    told = [each.content.action for each in house.audited() if each.content.target == "works-c"]
    assert told == [
        "tenants.add", "tenants.rename", "tenants.own", "tenants.grant", "tenants.grant", "tenants.quota",
        "tenants.quota", "tenants.take-back", "tenants.take-back", "tenants.disown", "tenants.quota",
        "tenants.disable", "tenants.enable",
    ]  # fmt: skip


def test_a_tenants_own_administrator_sees_it_and_changes_nothing(house: House, shown: InProcess) -> None:
    with visit(house, shown, "system-administrator", "plant-a") as client:
        page = client.get("/tenants/plant-a").text
        assert "<dialog" not in page and "/quotas" not in page
        assert client.get("/tenants/plant-b").status_code == 404
        guard = {"csrf": form_token(client, "/tenants")}
        for path, form in (
            ("/tenants", {"id": "mine", "name": "Mine"}),
            ("/tenants/plant-a/sites", {"verb": "give", "site": "plant-b"}),
            ("/tenants/plant-a/quotas", {"thing": "queries", "most": ""}),
            ("/tenants/plant-a/grants", {"site": "plant-b"}),
            ("/tenants/plant-b/access", {"verb": "disable"}),
        ):
            assert client.post(path, data=guard | form).status_code == 403, path


def test_operations_show_what_keeps_the_lake_in_order(
    house: House, shown: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = {"done": 0, "left": None, "last_ms": None, "doing": ""}
    rewrite = {"done": 1712, "left": 3, "last_ms": 1_790_000_000_000, "doing": "samples 2026-09-20"}
    work = {"rewrite": rewrite, "retention": idle}
    status = {"time": house.sources.now_us() / 1e6, "stopped": False, "upkeep": {"work": work}, "audit": idle}
    with visit(house, shown, "system-administrator") as client:
        assert "nothing is kept in order meanwhile" in client.get("/operations?lang=en").text
        monkeypatch.setattr(house.sources, "status", lambda: status)
        monkeypatch.setattr(house.sources, "last_status", lambda: None)
        for language, words in (
            ("en", ("older than 400 days", "sorted rewriting")),
            ("zh", ("超过 400 天", "排序重写")),
        ):
            page = client.get(f"/operations?lang={language}").text
            assert all(word in page for word in (*words, "1,712", "samples 2026-09-20"))
    with house.client(GROUP, "system-administrator") as client:
        told = {each["kind"]: each for each in asked(client.get("/api/v1/operations/upkeep"))}
    assert told["rewrite"]["left"] == 3 and told["rewrite"]["last_us"] == 1_790_000_000_000_000
    assert told["retention"]["retention_days"] == 400 and told["audit"]["retention_days"] >= 180


def test_operations_show_hubs_in_both_languages(house: House, shown: InProcess) -> None:
    allow(house.hq.home, Identity.generate("hub-north", "hub").public)
    store = DesiredStore(house.hq.settings.data)
    report = HubReport("0.1.7", (StoreUse("store", 10**9, 20 * 10**9, 5), StoreUse("mirror", 1, 4 * 10**9)))
    store.take_hub_reports([("hub-north", 1, json.dumps(report.fields()))], 2_000_000)
    store.close()
    house.sources.forget()
    words = {"en": ("store of batches", "mirror of what comes down"), "zh": ("批次存储", "下发内容镜像")}
    with visit(house, shown, "system-administrator") as client:
        for language, expected in words.items():
            page = client.get(f"/operations?lang={language}").text
            assert "hub-north" in page and "0.1.7" in page
            assert all(f"<td>{text}</td>" in page for text in expected)


def test_pages_of_others_are_refused_with_the_role_that_has_them(house: House, shown: InProcess) -> None:
    with visit(house, shown, "viewer") as client:
        answer = client.get("/audit?lang=en")
        assert answer.status_code == 403
        assert "Audit administrator" in answer.text
        assert house.audited()[-1].content.outcome == "denied"


def test_a_tenant_sees_its_own_site_alone(house: House, shown: InProcess) -> None:
    with visit(house, shown, "operator", "plant-a") as client:
        for path in (
            "/",
            "/gateways",
            "/topology",
            "/topology/data",
            "/points",
            "/alarms",
            "/events?days=3650",
        ):
            page = client.get(path).text
            assert "unit-1" in page, path
            assert "unit-2" not in page, path
        foreign = house.series("unit-2/10LBA10CT001")
        assert client.get("/gateways/unit-2").status_code == 404
        assert f'data-line="{foreign}"' not in client.get(f"/trend?series={foreign}").text
        exported = client.get(f"/trend/export.csv?series={foreign}&from_us=0&to_us={2**61}").text
        assert exported.splitlines()[1:] == []
        sent = client.get(f"/trend/data?series={foreign}&from_us=0&to_us=1&width=100").json()
        assert sent["series"] == []


def test_a_gateways_own_ledger_stands_beside_ours(house: House, shown: InProcess) -> None:
    with visit(house, shown, "viewer") as client:
        page = client.get("/gateways/unit-1?lang=en")
        assert page.status_code == 200
        assert "sealed in batches" in page.text
        assert "restart" in page.text, "the declared gap"


def test_users_are_shown_page_by_page(
    house: House, shown: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "ROWS", 5)
    found: list[str] = []
    with visit(house, shown, "security-administrator") as client:
        address: str | None = "/users?q=plant-a"
        while address is not None:
            page = client.get(address).text
            found += re.findall(r'<a href="/users/[^"]+">([^<]+)</a>', page)
            following = re.search(r'href="([^"]+)" rel="next"', page)
            address = None if following is None else html.unescape(following[1])
    assert found == sorted(f"plant-a.{role}" for role in ROLES)


def test_what_is_wrong_is_told_in_the_language_of_the_page(house: House, shown: InProcess) -> None:
    with visit(house, shown, "system-administrator") as client:
        guard = {"csrf": form_token(client, "/tenants")}
        for language, said in (
            ("en", "tenant: id: got &#39;plant-a&#39;; expected an id that no tenant has yet"),
            ("zh", "租户 › 标识：收到 &#39;plant-a&#39;；应为尚未使用的租户标识"),
        ):
            page = client.post(f"/tenants?lang={language}", data={**guard, "id": "plant-a", "name": "A"})
            assert page.status_code == 400 and said in page.text
        page = client.post(
            "/operations/silences?lang=zh", data={**guard, "rule": "x", "hours": "0", "comment": "y"}
        )
        assert "小时数：不得小于 1" in page.text


def test_who_has_used_up_a_quota_is_told_in_the_language_of_the_page(house: House, shown: InProcess) -> None:
    with writing(house.metadata) as session:
        Quotas(session).set("plant-b", "queries", 0)
        Quotas(session).set("plant-b", "jobs", 0)
    with visit(house, shown, "operator", "plant-b") as client:
        guard = {"csrf": form_token(client, "/sql")}
        for part in ({}, {"HX-Request": "true"}):
            page = client.post("/sql?lang=zh", data={**guard, "sql": "SELECT 1"}, headers=part)
            assert "配额已用完" in page.text and "租户 plant-b 的每日查询配额为 0" in page.text
        series = house.series("unit-2/10LBA10CT001")
        page = client.get(f"/trend/export.csv?series={series}&from_us=0&to_us=9&lang=zh")
        assert page.status_code == 429 and "租户 plant-b 的并行任务配额为 0" in page.text


def test_hostile_text_is_text(house: House, shown: InProcess) -> None:
    evil = "<img src=x onerror=alert(1)>"
    with writing(house.metadata) as session:
        Users(session).add("group", "evil", evil, "", now_us())
    with visit(house, shown, "security-administrator") as client:
        for path in ("/users", f"/users?q={evil}", f"/search?q={evil}", f"/gateways?q={evil}"):
            page = client.get(path, params=None)
            assert evil not in page.text, path
        assert "&lt;img src=x" in client.get("/users").text


def test_every_page_forbids_what_stands_in_it(house: House, shown: InProcess) -> None:
    with visit(house, shown, "operator") as client:
        for path in ("/", "/sign-in?x", "/nowhere", "/alarms", "/trend"):
            answer = client.get(path)
            policy = answer.headers.get("content-security-policy", "")
            if answer.status_code != 303:
                assert "script-src 'self';" in policy and "unsafe" not in policy, path
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["cache-control"] == "no-store"


def test_a_provider_is_offered_and_an_answer_that_nobody_asked_for_lets_nobody_in(
    house: House, shown: InProcess
) -> None:
    with httpx.Client(transport=shown, base_url="http://portal") as client:
        page = client.get("/sign-in?lang=en&back=/alarms").text
        assert "Sign in by works" in page
        begun = client.get("/sign-in/oidc/begin?back=/alarms")
        assert begun.status_code == 303
        assert begun.headers["location"].startswith("https://id.example/authorization?")
        assert "redirect_uri=https%3A%2F%2Fportal.example%2Fsign-in%2Foidc" in begun.headers["location"]
        assert "HttpOnly" in begun.headers["set-cookie"]
        refused = client.get("/sign-in/oidc?code=x&state=y")
        assert refused.status_code == 401
        assert "The provider let nobody in" in refused.text
        assert house.context.cookie not in client.cookies


@pytest.mark.parametrize("target", ("//evil.example", "https://evil.example", "/\\evil.example", "/\nx"))
def test_nobody_is_led_elsewhere(house: House, shown: InProcess, target: str) -> None:
    with visit(house, shown, "viewer") as client:
        answer = client.get("/sign-in", params={"back": target})
        assert answer.headers["location"] == "/"
        chosen = client.post("/preferences", data={"language": "zh", "back": target})
        assert chosen.headers["location"] in ("/", "/?lang=zh")


def test_programs_get_problem_documents_and_people_pages(house: House, shown: InProcess) -> None:
    with visit(house, shown, "viewer") as client:
        assert client.get("/api/v1/nothing").headers["content-type"] == "application/problem+json"
        assert client.get("/nothing").headers["content-type"].startswith("text/html")
    assert {"GET", "HEAD"} == READS


def _texts(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))
