"""Hostile requests and texts: what is asked for, sent, and shown (OWASP ASVS 4, Top Ten 2021)."""

from __future__ import annotations

import ast
import asyncio
import csv
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import uvicorn

import headquarters
from headquarters import patience
from headquarters.api import headers
from headquarters.api.app import PREFIX
from headquarters.api.context import CSRF_HEADER, PUBLIC
from headquarters.api.ratelimit import RateLimiter
from headquarters.config import WebConfig
from headquarters.portal.csvcells import cell
from headquarters.portal.frame import TEMPLATES
from headquarters.tenancy.principal import GROUP
from headquarters.web import server_settings
from tests.web.doors import PASSWORD, Doors, changing, check_headers
from tests.web.hostile import TEXTS, made_of_texts, pages


@pytest.fixture(autouse=True)
def unhurried(doors: Doors) -> None:
    """Every test begins with full buckets: the tests are one address."""
    doors.context.strangers = RateLimiter(600_000, 600_000)


# -- where one is led, and what is asked for -------------------------------------------------------

ASTRAY = (
    "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example",
    "https:evil.example", "javascript:alert(1)", "data:text/html,x", " //evil.example", "/\t/evil.example",
    "/\n/evil.example",
    "\r\nSet-Cookie: x=1", "/\r\nLocation: //evil.example", "evil.example", "@evil.example",
    "//portal@evil.example", "/\u2028/evil.example",
)  # fmt: skip


def test_nobody_is_led_elsewhere(doors: Doors) -> None:
    doors.person("led.anna")
    with doors.browser("viewer") as inside, doors.browser(None) as outside:
        guard = {"csrf": doors.token(inside.cookies[doors.context.cookie])}
        for target in ASTRAY:
            form = {"login": "led.anna", "password": PASSWORD, "back": target}
            outside.cookies.clear()
            for answer in (
                inside.get("/sign-in", params={"back": target}),
                inside.post("/preferences", data={"back": target, "language": "en"}),
                outside.post("/sign-in", data=form),
            ):
                assert answer.status_code == 303
                to = httpx.URL("http://portal/").join(answer.headers["location"])
                assert (to.scheme, to.host, to.path) == ("http", "portal", "/"), (target, to)
                assert "x" not in {
                    name for text in answer.headers.get_list("set-cookie") for name in SimpleCookie(text)
                }
        inside.post("/sign-out", data=guard)


HOSTS = (
    "evil.example/x",
    "a b",
    "portal/gateways?",
    "portal#",
    "user@portal",
    "[::1",
    "portal:99999999",
    "<script>",
    "",
)


def test_a_host_that_is_none_is_refused_and_links_are_not_made_of_it(doors: Doors) -> None:
    with doors.browser("operator") as client:
        for host in HOSTS:
            for path in ("/alarms", f"{PREFIX}/me"):
                answer = client.get(path, headers={"Host": host})
                assert answer.status_code == 400, host
                check_headers(answer, host)
                assert "evil" not in answer.text and "script>" not in answer.text
        for path in ("/alarms", "/points", "/nowhere"):
            assert "stranger.example" not in client.get(path, headers={"Host": "stranger.example"}).text
    cookie = doors.session(doors.house.users[GROUP, "system-administrator"])
    with doors.over_tls() as client:
        form = {"csrf": doors.token(cookie), "verb": "link"}
        user = doors.house.users[GROUP, "viewer"]
        sent = {"Cookie": f"__Host-catchment={cookie}", "Host": "evil.example"}
        page = client.post(f"/users/{user}/account", data=form, headers=sent)
        assert "https://hq.example/sign-in/link/" in page.text


UPWARDS = (
    "../manifest.json", "..%2fmanifest.json", "%2e%2e%2fassets.py", "%2e%2e/assets.py",
    "..%5cassets.py", "....//assets.py",
    "%252e%252e%252fassets.py", "manifest.json", ".", "%2e", "portal.js%00", "/etc/passwd",
    "%2fetc%2fpasswd", "..;/assets.py",
)  # fmt: skip


