"""What a scanner for weaknesses of web applications looks at, route by route (OWASP ASVS 4, Top Ten 2021)."""

from __future__ import annotations

import itertools
import re
import statistics
import time
from dataclasses import replace
from typing import Any

import pyotp
import pytest

from headquarters.accounts import sealing, tokens, totp
from headquarters.accounts.credentials import ApiTokens
from headquarters.accounts.password import Hasher
from headquarters.accounts.people import People
from headquarters.accounts.signin import SignIn
from headquarters.accounts.store import Users
from headquarters.accounts.terms import Terms
from headquarters.api.app import PREFIX
from headquarters.api.context import CSRF_HEADER
from headquarters.api.ratelimit import RateLimiter
from headquarters.audit import trail
from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.portal import assets, service
from headquarters.portal.pages import live
from headquarters.tenancy.principal import GROUP, machine
from headquarters.tenancy.scope import Scope
from protocols.errors import StoreError
from protocols.identity import SigningKey
from tests.web.doors import CHEAP, PASSWORD, Doors, changing, check_headers, signed_in

ELSEWHERE: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://portal.evil.example"},
    {"Origin": "http://portal:81"},
    {"Origin": "null"},
)


@pytest.fixture(autouse=True)
def unhurried(doors: Doors) -> None:
    """Every test begins with full buckets: the tests are one address."""
    doors.context.strangers = RateLimiter(600_000, 600_000)


# -- headers ---------------------------------------------------------------------------------------


def test_every_answer_of_every_route_has_the_headers(doors: Doors) -> None:
    static = [f"/static/{file.name}" for file in assets.STATIC.iterdir()]
    others = [(method, path) for path in ("/", "/static/x.js", "/api/v1/x", "/%2e%2e/x") for method in
              ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "NONSENSE")]  # fmt: skip
    asked_for = [(method, path) for method, path, _ in doors.routes()] + others
    asked_for += [
        ("GET", path) for path in (*static, f"{PREFIX}/openapi.json", "/points?cursor=x", "/events?days=x")
    ]
    seen = set()
    with doors.browser(None) as nobody, doors.browser("operator") as operator:
        for client, wanted in (
            (nobody, asked_for),
            (operator, [each for each in asked_for if each[0] == "GET"]),
        ):
            for method, path in wanted:
                answer = client.request(method, path)
                check_headers(answer, (method, path, answer.status_code))
                assert answer.status_code < 500, (method, path, answer.text)
                seen.add(answer.status_code)
    assert seen >= {200, 303, 401, 403, 404, 405, 422}


