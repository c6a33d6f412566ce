"""Who asks, whether it may, and what is written down about it.

Rules:
1. A request is known by its session's cookie, or by `Authorization: Bearer` with a token; by both
   is wrong. A cookie counts for a change only together with the session's CSRF token, and only for
   a request that a page of ours made.
2. `needs` is the one way into a route: it knows the asker, counts the request, and sees that the
   asker may. Routes without it are in `PUBLIC`, and a test walks all of them.
3. What is denied is audited, wherever it was denied; so is every change, with how it ended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends, Request
from sqlalchemy import Engine

from headquarters.accounts import csrf, tokens
from headquarters.accounts.sessions import Resumed, Sessions
from headquarters.api.pages import stranger
from headquarters.api.problems import RateError, RefusedError
from headquarters.api.ratelimit import RateLimiter
from headquarters.audit.trail import record, record_denied
from headquarters.db.engine import reading, writing
from headquarters.errors import DeniedError, SignInError
from headquarters.levels import CONTROL, CONTROLLING, has
from headquarters.services.sql.service import QueryService
from headquarters.tenancy import access
from headquarters.tenancy.meter import Meter
from headquarters.tenancy.principal import Principal
from headquarters.tenancy.scope import Scope, scope_of
from headquarters.views.sources import Sources
from protocols.batch import Signer
from protocols.errors import CatchmentError

CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

PUBLIC: frozenset[tuple[str, str]] = frozenset()
"""Routes, by method and path, that who is not signed in may ask."""

ASKS = "asks"
"""In a request's state: the principal who asks, once that is known."""

STRANGERS_PER_MINUTE = 60
STRANGERS_BURST = 30
"""Requests by nobody who is known, by address: signing in, and trying tokens."""


@dataclass(slots=True)
class Context:
    """What the API stands on; one a process, safe between threads.

    Args:
        sources: What views look at.
        metadata: The metadata store.
        sessions: Sessions of browsers.
        csrf_key: Headquarters' secret for tokens against forged requests, 32 bytes.
        signer: Headquarters' key, for commands.
        is_tls: Whether people reach us by HTTPS.
        level: Of this platform: 1, 2 or 3.
        queries: Runs governed SQL.
        meter: Charges tenants for what they ask for.
        limiter: Counts requests of those who are known.
        strangers: Counts those of others, by address.
        monotonic: Seconds that never jump.
        stopping: Whether the process is about to end: streams end then.
        services: What parts beside the API have to offer, by name.
        public_url: How people reach us; `None`: by the name that their requests give.
    """

    sources: Sources
    metadata: Engine
    sessions: Sessions
    csrf_key: bytes
    signer: Signer
    is_tls: bool
    level: int
    queries: QueryService
    meter: Meter
    limiter: RateLimiter
    strangers: RateLimiter = field(default_factory=lambda: RateLimiter(STRANGERS_PER_MINUTE, STRANGERS_BURST))
    monotonic: Callable[[], float] = time.monotonic
    stopping: Callable[[], bool] = lambda: False
    services: dict[str, Any] = field(default_factory=dict)
    public_url: str | None = None

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; over TLS one that no other host can set."""
        return "__Host-catchment" if self.is_tls else "catchment"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and may.

    Args:
        principal: Who.
        scope: Whose data it sees.
        context: What the API stands on.
        session: Its session; `None` with a token.
    """

    principal: Principal
    scope: Scope
    context: Context
    session: Resumed | None

    @property
    def sources(self) -> Sources:
        """What views look at."""
        return self.context.sources

    @property
    def operator(self) -> str:
        """Its name, as registers and journals elsewhere in the group keep it."""
        return f"{self.principal.name}@{self.context.sources.config.id}"

    def demand(self, permission: str, target: str) -> None:
        """See that it may do something more than the route asks for.

        Raises:
            DeniedError: It may not; that is audited.
        """
        demand(self.context, self.principal, permission, target)

    @contextmanager
    def denials(self, target: str) -> Iterator[None]:
        """Audit what is denied within: of what is done, the rooms of accounts write down themselves."""
        try:
            yield
        except DeniedError as denied:
            record_denied(self.context.metadata, self.principal, denied, target)
            raise

    @contextmanager
    def audited(self, action: str, target: str, **detail: Any) -> Iterator[dict[str, Any]]:
        """Write down what is done within, and how it ended.

        What is done elsewhere than in the metadata store cannot be one transaction with the audit:
        it is written down as soon as it is over, whether it was done or failed.

        Args:
            action: What, as `thing.verb`.
            target: To what.
            detail: What else there is to know; more may be put into what this gives.
        """
        more: dict[str, Any] = dict(detail)
        try:
            yield more
        except CatchmentError as error:
            self._record(action, target, "failed", {**more, "why": str(error)[:500]})
            raise
        self._record(action, target, "done", more)

    def _record(self, action: str, target: str, outcome: Any, detail: dict[str, Any]) -> None:
        with writing(self.context.metadata) as session:
            record(session, self.principal, action, target, outcome, detail)


