"""What the page's server answers, as values: a request in, a response out; no sockets."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from edge_runtime.page import words
from edge_runtime.page.guard import Guard, TooManyError
from edge_runtime.page.view import SHELVE_FOR, Seen, Visitor, live, login_page, page
from protocols.errors import CatchmentError
from protocols.probe import Answer

FORM_BYTES_MAX = 16 << 10
SAID_MAX = 100
"""Visitors whose last action is remembered for the page that follows."""

STATIC = {"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a form comes from the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}

Handle = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Does one thing to alarms: the command's name and its arguments, as at the control door."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came.

    Args:
        method: `GET`, `HEAD` or `POST`.
        target: Path and query.
        headers: By lower-case name.
        body: Of a form.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back."""

    status: int
    body: bytes = b""
    type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Visit:
    """Who asks, as far as cookies say."""

    name: str
    inside: bool
    language: str
    operator: str
    new: bool = field(default=False)


class Site:
    """The page of one gateway; safe between threads.

    Args:
        guard: Decides who may look and act.
        look: What there is to show now.
        handle: Does things to alarms.
        probe: Answers monitors, by path; they know no password.
    """

    def __init__(
        self,
        guard: Guard,
        look: Callable[[], Seen],
        handle: Handle,
        probe: Callable[[str], Answer | None] = lambda path: None,
    ) -> None:
        self._guard = guard
        self._probe = probe
        self._look = look
        self._handle = handle
        self._said: dict[str, tuple[bool, str]] = {}
        static = Path(__file__).parent / "static"
        self._static = {path: (static / path[1:]).read_bytes() for path in STATIC}

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        if not self._guard.is_own_host(request.headers.get("host", "")):
            return _plain(421, "call this page by the gateway's address")
        path = urlsplit(request.target).path
        if request.method in ("GET", "HEAD"):
            return self._get(request, path)
        if request.method == "POST":
            return self._post(request, path)
        return _plain(405, "GET and POST are answered here")

    def _get(self, request: Request, path: str) -> Response:
        if path in STATIC:
            return self._file(request, path)
        probed = self._probe(path)
        if probed is not None:
            return Response(probed.status, probed.body, probed.type)
        if path not in ("/", "/live"):
            return _plain(404, "there is no such page; the page is at /")
        visit = self._visit(request)
        if path == "/live":
            if not visit.inside:
                return _plain(403, "sign in first")
            return Response(200, live(self._look(), visit.language).encode())
        cookies = [] if not visit.new else [_cookie("catchment-visit", visit.name)]
        wanted = parse_qs(urlsplit(request.target).query).get("lang", [""])[0]
        if wanted in words.LANGUAGES:
            return _see("/", *cookies, _cookie("catchment-lang", wanted, 31_536_000))
        said = self._said.pop(visit.name, None)
        visitor = Visitor(
            visit.language,
            self._guard.token(visit.name),
            visit.operator,
            said,
            self._guard.closed and visit.inside,
        )
        body = page(self._look(), visitor) if visit.inside else login_page(visitor)
        return Response(200, body.encode(), headers=tuple(cookies))

    def _file(self, request: Request, path: str) -> Response:
        body = self._static[path]
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = (("ETag", tag), ("Cache-Control", "no-cache"))
        if request.headers.get("if-none-match") == tag:
            return Response(304, headers=headers)
        return Response(200, body, STATIC[path], headers)

    def _post(self, request: Request, path: str) -> Response:
        visit = self._visit(request)
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if origin is not None and origin.partition("://")[2] != host:
            return _plain(403, "forms are taken from this page only")
        try:
            form = parse_qs(request.body.decode(), max_num_fields=20)
        except ValueError:
            return _plain(400, "expected a form")
        if visit.new or not self._guard.is_token(visit.name, form.get("token", [""])[0]):
            return _plain(403, "this form is not of this visit; load the page again")
        if path == "/login":
            return self._login(visit, form.get("password", [""])[0])
        if not visit.inside:
            return _plain(403, "sign in first")
        if path == "/logout":
            return _see("/", _cookie("catchment-login", "", 0))
        if path in ("/alarms/acknowledge", "/alarms/shelve"):
            return self._act(visit, path.rpartition("/")[2], {name: form[name][0] for name in form})
        return _plain(404, "there is no such action")

    def _login(self, visit: _Visit, password: str) -> Response:
        try:
            cookie = self._guard.login(visit.name, password)
        except TooManyError:
            return self._say(visit, False, "Too many tries; wait a minute.")
        if cookie is None:
            return self._say(visit, False, "The password is wrong.")
        return _see("/", _cookie("catchment-login", cookie))

    def _act(self, visit: _Visit, action: str, form: Mapping[str, str]) -> Response:
        operator, comment = form.get("operator", "").strip(), form.get("comment", "").strip()
        if not operator:
            return self._say(visit, False, "Say who you are.")
        arguments: dict[str, Any] = {
            "alarms": [form.get("alarm", "")],
            "operator": operator,
            "comment": comment,
        }
        if action == "shelve":
            if not comment:
                return self._say(visit, False, "To shelve an alarm, say why.")
            for_s = form.get("for_s", "")
            arguments["for_s"] = int(for_s) if for_s in map(str, SHELVE_FOR) else 28_800
        try:
            outcome = self._handle(f"alarms.{action}", arguments)
        except CatchmentError as error:
            return self._say(visit, False, str(error))
        texts = [f"{each['alarm']}: {words.say(visit.language, each['state'])}" for each in outcome["done"]]
        texts += [f"{each['alarm']}: {each['error']}" for each in outcome["refused"]]
        remember = _cookie("catchment-operator", quote(operator[:100]), 2_592_000)
        return self._say(visit, not outcome["refused"], "; ".join(texts), remember)

    def _say(self, visit: _Visit, done: bool, text: str, *cookies: tuple[str, str]) -> Response:
        while len(self._said) >= SAID_MAX:
            self._said.pop(next(iter(self._said)), None)
        self._said[visit.name] = done, words.say(visit.language, text)
        return _see("/#alarms" if visit.inside else "/", *cookies)

    def _visit(self, request: Request) -> _Visit:
        cookies = _cookies(request.headers.get("cookie", ""))
        given = cookies.get("catchment-visit", "")
        name = self._guard.visit(given)
        language = words.chosen(cookies.get("catchment-lang", ""), request.headers.get("accept-language", ""))
        inside = self._guard.is_in(name, cookies.get("catchment-login", ""))
        operator = unquote(cookies.get("catchment-operator", ""))[:100]
        return _Visit(name, inside, language, operator, not secrets.compare_digest(name, given))


def _cookies(header: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in header[:4096].split(";"))
    return {name: value for name, _, value in pairs if value.isascii()}


def _cookie(name: str, value: str, age_s: int | None = None) -> tuple[str, str]:
    age = "" if age_s is None else f"; Max-Age={age_s}"
    return "Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{age}"


def _see(where: str, *headers: tuple[str, str]) -> Response:
    return Response(303, headers=(("Location", where), *headers))


def _plain(status: int, text: str) -> Response:
    return Response(status, f"{text}\n".encode(), "text/plain; charset=utf-8")