def test_a_fault_of_ours_has_the_headers_and_tells_nothing(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("secret of /etc/passwd")

    with doors.browser("operator") as client:
        monkeypatch.setattr(doors.house.sources, "alarms", broken)
        doors.house.sources.forget()
        for path, kind in (("/alarms", "text/html"), (f"{PREFIX}/alarms", "application/problem+json")):
            answer = client.get(path)
            assert answer.status_code == 500
            assert answer.headers["content-type"].startswith(kind), "people get a page"
            check_headers(answer, path)
            assert "passwd" not in answer.text and "Traceback" not in answer.text


def test_what_a_store_says_of_this_machine_stays_in_the_log(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise StoreError("cannot read /srv/secret/metadata.db")

    with doors.browser("operator") as client:
        monkeypatch.setattr(doors.house.sources, "alarms", broken)
        doors.house.sources.forget()
        for path, text in (
            ("/alarms?lang=en", "The log of headquarters"),
            ("/alarms?lang=zh", "总部日志"),
            (f"{PREFIX}/alarms", "log says"),
        ):
            answer = client.get(path)
            assert answer.status_code == 503
            assert text in answer.text and "/srv" not in answer.text


def test_over_tls_browsers_are_told_to_stay_with_it(doors: Doors) -> None:
    with doors.over_tls() as client:
        for path in ("/", "/sign-in", "/nowhere", f"{PREFIX}/me", assets.asset("portal.js")):
            answer = client.get(path)
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
    with doors.browser() as client:
        assert "strict-transport-security" not in client.get("/").headers


# -- cookies and sessions --------------------------------------------------------------------------


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(doors: Doors) -> None:
    doors.person("cookie.anna")
    form = {"login": "cookie.anna", "password": PASSWORD, "back": "/account"}
    with doors.over_tls() as client:
        answers = [client.post("/sign-in", data=form)]
        session = signed_in(answers[0], replace(doors.context, is_tls=True))
        client.headers["Cookie"] = f"__Host-catchment={session}"
        guard = {"csrf": doors.token(session)}
        answers.append(client.post("/preferences", data={"language": "zh", "scheme": "dark"}))
        answers.append(client.get("/alarms?lang=en"))
        said = client.post("/account/profile", data={**guard, "name": "Anna", "email": ""})
        answers.append(said)
        client.headers["Cookie"] += "; catchment-said=done"
        answers.append(client.get("/account"))
        answers.append(client.post("/sign-out", data=guard))
    given = [text for answer in answers for text in answer.headers.get_list("set-cookie")]
    assert len(given) == 7
    for text in given:
        assert "httponly" in text.lower() and "samesite=lax" in text.lower() and "secure" in text.lower(), (
            text
        )
        assert "path=/" in text.lower() and "domain" not in text.lower(), text
    assert [text.split("=")[0] for text in given if "__Host-" in text] == ["__Host-catchment"] * 2
    assert "Max-Age=0" in given[-1]


def test_signing_in_begins_a_new_session_and_ends_the_one_that_was_there(doors: Doors) -> None:
    doors.person("fixed.anna")
    planted = doors.session(doors.house.users[GROUP, "viewer"])
    form = {"login": "fixed.anna", "password": PASSWORD}
    for cookie in (planted, "x" * 43):
        with doors.browser(None) as client:
            client.cookies.set(doors.context.cookie, cookie)
            answer = client.post("/sign-in", data=form)
            assert answer.status_code == 303
            assert signed_in(answer, doors.context) != cookie
        assert doors.house.sessions.resume(cookie) is None


def test_a_session_ends_when_it_is_signed_out_and_everywhere_when_the_password_changes(doors: Doors) -> None:
    user = doors.person("out.anna")
    here, there, third = (doors.session(user) for _ in range(3))
    with doors.browser(None) as client:
        client.cookies.set(doors.context.cookie, third)
        client.post("/sign-out", data={"csrf": doors.token(third)})
        client.cookies.clear()
        client.cookies.set(doors.context.cookie, third)
        assert client.get("/account").headers["location"].startswith("/sign-in")
        client.cookies.clear()
        client.cookies.set(doors.context.cookie, here)
        form = {
            "csrf": doors.token(here),
            "old": PASSWORD,
            "new": "Delta-Reed-8812",
            "again": "Delta-Reed-8812",
        }
        answer = client.post("/account/password", data=form)
        assert answer.status_code == 303, answer.text
        rotated = signed_in(answer, doors.context)
        assert rotated != here
    assert doors.house.sessions.resume(there) is None
    assert doors.house.sessions.resume(rotated) is not None


def test_a_disabled_user_is_out_at_once_also_of_streams(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = doors.person("live.anna")
    cookie = doors.session(user)
    text = doors.house.token(GROUP, "viewer", frozenset({"points:read"}))
    monkeypatch.setattr(live, "STEP_S", 0.0)
    monkeypatch.setattr(live, "CHECK_S", 0.0)
    monkeypatch.setattr(doors.house, "is_stopping", False)
    calls = 0
    still_sees = live._still_sees

    def once(*given: Any) -> Scope | None:
        nonlocal calls
        calls += 1
        if calls == 3:
            with writing(doors.house.metadata) as session:
                Users(session).set_disabled(user, True)
        return still_sees(*given)

    monkeypatch.setattr(live, "_still_sees", once)
    with doors.browser(None) as client:
        client.cookies.set(doors.context.cookie, cookie)
        assert client.get("/live").status_code == 200  # and it ended
        assert calls == 3
        assert client.get("/alarms").headers["location"].startswith("/sign-in")
        assert client.get(f"{PREFIX}/me").status_code == 401
        assert client.get(f"{PREFIX}/me", headers={"Authorization": f"Bearer {text}"}).status_code == 200
    assert live._streams._open.total() == 0


def test_a_stream_tells_only_what_may_be_read(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    monkeypatch.setattr(live, "STEP_S", 0.0)
    monkeypatch.setattr(doors.context, "stopping", lambda: next(looks) % 3 == 2)
    path = f"/live?series={doors.house.series('unit-1/10LBA10CT001')}"
    for role, is_told in (("operator", True), ("system-administrator", False)):
        with doors.browser(role) as client:
            assert ("event: values" in client.get(path).text) is is_told, role
    text = doors.house.token(GROUP, "operator", frozenset({"samples:read"}))
    with doors.browser(None) as client:
        bearer = {"Authorization": f"Bearer {text}"}
        answer = client.get(f"{PREFIX}/live?alarms=true", headers=bearer)
        assert (answer.status_code, answer.json()["permission"]) == (403, "alarms:read")


def test_a_stream_outlives_the_cookie_that_it_began_with(doors: Doors) -> None:
    user = doors.person("long.anna")
    at = now_us()
    cookie = doors.house.sessions.begin(user, "tests", "", "", at)
    later = at + 16 * 60_000_000
    resumed = doors.house.sessions.resume(cookie, later)
    assert resumed is not None and resumed.token is not None
    after = later + 10 * 60_000_000
    assert doors.house.sessions.principal(resumed.session.id, after) is not None
    assert doors.house.sessions.resume(resumed.token, after) is not None, "looking is no use of the old token"
    assert doors.house.sessions.principal(resumed.session.id, after + 31 * 60_000_000) is None, "idle"
    with writing(doors.house.metadata) as session:
        Users(session).set_disabled(user, True)
    assert doors.house.sessions.principal(resumed.session.id, after) is None


def test_a_token_never_does_more_than_its_owner(doors: Doors) -> None:
    user = doors.person("token.anna", "operator")
    with writing(doors.house.metadata) as session:
        made = tokens.make(session, machine("tests"), "t", ["alarms:read"], 1, user=user)
    bearer = {"Authorization": f"Bearer {made.text}"}
    with doors.browser(None) as client:
        assert client.get(f"{PREFIX}/points", headers=bearer).status_code == 403
        assert client.get(f"{PREFIX}/alarms", headers=bearer).status_code == 200
        more = {"name": "more", "scopes": ["alarms:read"]}
        assert client.post(f"{PREFIX}/tokens", json=more, headers=bearer).status_code == 403
        assert client.get("/alarms", headers=bearer).headers["location"].startswith("/sign-in")
        with writing(doors.house.metadata) as session:
            Users(session).take_role(user, "operator")
        assert client.get(f"{PREFIX}/alarms", headers=bearer).status_code == 403
        with writing(doors.house.metadata) as session:
            Users(session).set_disabled(user, True)
        assert client.get(f"{PREFIX}/alarms", headers=bearer).status_code == 401
    with doors.browser("viewer") as client:
        form = {"csrf": doors.token(client.cookies[doors.context.cookie]), "name": "x", "scope": "audit:read"}
        answer = client.post("/account/tokens", data=form)
        assert answer.status_code == 400 and "cat_" not in answer.text


# -- forged requests -------------------------------------------------------------------------------


def test_no_change_is_made_without_the_token_of_the_session(doors: Doors) -> None:
    with doors.browser("operator") as other:
        foreign = doors.token(other.cookies[doors.context.cookie])
    routes = [each for each in changing(doors) if not each[1].startswith(("/sign-in", "/preferences"))]
    assert len(routes) > 45
    with doors.mighty() as client:
        right = doors.token(client.cookies[doors.context.cookie])
        before = len(doors.house.audited())
        for n, (method, path, _) in enumerate(routes):
            is_api = path.startswith(PREFIX)
            wrong = ("", "x", right[:-4] + "AAAA", right + "A", "\u00e9", right.swapcase())[n % 6]
            for token in (None, foreign, wrong):
                sent = {} if token is None or not is_api else {CSRF_HEADER.encode(): token.encode()}
                data = None if token is None or is_api else {"csrf": token}
                answer = client.request(method, path, headers=sent, data=data)
                assert answer.status_code == 403, (method, path, token, answer.status_code)
                assert ":refused" in answer.text or "had been open too long" in answer.text, (method, path)
        assert len(doors.house.audited()) == before, "nothing was done, nor asked for"


def test_no_change_is_made_for_a_page_of_another_site(doors: Doors) -> None:
    with doors.browser("operator") as client:
        right = doors.token(client.cookies[doors.context.cookie])
        for n, (method, path, _) in enumerate(changing(doors)):
            every = path.startswith(("/sign-in", "/preferences")) or path in (
                "/alarms",
                f"{PREFIX}/alarms/actions",
            )
            for elsewhere in ELSEWHERE if every else (ELSEWHERE[n % len(ELSEWHERE)],):
                sent = {CSRF_HEADER: right, **elsewhere}
                data = None if path.startswith(PREFIX) else {"csrf": right}
                answer = client.request(method, path, headers=sent, data=data)
                assert answer.status_code == 403, (method, path, elsewhere, answer.status_code)
        form = {"csrf": right, "verb": "ack", "alarm": "unit-1|steam/unit/high"}
        for ours in (
            {"Origin": "http://portal"},
            {"Origin": "http://portal:80", "Sec-Fetch-Site": "same-origin"},
        ):
            assert client.post("/alarms", data=form, headers=ours).status_code == 303
    with doors.over_tls() as client:
        for origin, status in (("https://hq.example", 303), ("http://hq.example.evil.example", 403)):
            answer = client.post("/preferences", data={"language": "zh"}, headers={"Origin": origin})
            assert answer.status_code == status


def test_reading_changes_nothing(doors: Doors) -> None:
    with doors.browser("operator") as client:
        before = len(doors.house.audited())
        for method, path, _ in doors.routes():
            if method == "GET":
                client.get(path)
        assert {entry.content.outcome for entry in doors.house.audited()[before:]} <= {"denied"}


def test_a_page_of_another_site_learns_nothing_by_asking_before(doors: Doors) -> None:
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    with doors.browser("operator") as client:
        for path in ("/alarms", f"{PREFIX}/alarms/actions", f"{PREFIX}/users/x"):
            answer = client.options(path, headers=asks)
            assert answer.status_code in (404, 405)
            assert not any(name.startswith("access-control") for name in answer.headers)


# -- what is written down --------------------------------------------------------------------------


def test_every_denial_is_in_the_audit_once_wherever_it_came_from(doors: Doors) -> None:
    new = {"tenant": "plant-b", "login": "anna.b", "name": "Anna"}
    denied: dict[str, list[tuple[str, str, dict[str, str]]]] = {
        "system-administrator": [
            ("GET", f"{PREFIX}/users?tenant=plant-b", {}),
            ("GET", f"{PREFIX}/groups?tenant=plant-b", {}),
            ("POST", f"{PREFIX}/users", new),
            ("POST", f"{PREFIX}/groups", {"tenant": "plant-b", "name": "shift"}),
            ("POST", "/users", new),
        ],
        "operator": [("POST", "/sql/saved", {"sql": "SELECT 1", "name": "mine", "shared": "true"})],
        "audit-administrator": [("GET", path, {}) for path in ("/", "/points", "/users", "/live")],
    }
    for role, requests in denied.items():
        with doors.browser(role, "plant-a") as client:
            right = doors.token(client.cookies[doors.context.cookie])
            for method, path, form in requests:
                before = len(doors.house.audited())
                if path.startswith(PREFIX):
                    answer = client.request(method, path, json=form, headers={CSRF_HEADER: right})
                else:
                    data = None if method == "GET" else {**form, "csrf": right}
                    answer = client.request(method, path, data=data)
                assert answer.status_code == 403, (path, answer.text)
                entries = [entry.content for entry in doors.house.audited()[before:]]
                assert [entry.outcome for entry in entries] == ["denied"], (method, path)
                assert entries[0].actor_name == f"plant-a.{role}"


def test_every_form_that_changes_something_is_in_the_audit(doors: Doors) -> None:
    user = doors.person("kept.anna")
    with doors.mighty() as client:
        cookie = client.cookies[doors.context.cookie]
        right = doors.token(cookie)

        def told(path: str, **form: str) -> list[str]:
            before = len(doors.house.audited())
            answer = client.post(path, data={**form, "csrf": right})
            assert answer.status_code in (200, 303), (path, answer.text)
            entries = [entry.content for entry in doors.house.audited()[before:]]
            assert {(entry.outcome, entry.actor_name) for entry in entries} == {("done", "mighty.anna")}
            return [entry.action for entry in entries]

        assert told("/users", tenant="plant-a", login="new.one", name="One") == ["users.add", "users.link"]
        for verb in ("disable", "enable", "unlock", "link"):
            assert told(f"/users/{user}/account", verb=verb) == [f"users.{verb}"]
        for verb in ("give", "take"):
            assert told(f"/users/{user}/roles", verb=verb, role="operator") == [f"roles.{verb}"]
        assert told("/account/profile", name="Mighty") == ["users.profile"]
        assert told("/sql/saved", sql="SELECT 1", name="one") == ["queries.save"]
        resumed = doors.house.sessions.resume(cookie)
        assert resumed is not None
        [saved] = [each for each in doors.house.queries.saved(resumed.principal) if each.name == "one"]
        assert told(f"/sql/saved/{saved.id}/remove") == ["queries.remove"]
        assert told("/account/tokens", name="t", scope="points:read") == ["tokens.make"]
        with reading(doors.house.metadata) as session:
            [token] = ApiTokens(session).of_user(resumed.user.id)
        assert told(f"/account/tokens/{token.id}") == ["tokens.revoke"]
        doors.session(resumed.user.id)
        [other] = [
            row.id for row in doors.house.sessions.of_user(resumed.user.id) if row.id != resumed.session.id
        ][:1]
        assert told(f"/account/sessions/{other}") == ["sessions.end"]
        assert told("/sign-out") == ["sessions.end"]


def test_the_page_that_checks_the_audit_believes_headquarters_key_alone(doors: Doors) -> None:
    with doors.browser("audit-administrator") as client:
        assert "The chain holds" in client.get("/audit/check?lang=en").text
        with writing(doors.house.metadata) as session:
            trail.seal_head(session, SigningKey(bytes(32)))
        assert "signed by a key that is not headquarters" in client.get("/audit/check?lang=en").text


# -- signing in ------------------------------------------------------------------------------------


def test_who_does_not_exist_is_answered_as_who_does(doors: Doors) -> None:
    doors.person("known.anna")
    shown = set()
    counted: list[str | None] = []

    class Counting(Hasher):
        def matches(self, hashed: str | None, password: str) -> bool:
            counted.append(hashed)
            return CHEAP.matches(hashed, password)

    terms, sealer = Terms(), sealing.load(doors.house.hq.home)
    doors.context.services[service.NAME] = replace(
        doors.service, sign_in=SignIn(doors.house.metadata, terms, Counting(), sealer)
    )
    try:
        with doors.browser(None) as client:
            for login in ("known.anna", "nobody.here", "évil", "' OR 1=1 --", "x" * 64):
                answer = client.post("/sign-in", data={"login": login, "password": "Wrong-Pass-1234"})
                assert answer.status_code == 401
                text = re.sub(r'nonce[^>]*content="[^"]+"|value="[^"]*"', "", answer.text)
                shown.add((text, tuple(sorted(set(answer.headers) - {"content-length"}))))
    finally:
        doors.context.services[service.NAME] = doors.service
    assert len(shown) == 1
    assert len(counted) == 5, "a hash is worked out for everybody, whoever there is"


def test_working_out_the_hash_of_nobody_takes_as_long() -> None:
    hasher = Hasher(time_cost=2, memory_kib=4096, lanes=1)
    kept = hasher.hash(PASSWORD)

    def takes(hashed: str | None) -> float:
        begun = time.perf_counter()
        assert not hasher.matches(hashed, "Wrong-Pass-1234")
        return time.perf_counter() - begun

    pairs = [(takes(kept), takes(None)) for _ in range(9)]
    known, unknown = (statistics.median(side) for side in zip(*pairs, strict=True))
    assert 0.33 < unknown / known < 3.0


def test_an_account_is_locked_after_five_failures_also_for_the_right_password(doors: Doors) -> None:
    doors.person("locked.anna")
    with doors.browser(None) as client:
        answers = [
            client.post("/sign-in", data={"login": "locked.anna", "password": f"Wrong-Pass-{n}"})
            for n in range(5)
        ]
        answers.append(client.post("/sign-in", data={"login": "locked.anna", "password": PASSWORD}))
        assert [answer.status_code for answer in answers] == [401] * 6
    assert [e.content.detail for e in doors.house.audited() if e.content.action == "sign-in.password"][
        -1
    ].find("locked") >= 0


def test_one_address_tries_so_often_and_no_more(doors: Doors) -> None:
    doors.context.strangers = RateLimiter(60, 5)
    with doors.browser(None) as client:
        tries = [client.post("/sign-in", data={"login": "a", "password": "b"}) for _ in range(7)]
        assert [answer.status_code for answer in tries] == [401] * 5 + [429] * 2
        assert int(tries[-1].headers["retry-after"]) >= 1
        assert client.get("/sign-in/link/guess").status_code == 429
        assert client.get(f"{PREFIX}/me", headers={"Authorization": "Bearer cat_x"}).status_code == 429


def test_a_link_serves_once_and_not_by_looking_at_it(doors: Doors) -> None:
    with writing(doors.house.metadata) as session:
        secret = People(session, machine("tests")).link(doors.house.users[GROUP, "publisher"])
    path = f"/sign-in/link/{secret}"
    with doors.browser(None) as client:
        assert "set-cookie" not in client.get(path).headers
        first = client.post(path)
        assert first.headers["location"] == "/account?first=password"
        signed_in(first, doors.context)
        client.cookies.clear()
        assert client.get(path).status_code == 404
        again = client.post(path)
        assert again.status_code == 401 and "set-cookie" not in again.headers


def test_who_lost_a_password_sets_another_by_a_link_and_only_then_without_the_old_one(doors: Doors) -> None:
    user = doors.person("lost.anna")
    with writing(doors.house.metadata) as session:
        secret = People(session, machine("tests")).link(user)
    new = {"new": "Delta-Reed-8812", "again": "Delta-Reed-8812"}
    with doors.browser(None) as client:
        client.cookies.set(doors.context.cookie, doors.session(user))  # begun otherwise
        form = {**new, "csrf": doors.token(client.cookies[doors.context.cookie])}
        assert client.post("/account/password", data=form).status_code == 400
        client.cookies.clear()
        came = client.post(f"/sign-in/link/{secret}")
        assert came.headers["location"] == "/account?first=password"
        cookie = signed_in(came, doors.context)
        client.cookies.clear()
        client.cookies.set(doors.context.cookie, cookie)
        assert 'name="old"' not in client.get("/account?first=password").text.partition("second-factor")[0]
        changed = client.post("/account/password", data={**new, "csrf": doors.token(cookie)})
        assert changed.status_code == 303
        client.cookies.clear()
        cookie = signed_in(changed, doors.context)
        client.cookies.set(doors.context.cookie, cookie)
        again = {"new": "Lake-Shore-9913", "again": "Lake-Shore-9913", "csrf": doors.token(cookie)}
        assert client.post("/account/password", data=again).status_code == 400, "a link serves once"
        client.cookies.clear()
        form = {"login": "lost.anna", "password": new["new"]}
        assert client.post("/sign-in", data=form).status_code == 303


def test_a_code_serves_once(doors: Doors) -> None:
    user = doors.person("code.anna")
    sealed, _ = doors.service.own.begin_second_factor(user)
    secret = sealing.load(doors.house.hq.home).open(sealed, user)
    at = now_us()
    code = pyotp.TOTP(totp.text(secret)).at
    used = code(at // 1_000_000)
    doors.service.own.confirm_second_factor(user, sealed, used, at_us=at)
    form = {"login": "code.anna", "password": PASSWORD}
    with doors.browser(None) as client:
        without = client.post("/sign-in", data=form)
        assert without.status_code == 200 and "set-cookie" not in without.headers
        assert client.post("/sign-in", data={**form, "code": used}).status_code == 401
        fresh = code(now_us() // 1_000_000 + 30)
        assert client.post("/sign-in", data={**form, "code": fresh}).status_code == 303
        client.cookies.clear()
        assert client.post("/sign-in", data={**form, "code": fresh}).status_code == 401