class Needs:
    """A route's permission, and what stands before it.

    Args:
        permission: Such as `gateways:read`; `None` for everybody who is signed in.
    """

    def __init__(self, permission: str | None) -> None:
        self.permission = permission

    def __call__(self, request: Request) -> Asker:
        """Who asks.

        Raises:
            SignInError: Nobody who is known.
            RefusedError: A change that no page of ours asked for.
            RateError: Too many requests.
            DeniedError: It may not.
        """
        context = context_of(request)
        principal, session = authenticate(context, request)
        request.scope["state"][ASKS] = principal
        _count(context, request, principal.id)
        if self.permission in CONTROL and not has(context.level, "control"):
            raise RefusedError(f"expected {CONTROLLING}; this platform is of level {context.level}")
        if self.permission is not None:
            demand(context, principal, self.permission, f"{request.method} {request.url.path}")
        with reading(context.metadata) as database:
            scope = scope_of(database, principal)
        return Asker(principal, scope, context, session)


def needs(permission: str | None) -> Any:
    """What a route declares: `asker: Annotated[Asker, needs("gateways:read")]`."""
    return Depends(Needs(permission))


def demand(context: Context, principal: Principal, permission: str, target: str) -> None:
    """See that somebody may do something; that it may not is audited.

    Raises:
        DeniedError: It may not.
    """
    try:
        access.demand(principal, permission)
    except DeniedError as denied:
        record_denied(context.metadata, principal, denied, target)
        raise


def note_denied(request: Request, denied: DeniedError) -> None:
    """Audit a denial that nobody wrote down yet, wherever in a request it came from."""
    principal: Principal | None = request.scope["state"].get(ASKS)
    if principal is not None and not denied.is_recorded:
        target = f"{request.method} {request.url.path}"
        record_denied(context_of(request).metadata, principal, denied, target)


def context_of(request: Request) -> Context:
    """What the API stands on."""
    context: Context = request.app.state.context
    return context


def authenticate(context: Context, request: Request) -> tuple[Principal, Resumed | None]:
    """Who sent a request.

    Raises:
        SignInError: Nobody who is known.
        RefusedError: A change with a cookie that no page of ours asked for.
        RateError: Too many tries.
    """
    given = request.headers.get("Authorization", "")
    cookie = request.cookies.get(context.cookie)
    kind, _, token = given.partition(" ")
    try:
        if given:
            if kind.lower() != "bearer":
                raise SignInError("expected Authorization: Bearer and a token")
            return tokens.authenticate(context.metadata, token.strip()), None
        resumed = None if not cookie else context.sessions.resume(cookie)
        if resumed is None:
            raise SignInError("expected a session or a token; sign in, or send Authorization: Bearer TOKEN")
    except SignInError:
        _count(context, request, None)
        raise
    if request.method not in SAFE:
        _same_site(request)
        if not csrf.holds(context.csrf_key, resumed.session.id, request.headers.get(CSRF_HEADER, "")):
            raise RefusedError(f"expected {CSRF_HEADER} with the token that GET /api/v1/me gives")
    if resumed.token is not None:
        request.scope["state"]["cookie"] = set_cookie(context, resumed.token)
    return resumed.principal, resumed


def set_cookie(context: Context, token: str, seconds: int | None = None) -> str:
    """The header that keeps a session's token in the browser, and in no script of it.

    Args:
        context: Of the process.
        token: The token; empty to forget it.
        seconds: How long the browser keeps it; `None`: until it is closed.
    """
    age = "" if seconds is None else f"; Max-Age={seconds}"
    secure = "; Secure" if context.is_tls else ""
    return f"{context.cookie}={token}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"


def csrf_token(context: Context, session: str) -> str:
    """The token that changes of a session carry."""
    return csrf.make(context.csrf_key, session, hashlib.sha256(session.encode()).digest()[: csrf.SALT_BYTES])


def _same_site(request: Request) -> None:
    """Refuse what another site's page sends; a browser says so, a program says nothing."""
    if site := stranger(request.headers, context_of(request).public_url):
        raise RefusedError(f"expected a request from a page of this site, got one from {site}")


def _count(context: Context, request: Request, principal: str | None) -> None:
    address = request.client.host if request.client is not None else ""
    limiter = context.strangers if principal is None else context.limiter
    taken = limiter.take(principal or address, context.monotonic())
    request.scope["state"]["taken"] = taken
    if not taken.is_allowed:
        raise RateError(taken.reset_s)