def test_no_address_leads_to_other_files(doors: Doors) -> None:
    with doors.browser("operator") as client:
        for path in UPWARDS:
            for folder in (
                "/static/",
                "/gateways/unit-1/files/",
                "/catalogue/",
                f"{PREFIX}/tables/",
                "/rollouts/",
            ):
                answer = client.get(folder + path)
                is_inside = answer.request.url.path.startswith(
                    folder + path[:1]
                )  # the client takes dots away
                assert not is_inside or answer.status_code in (400, 401, 404, 422), (folder, path)
                assert answer.status_code < 500, (folder, path)
                assert not any(
                    word in answer.text for word in ("root:", "router = APIRouter", 'portal.js":')
                ), path


# -- bodies ----------------------------------------------------------------------------------------


def test_a_body_counts_as_what_it_says_it_is(doors: Doors) -> None:
    change = json.dumps({"gateway": "unit-1", "verb": "ack", "alarms": ["steam/unit/high"]})
    form = "verb=ack&alarm=unit-1%7Csteam%2Funit%2Fhigh"
    with doors.browser("operator") as client:
        right = doors.token(client.cookies[doors.context.cookie])
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "text/json",
            "multipart/form-data; boundary=x",
            "",
            "garbage;;",
        ):
            sent = {CSRF_HEADER: right, "Content-Type": kind}
            answer = client.post(f"{PREFIX}/alarms/actions", content=change, headers=sent)
            assert answer.status_code in (400, 422), kind
            answer = client.post(f"{PREFIX}/alarms/actions", content=change, headers={"Content-Type": kind})
            assert answer.status_code == 403, "without the token"
        for kind in ("application/json", "text/plain"):
            answer = client.post("/alarms", content=form, headers={CSRF_HEADER: right, "Content-Type": kind})
            assert answer.status_code in (400, 422), kind
        for method in ("X-HTTP-Method-Override", "X-Method-Override"):
            assert client.post(f"{PREFIX}/me", headers={method: "GET", CSRF_HEADER: right}).status_code == 405


