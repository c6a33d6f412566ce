"""The two plants with accounts: tenants, users of every role, and a client for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine

from headquarters.accounts import tokens
from headquarters.accounts.sessions import Sessions
from headquarters.accounts.store import Users
from headquarters.accounts.terms import Terms
from headquarters.api.app import make_app
from headquarters.api.context import CSRF_HEADER, Context, csrf_token
from headquarters.api.ratelimit import RateLimiter
from headquarters.audit.store import Audit
from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.metadata import open_metadata
from headquarters.services.sql.service import QueryService
from headquarters.tenancy.meter import Meter
from headquarters.tenancy.permissions import ROLES
from headquarters.tenancy.principal import GROUP, machine
from headquarters.tenancy.store import Tenants
from protocols.identity import Identity
from tests.web.client import InProcess
from tests.web.plants import Plants

TENANTS = {"plant-a": "plant-a", "plant-b": "plant-b"}
"""The site of each tenant."""

CSRF_KEY = bytes(range(32))


class House(Plants):
    """Everything that the API stands on, without a process."""

    def __init__(self, folder: Path, per_minute: int = 600_000) -> None:
        super().__init__(folder)
        self.is_stopping = True
        """Streams end at once, where a test does not say otherwise."""
        self.metadata: Engine = open_metadata(self.hq.settings.data, None)
        self.sessions = Sessions(self.metadata, Terms())
        with writing(self.metadata) as session:
            for tenant, site in TENANTS.items():
                Tenants(session).add(tenant, tenant, now_us())
                Tenants(session).own(site, tenant, now_us())
        self.users: dict[tuple[str, str], str] = {}
        for tenant in (GROUP, *TENANTS):
            for role in ROLES:
                self.users[tenant, role] = self._add(tenant, role)
        meter = Meter(self.metadata)
        folder = self.hq.settings.data / "queries"
        self.queries = QueryService(self.metadata, self.hq.settings.lake, folder, meter=meter)
        self.context = Context(
            sources=self.sources,
            metadata=self.metadata,
            sessions=self.sessions,
            csrf_key=CSRF_KEY,
            signer=Identity.load(self.hq.home).signing,
            is_tls=False,
            level=1,
            queries=self.queries,
            meter=meter,
            limiter=RateLimiter(per_minute, per_minute),
            strangers=RateLimiter(per_minute, per_minute),
            stopping=lambda: self.is_stopping,
        )
        self.app: FastAPI = make_app(self.context)
        self._transport = InProcess(self.app)

    def _add(self, tenant: str, role: str) -> str:
        with writing(self.metadata) as session:
            users = Users(session)
            login = f"{tenant}.{role}"
            user = users.add(tenant, login, login, "", now_us())
            users.give_role(user, role)
            return user

    def token(self, tenant: str, role: str, scopes: frozenset[str] | None = None) -> str:
        """An API token of a user."""
        owner = self.users[tenant, role]
        with writing(self.metadata) as session:
            wanted = ROLES[role].permissions if scopes is None else scopes
            made = tokens.make(session, machine("tests"), "tests", wanted, 1, user=owner)
        return made.text

    @contextmanager
    def client(self, tenant: str | None = GROUP, role: str = "operator") -> Iterator[httpx.Client]:
        """A browser in which somebody is signed in; with `None` nobody."""
        with httpx.Client(transport=self._transport, base_url="http://portal") as client:
            if tenant is not None:
                cookie = self.sessions.begin(self.users[tenant, role], "tests", "127.0.0.1", "tests")
                client.cookies.set(self.context.cookie, cookie)
                resumed = self.sessions.resume(cookie)
                assert resumed is not None
                client.headers[CSRF_HEADER] = csrf_token(self.context, resumed.session.id)
            yield client

    def audited(self) -> list[Any]:
        """Every entry of the audit."""
        with reading(self.metadata) as session:
            return list(Audit(session).walk())

    def close(self) -> None:
        """Let go of lake and metadata."""
        self._transport.end()
        self.queries.close()
        self.metadata.dispose()
        super().close()


def asked(answer: Any, status: int = 200) -> Any:
    """The JSON of an answer that must be of a status."""
    assert answer.status_code == status, answer.text
    found: Mapping[str, Any] = answer.json() if answer.content else {}
    return found
