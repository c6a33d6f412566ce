"""API and portal over the hostile plants, and browsers without scripts to visit them."""

from __future__ import annotations

import re
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
from fastapi.routing import APIRoute, iter_route_contexts

from headquarters.accounts import sealing
from headquarters.accounts.own import OwnAccount
from headquarters.accounts.password import Hasher
from headquarters.accounts.signin import SignIn
from headquarters.accounts.store import Users
from headquarters.accounts.terms import Terms
from headquarters.api.app import make_app
from headquarters.api.context import Context, csrf_token
from headquarters.db.base import now_us
from headquarters.db.engine import writing
from headquarters.portal import assets, service
from headquarters.portal.routes import router
from headquarters.tenancy.principal import GROUP
from tests.web.client import InProcess
from tests.web.hostile import sow
from tests.web.house import House

PASSWORD = "River-Bank-4711"
CHEAP = Hasher(time_cost=1, memory_kib=8, lanes=1)
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


class Doors:
    """The hostile plants, their whole application, and clients for it."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        sow(self.house)
        self.service = self._service()
        self.house.context.services[service.NAME] = self.service
        self.app = make_app(self.house.context, router)
        self.transport = InProcess(self.app)
        self._tls: InProcess | None = None
        self._mighty = ""

    def _service(self) -> service.PortalService:
        terms, sealer = Terms(), sealing.load(self.house.hq.home)
        return service.PortalService(
            SignIn(self.house.metadata, terms, CHEAP, sealer),
            OwnAccount(self.house.metadata, terms, CHEAP, sealer),
        )

    @property
    def context(self) -> Context:
        return self.house.context

    def browser(self, role: str | None = "operator", tenant: str = GROUP) -> httpx.Client:
        """One without scripts, in which somebody of a role is signed in; with `None` nobody."""
        client = httpx.Client(transport=self.transport, base_url="http://portal")
        if role is not None:
            client.cookies.set(self.context.cookie, self.session(self.house.users[tenant, role]))
        return client

    def mighty(self) -> httpx.Client:
        """Of somebody who may do everything, as nobody can be made by the rules."""
        client = self.browser(None)
        if not self._mighty:
            roles = ("operator", "engineer", "system-administrator", "security-administrator")
            self._mighty = self.person("mighty.anna", *roles)
        client.cookies.set(self.context.cookie, self.session(self._mighty))
        return client

    def session(self, user: str) -> str:
        return self.house.sessions.begin(user, "tests", "127.0.0.1", "tests")

    def token(self, cookie: str) -> str:
        """The token against forged requests of a session."""
        resumed = self.house.sessions.resume(cookie)
        assert resumed is not None
        return csrf_token(self.context, resumed.session.id)

    def person(self, login: str, *roles: str) -> str:
        """Somebody with a password, and any roles."""
        with writing(self.house.metadata) as session:
            user = Users(session).add(GROUP, login, "Somebody", "", now_us())
            for role in roles or ("viewer",):
                Users(session).give_role(user, role)
            Users(session).set_password(user, CHEAP.hash(PASSWORD), now_us())
        return user

    def over_tls(self) -> httpx.Client:
        """Somebody who comes by HTTPS, through a proxy that speaks HTTP to us."""
        if self._tls is None:
            context = replace(self.context, is_tls=True, public_url="https://hq.example")
            self._tls = InProcess(make_app(context, router))
        return httpx.Client(transport=self._tls, base_url="http://hq.example")

    def routes(self) -> list[tuple[str, str, APIRoute]]:
        """Every route of API and portal: method, path with its parameters filled in, route."""
        found = []
        for each in iter_route_contexts(self.app.routes):
            route = each.original_route
            if isinstance(route, APIRoute):
                path = re.sub(r"\{(\w+)(?::path)?\}", lambda name: KNOWN.get(name[1], "none"), str(each.path))
                found += [(method, path, route) for method in sorted(route.methods or ())]
        return found

    def close(self) -> None:
        self.transport.end()
        if self._tls is not None:
            self._tls.end()
        self.house.close()


KNOWN = {
    "gateway": "unit-1",
    "node": "unit-1",
    "number": "1",
    "table": "samples",
    "series": "1",
    "id": "unit-1",
}


def signed_in(answer: httpx.Response, context: Context) -> str:
    """The session's token that an answer puts into the browser."""
    found = [SimpleCookie(text).get(context.cookie) for text in answer.headers.get_list("set-cookie")]
    [token] = [each.value for each in found if each is not None]
    return str(token)


def check_headers(answer: httpx.Response, where: object) -> None:
    given = answer.headers
    policy = dict(part.strip().partition(" ")[::2] for part in given["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'", where
    assert policy["frame-ancestors"] == "'none'", where
    assert "unsafe" not in given["content-security-policy"] and "*" not in given["content-security-policy"]
    assert policy.get("script-src", "'self'") == "'self'", where
    if given.get("content-type", "").startswith("text/html"):
        assert policy["base-uri"] == "'none'" and policy["form-action"] == "'self'", where
    assert given["x-content-type-options"] == "nosniff", where
    assert given["x-frame-options"] == "DENY", where
    assert given["referrer-policy"] == "same-origin", where
    assert given["cross-origin-opener-policy"] == given["cross-origin-resource-policy"] == "same-origin", (
        where
    )
    assert "access-control-allow-origin" not in given, where
    assert "server" not in given and "x-powered-by" not in given, where
    is_public = str(where).find("/static/") >= 0 and answer.status_code == 200
    assert (
        (given["cache-control"] == assets.FOR_GOOD) if is_public else ("no-store" in given["cache-control"])
    ), where
    for name in ("content-security-policy", "cache-control", "x-content-type-options"):
        assert len(given.get_list(name)) == 1, where


def changing(doors: Doors) -> list[tuple[str, str, APIRoute]]:
    return [each for each in doors.routes() if each[0] in CHANGES]