ODD_BODIES: dict[str, Callable[[], bytes]] = {
    "deep": lambda: b'{"name":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": lambda: b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "not so deep": lambda: b'{"name":' + b"[" * 900 + b"]" * 900 + b"}",
    "a long number": lambda: b'{"days":' + b"9" * 10_000 + b"}",
    "no number": lambda: b'{"days":NaN,"name":Infinity}',
    "an exponent": lambda: b'{"days":1e999}',
    "half a character": lambda: (
        b'{"name":"\\ud800","login":"\\ud800","tenant":"group","gateway":"\\ud800","sql":"\\ud800"}'
    ),
    "nothing": lambda: b'{"name":"\\u0000","login":"a\\u0000","tenant":"\\u0000","sql":"SELECT 1\\u0000"}',
    "no text": lambda: b"\xff\xfe\x00{",
    "a mark": lambda: b'\xef\xbb\xbf{"name":"x"}',
    "keys twice": lambda: b'{"verb":"ack","verb":"shelve","gateway":"unit-1"}',
    "a prototype": lambda: b'{"__proto__":{"x":1},"constructor":{"x":1},"__class__":"x"}',
    "a list": lambda: b"[1,2,3]",
    "null": lambda: b"null",
}


@pytest.mark.parametrize("what", ODD_BODIES)
def test_odd_bodies_are_refused_and_nothing_breaks(doors: Doors, what: str) -> None:
    body = ODD_BODIES[what]()
    with doors.mighty() as client:
        right = doors.token(client.cookies[doors.context.cookie])
        sent = {CSRF_HEADER: right, "Content-Type": "application/json"}
        for method, path, route in changing(doors):
            if path.startswith(PREFIX) and route.body_field is not None:
                answer = client.request(method, path, content=body, headers=sent)
                assert answer.status_code in (400, 404, 409, 422), (what, path, answer.text[:300])
                assert answer.headers["content-type"] == "application/problem+json"


def test_odd_texts_in_forms_and_addresses_break_nothing(doors: Doors) -> None:
    odd = (
        "%00",
        "%ED%A0%80",
        "%FF",
        "%F4%90%80%80",
        "%25s%25n%25(x)s",
        "a" * 5000,
        "%0d%0aX-Evil:%201",
        "*" * 150 + "x",
        "9" * 400,
    )
    with doors.browser("operator") as client:
        right = doors.token(client.cookies[doors.context.cookie])
        for text in odd:
            words = "&".join(
                f"{name}={text}"
                for name in ("q", "gateway", "lang", "unit", "state", "priority", "type", "site")
            )
            for path in ("/points", "/alarms", "/events", "/gateways", "/search"):
                for query in (words, f"cursor={text}"):
                    answer = client.get(f"{path}?{query}")
                    assert answer.status_code < 500, (path, query[:30], answer.text[:300])
                    assert "x-evil" not in answer.headers
            for address in (
                f"/live?series={text}",
                f"/trend?series={text}",
                f"/trend?span={text}",
                f"/events?days={text}",
            ):
                assert client.get(address).status_code in (200, 400), address[:40]
            for path in ("/alarms", "/sql/saved", "/account/profile", "/rollouts/x", "/account/tokens"):
                fields = ("name", "verb", "alarm", "comment", "sql", "scope", "email")
                form = "&".join((f"csrf={right}", *(f"{field}={text}" for field in fields)))
                kind = {"Content-Type": "application/x-www-form-urlencoded"}
                answer = client.post(path, content=form, headers=kind)
                assert answer.status_code < 500, (path, text[:30], answer.text[:300])


def test_bodies_are_bounded_whatever_they_say_of_their_length(doors: Doors) -> None:
    def dripped() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    with doors.browser("operator") as client:
        right = doors.token(client.cookies[doors.context.cookie])
        for path in ("/alarms", f"{PREFIX}/alarms/actions", "/sign-in", "/preferences"):
            for length in ("3000000", "9" * 30, "9" * 5000, "-1", "1e9", "٣"):
                sent = {b"Content-Length": length.encode(), CSRF_HEADER.encode(): right.encode()}
                answer = client.post(path, headers=sent, content=b"x")
                assert answer.status_code == 413, (path, length[:9])
        for path in ("/alarms", f"{PREFIX}/alarms/actions", "/sign-in"):
            for kind in (
                "application/json",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=b",
            ):
                answer = client.post(
                    path, content=dripped(), headers={CSRF_HEADER: right, "Content-Type": kind}
                )
                assert answer.status_code in (400, 413), (path, kind, answer.text[:100])


def test_a_body_that_turns_out_too_large_or_too_slow_is_refused(
    monkeypatch: pytest.MonkeyPatch, doors: Doors
) -> None:
    """Below the client, which tells lengths truly and sends at once."""
    monkeypatch.setattr(headers, "BODY_S", 0.05)
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/users",
        "raw_path": b"/api/v1/users", "query_string": b"",
        "scheme": "http",
        "headers": [(b"host", b"portal"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("portal", 80), "http_version": "1.1", "root_path": "",
    }  # fmt: skip

    async def call(chunks: int) -> int:
        sent: list[Any] = []
        left = chunks

        async def receive() -> dict[str, Any]:
            nonlocal left
            if left == 0:
                await asyncio.sleep(10)
            left -= 1
            return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        begun = time.monotonic()
        await doors.app({**scope, "state": {}}, receive, send)
        assert time.monotonic() - begun < 5.0
        assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
        assert dict(sent[0]["headers"])[b"cache-control"] == b"no-store"
        return int(sent[0]["status"])

    assert asyncio.run(call(40)) == 413
    assert asyncio.run(call(1)) == 408


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "role", ("operator", "security-administrator", "system-administrator", "audit-administrator")
)
def test_hostile_texts_are_texts_on_every_page(doors: Doors, role: str) -> None:
    shown = 0
    with doors.browser(role) as client:
        for path in pages(doors.house)[role]:
            answer = client.get(path)
            assert answer.status_code in (200, 400, 404), (path, answer.status_code)
            assert made_of_texts(answer.text) == [], path
            shown += answer.text.count("&lt;img src=x onerror=canary(2)&gt;")
    assert shown > 0, "the texts are on the pages"


def test_no_template_takes_a_text_for_one_of_ours(doors: Doors) -> None:
    """What goes through `_` is taken for markup and for a format: only what stands there itself may."""
    for file in TEMPLATES.iterdir():
        assert not re.search(r"\b_\((?!')", file.read_text(encoding="utf-8")), file.name


def test_a_spreadsheet_takes_no_cell_for_a_formula(doors: Doors) -> None:
    with doors.browser("operator") as client:
        numbers = [point.series for point in doors.house.sources.points().points if point.name in TEXTS]
        query = [("series", str(number)) for number in numbers[:20]] + [
            ("from_us", "0"),
            ("to_us", str(2**61)),
        ]
        told = client.get("/trend/export.csv", params=httpx.QueryParams(urlencode(query)))
        resumed = doors.house.sessions.resume(client.cookies[doors.context.cookie])
        assert resumed is not None
        queries = doors.house.queries
        asked = queries.ask(resumed.principal, 'SELECT name AS "=1+1", description FROM series')
        assert queries.wait(asked.id, 60.0)
        exported = client.get(f"/sql/jobs/{asked.id}/result.csv")
    for answer in (told, exported):
        assert answer.headers["content-disposition"].startswith("attachment;")
        rows = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert len(rows) > len(TEXTS) - 3
        risky = [
            text
            for row in rows
            for text in row
            if text.strip()[:1] in tuple("=+-@＝＋－＠\t\r") and text.strip()
        ]
        assert risky == []
    assert "'=HYPERLINK" in exported.text
    for evil in ("=1", "+1", "-x", "@x", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠x"):
        assert cell(evil).lstrip('"')[0] == "'", repr(evil)


# -- the server itself -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port(doors: Doors) -> Iterator[int]:
    patch = pytest.MonkeyPatch()
    patch.setattr(patience, "HEAD_S", 0.4)
    config = replace(doors.house.hq.settings, web=WebConfig("127.0.0.1:0", None, None, None, 600))
    server = uvicorn.Server(server_settings(config, doors.app))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join()
    patch.undo()


def exchange(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """What comes back for some bytes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        found = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_s)
            while more := connection.recv(65_536):
                found += more
        except ConnectionError:
            pass
        return found


def test_the_server_says_nothing_of_itself_and_refuses_what_is_ambiguous(port: int) -> None:
    answer = exchange(port, b"GET /sign-in HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (
        answer.startswith(b"HTTP/1.1 200 ")
        and b"\r\nserver:" not in answer.lower()
        and b"uvicorn" not in answer
    )
    assert exchange(port, b"GET /sign-in HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 "), "without a Host"
    head = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    for more in (
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"Content-Length: 5, 6\r\n\r\nhello",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Content-Length : 5\r\n\r\nhello",
        b"Host: y\r\n\r\n",
        b" folded: x\r\n\x00: y\r\n\r\n",
        b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    ):
        answer = exchange(port, head + more)
        assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501", b""), (more[:40], answer[:60])
    both = exchange(
        port,
        head
        + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
        + b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    assert both.count(b"HTTP/1.1 ") <= 1, "what was hidden in a body is no request"


def test_who_sends_its_head_by_drops_is_not_waited_for(port: int) -> None:
    begun = time.monotonic()
    assert exchange(port, *[b"GET / HTTP/1.1\r\nHost: x\r\n"], *[b"X: y\r\n"] * 6, pause_s=0.15) == b""
    assert exchange(port) == b"", "who sends nothing at all neither"
    kept = b"GET /sign-in HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = exchange(port, kept, b"GET /sig", b"n", pause_s=0.3)
    assert answer.count(b"HTTP/1.1 ") == 1, "nor for the second request of a connection"
    assert time.monotonic() - begun < 8.0


# -- requests of ours ------------------------------------------------------------------------------

CALLERS = {
    "accounts/oidcfetch.py": "the OpenID provider of the configuration",
    "operations/alerts/channels.py": "webhooks of the configuration; redirects are not followed",
}
"""Modules of headquarters that ask others by HTTP, and whom."""
HTTP_CLIENTS = {"urllib.request", "http.client", "httpx", "requests", "aiohttp", "urllib3"}


def test_nothing_fetches_an_address_that_a_user_gave() -> None:
    root = Path(headquarters.__file__).parent
    found = set()
    for file in root.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if not any(name.partition(".")[0] in text for name in HTTP_CLIENTS):
            continue
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if HTTP_CLIENTS & set(names):
                found.add(file.relative_to(root).as_posix())
    assert "accounts/oidcfetch.py" in found, "there is something to find"
    assert found <= set(CALLERS)


def test_every_route_of_the_api_wants_to_know_who_asks() -> None:
    assert frozenset() == PUBLIC
