"""The status page as requests and responses: who may look, who may act, and that nothing breaks out."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from edge_runtime.alarms.states import RefusedError
from edge_runtime.config import PageConfig
from edge_runtime.page import passwords, words
from edge_runtime.page.guard import LOGIN_S, TRIES_PER_MIN, Guard
from edge_runtime.page.server import PageServer
from edge_runtime.page.site import FORM_BYTES_MAX, HEADERS, Request, Response, Site
from edge_runtime.page.view import Seen, Visitor, page
from protocols.daemon import EventLog
from protocols.errors import InputError
from protocols.probe import Answer
from protocols.smallserver import CONNECTIONS_MAX

HOST = "127.0.0.1:8480"
ALARM = {
    "alarm": 'gas/hall "1"/<ch4>', "app": "gas", "text": "<script>alert(1)</script>", "priority": 1,
    "state": "unacknowledged", "active": True, "shelved_until_us": None, "value": 20.5, "changed_us": 10**15,
}  # fmt: skip
SEEN = Seen(
    {}, [ALARM], [("Name", "unit-1")], [("good", "a")], ['{"event": "<i>", "time": "x", "level": "info"}']
)


class World:
    """One site, one visitor with cookies, and what was done to alarms."""

    def __init__(self, password: str = "") -> None:
        self.now_s = 0.0
        self.done: list[tuple[str, Mapping[str, Any]]] = []
        self.refuse = ""
        self.cookies: dict[str, str] = {}
        self.site = Site(Guard(password, "gw-box", lambda: self.now_s), lambda: SEEN, self._handle)

    def _handle(self, command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.refuse:
            raise RefusedError(self.refuse)
        self.done.append((command, arguments))
        return {
            "done": [{"alarm": name, "state": "acknowledged"} for name in arguments["alarms"]],
            "refused": [],
        }

    def get(self, target: str = "/", **headers: str) -> Response:
        return self._ask("GET", target, b"", headers)

    def post(self, target: str, form: Mapping[str, str], **headers: str) -> Response:
        return self._ask("POST", target, urlencode(form).encode(), headers)

    def _ask(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {"host": HOST, "cookie": cookie, **{name.replace("_", "-"): v for name, v in headers.items()}}
        response = self.site.answer(Request(method, target, given, body))
        for name, value in response.headers:
            if name == "Set-Cookie":
                assert "HttpOnly" in value and "SameSite=Strict" in value
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        return response

    def token(self) -> str:
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.get().body.decode())
        assert found is not None
        return found[1]

    def form(self, **changed: str) -> dict[str, str]:
        return {"token": self.token(), "alarm": ALARM["alarm"], "operator": "li", **changed}  # type: ignore[dict-item]


def test_an_alarm_is_acknowledged_by_a_form_of_this_visit() -> None:
    world = World()
    answer = world.post("/alarms/acknowledge", world.form(), origin=f"http://{HOST}")
    assert answer.status == 303 and world.done[0][0] == "alarms.acknowledge"
    assert world.done[0][1] == {"alarms": [ALARM["alarm"]], "operator": "li", "comment": ""}
    page = world.get().body.decode()
    assert "acknowledged" in page and 'value="li"' in page, "it says what was done, and remembers the name"
    assert "said good" not in world.get().body.decode(), "once"


@pytest.mark.parametrize(
    ("status", "form", "headers"),
    [
        (403, {"token": "0" * 64}, {}),
        (403, {"token": ""}, {}),
        (403, {}, {"origin": "http://evil.example"}),
        (403, {}, {"origin": "null"}),
        (403, {}, {"cookie": ""}),
        (403, {}, {"cookie": "catchment-visit=" + "0" * 32}),
        (421, {}, {"host": "evil.example"}),
        (421, {}, {"host": "evil.example:8480"}),
        (421, {}, {"host": ""}),
    ],
)
def test_a_form_from_elsewhere_does_nothing(
    status: int, form: dict[str, str], headers: dict[str, str]
) -> None:
    world = World()
    assert world.post("/alarms/acknowledge", world.form(**form), **headers).status == status
    assert world.done == []


@pytest.mark.parametrize(
    ("action", "form", "said"),
    [
        ("acknowledge", {"operator": "  "}, "Say who you are."),
        ("shelve", {}, "To shelve an alarm, say why."),
    ],
)
def test_who_and_why_are_asked_for(action: str, form: dict[str, str], said: str) -> None:
    world = World()
    world.post(f"/alarms/{action}", world.form(**form))
    assert world.done == [] and said in world.get().body.decode()


def test_shelving_takes_one_of_the_offered_times() -> None:
    world = World()
    for for_s, taken in (("3600", 3600), ("999999999", 28_800), ("x", 28_800)):
        world.post("/alarms/shelve", world.form(comment="sensor", for_s=for_s))
        assert world.done[-1][1]["for_s"] == taken


def test_a_refusal_of_the_gateway_is_shown() -> None:
    world = World()
    world.refuse = "there is no such alarm"
    world.post("/alarms/acknowledge", world.form())
    assert "there is no such alarm" in world.get().body.decode()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8480", "localhost:8480", "[::1]:8480", "10.1.2.3", "GW-BOX:8480"]
)
def test_the_page_answers_under_the_addresses_of_its_machine(host: str) -> None:
    assert World().get("/", host=host).status == 200


def test_nothing_that_a_device_or_program_says_becomes_markup() -> None:
    body = World().get().body.decode()
    assert "<script>alert" not in body and "&lt;script&gt;alert(1)" in body
    assert "<ch4>" not in body and "<i>" not in body
    assert body.count("<script") == 1 and 'src="/page.js"' in body and "style=" not in body
    assert re.findall(r'(?:src|href|action)="(?!/|#|data:,)[^"]*"', body) == []


def test_everything_comes_from_here_and_nothing_else_may() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    world = World()
    for path, kind in (("/page.css", "text/css"), ("/page.js", "text/javascript")):
        first = world.get(path)
        assert first.type.startswith(kind) and b"http" not in first.body
        tag = dict(first.headers)["ETag"]
        assert world.get(path, if_none_match=tag).status == 304


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/../gateway.toml"), ("GET", "/keys/signing.key"), ("POST", "/x")]
)
def test_there_is_nothing_else(method: str, target: str) -> None:
    world = World()
    token = {"token": world.token()}
    assert (world.get(target) if method == "GET" else world.post(target, token)).status == 404
    assert world.site.answer(Request("PUT", "/", {"host": HOST})).status == 405
    assert world.site.answer(Request("POST", "/x", {"host": HOST}, b"\xff")).status == 400


def test_the_language_is_the_browsers_until_one_is_chosen() -> None:
    world = World()
    assert "报警" in world.get("/", accept_language="zh-CN,en;q=0.5").body.decode()
    assert "报警" not in world.get("/", accept_language="de,en;q=0.5").body.decode()
    assert world.get("/?lang=zh").status == 303
    assert 'lang="zh"' in world.get("/", accept_language="en").body.decode()


def test_every_word_of_the_page_has_a_translation() -> None:
    status = {
        "gateway": "unit-1", "state": "running", "time": "t", "rates": {"samples_per_s": 1.0},
        "memory_bytes": 1,
        "devices": [{"device": "plc", "state": "lost", "requests": 1, "timeouts": 1, "last_error": "e"}],
        "uplink": {"connected": False, "last_error": "e"}, "clock": {"state": "unsynchronised"},
        "store": {"trouble": "", "used_bytes": 1, "quota_bytes": 2},
        "backlog": {"batches": 1, "unsent": 1, "bytes": 1, "seconds": 1.0},
        "ledger": {"collected": 1, "thinned": 1, "journalled": 1, "sealed": 1,
                   "dropped": {}, "unaccounted": 0},
        "tasks": [], "apps": [], "commands": None,
    }  # fmt: skip
    shown = page(Seen(status, [ALARM], [], None, []), Visitor("zh", ""))
    plain = re.sub(r"<[^>]*>", " ", re.sub(r'"[^"]*"', "", shown))
    left = set(re.findall(r"[A-Za-z]{3,}", plain)) - {
        "Catchment",
        "gas",
        "hall",
        "script",
        "alert",
        "unit",
        "plc",
    }
    assert left <= {"English", "quot", "ch4"}, left
    assert len(set(words._CHINESE.values())) > 100


class TestPassword:
    def world(self) -> World:
        return World(passwords.make("steam"))

    def test_nothing_is_shown_or_done_before_it(self) -> None:
        world = self.world()
        assert "gas/hall" not in world.get().body.decode()
        assert world.get("/live").status == 403
        assert world.post("/alarms/acknowledge", world.form()).status == 403 and world.done == []

    def test_it_opens_the_page_for_a_shift(self) -> None:
        world = self.world()
        world.post("/login", {"token": world.token(), "password": "steam"})
        assert world.get("/live").status == 200
        world.now_s += LOGIN_S + 1
        assert world.get("/live").status == 403

    def test_a_login_of_another_visit_or_made_up_opens_nothing(self) -> None:
        world = self.world()
        world.post("/login", {"token": world.token(), "password": "steam"})
        login = world.cookies["catchment-login"]
        other = self.world()
        other.cookies["catchment-login"] = login
        assert other.get("/live").status == 403
        world.cookies["catchment-login"] = f"9{login}"
        assert world.get("/live").status == 403
        for rubbish in ("", "x", ".", "9999999999.", "9999999999." + "0" * 64):
            world.cookies["catchment-login"] = rubbish
            assert world.get("/live").status == 403

    def test_one_leaves_it_again(self) -> None:
        world = self.world()
        world.post("/login", {"token": world.token(), "password": "steam"})
        world.post("/logout", {"token": world.token()})
        assert world.get("/live").status == 403

    def test_tries_are_few_a_minute(self) -> None:
        world = self.world()
        token = world.token()
        for _ in range(TRIES_PER_MIN):
            world.post("/login", {"token": token, "password": "water"})
        world.post("/login", {"token": token, "password": "steam"})
        assert "wait a minute" in world.get().body.decode() and world.get("/live").status == 403
        world.now_s += 61
        world.post("/login", {"token": token, "password": "steam"})
        assert world.get("/live").status == 200


class TestServer:
    def served(self, port: int = 0) -> PageServer:
        config = PageConfig("127.0.0.1", port)
        return PageServer(config, lambda: SEEN, lambda command, arguments: {}, EventLog(stream=None))

    def test_it_serves_with_its_headers_and_bounds_what_comes_in(self) -> None:
        server = self.served()
        server.start()
        try:
            host, port = server.address.removeprefix("http://").rstrip("/").split(":")
            client = http.client.HTTPConnection(host, int(port), timeout=10)
            client.request("GET", "/")
            answer = client.getresponse()
            assert answer.status == 200 and b"Gateway" in answer.read()
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert "Python" not in str(answer.headers)
            client.request("HEAD", "/")
            assert client.getresponse().read() == b""
            for length in (str(FORM_BYTES_MAX + 1), "-1", "x", ""):
                client.putrequest("POST", "/login")
                client.putheader("Content-Length", length)
                client.endheaders()
                assert client.getresponse().status == 413
                client.close()
            # more connections than are served at once are closed, and the page goes on
            held = [socket.create_connection((host, int(port))) for _ in range(CONNECTIONS_MAX + 5)]
            for each in held:
                each.close()
            client.request("GET", "/page.css")
            assert client.getresponse().status == 200
            client.close()
        finally:
            server.close()

    def test_an_address_that_is_taken_is_named(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(InputError, match="free on this machine"):
                self.served(taken.getsockname()[1])


def test_monitors_need_no_password_and_get_numbers_alone() -> None:
    answers = {"/metrics": Answer(200, b"n 1\n"), "/readyz": Answer(503, b"the store\n")}
    guard = Guard(passwords.make("secret word"), "gw-box", lambda: 0.0)
    site = Site(guard, lambda: SEEN, lambda command, arguments: {}, answers.get)
    found = [site.answer(Request("GET", path, {"host": HOST})) for path in (*answers, "/healthz", "/live")]
    assert [response.status for response in found] == [200, 503, 404, 403]
    assert found[0].body == b"n 1\n"
    assert site.answer(Request("GET", "/metrics", {"host": "evil.example"})).status == 421
