"""Who visits the portal, and what a page asks of its reader.

Rules:
1. A visitor is known by its session's cookie alone; tokens are for programs and the API.
2. A request that changes something carries the session's CSRF token, and comes from a page of ours.
3. Who may not see a page is told which role would be needed, and that it asked is audited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from headquarters.accounts import csrf
from headquarters.accounts.sessions import Resumed
from headquarters.api.context import (
    ASKS,
    CSRF_HEADER,
    Asker,
    Context,
    context_of,
    csrf_token,
    demand,
    set_cookie,
)
from headquarters.api.pages import stranger
from headquarters.api.problems import RateError
from headquarters.db.engine import reading
from headquarters.tenancy import access
from headquarters.tenancy.permissions import PERMISSIONS
from headquarters.tenancy.principal import Principal
from headquarters.tenancy.scope import Scope, scope_of
from headquarters.views.sources import Sources

READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in.

    Args:
        asker: As the API knows it.
        resumed: Its session.
        permissions: All that it may do in its tenant.
        csrf: The token that every request of it which changes something must carry.
    """

    asker: Asker
    resumed: Resumed
    permissions: frozenset[str]
    csrf: str

    @property
    def principal(self) -> Principal:
        """Who."""
        return self.asker.principal

    @property
    def scope(self) -> Scope:
        """Whose data it sees."""
        return self.asker.scope

    @property
    def sources(self) -> Sources:
        """What the read models look at."""
        return self.asker.sources

    @property
    def context(self) -> Context:
        """What the portal stands on."""
        return self.asker.context

    @property
    def name(self) -> str:
        """For people."""
        return self.resumed.user.name or self.resumed.user.login

    def may(self, permission: str) -> bool:
        """Whether it may do something."""
        return permission in self.permissions


class SignInNeededError(Exception):
    """Nobody is signed in, and the page is for somebody."""


class DutyError(Exception):
    """There is something to do first.

    Args:
        duties: `password`, `second-factor`.
    """

    def __init__(self, duties: tuple[str, ...]) -> None:
        super().__init__(", ".join(duties))
        self.duties = duties


class ForgedError(Exception):
    """A request that changes something came without the token of its session, or from another site."""


async def visitor_of(request: Request) -> Visitor | None:
    """Who sent a request, asked once."""
    if not hasattr(request.state, "visitor"):
        request.state.visitor = await run_in_threadpool(_find, request)
    found: Visitor | None = request.state.visitor
    return found


def _find(request: Request) -> Visitor | None:
    context = context_of(request)
    cookie = request.cookies.get(context.cookie)
    resumed = context.sessions.resume(cookie) if cookie else None
    if resumed is None:
        return None
    if resumed.token is not None:
        request.scope["state"]["cookie"] = set_cookie(context, resumed.token)
    principal = resumed.principal
    request.scope["state"][ASKS] = principal
    with reading(context.metadata) as database:
        scope = scope_of(database, principal)
    return Visitor(
        Asker(principal, scope, context, resumed),
        resumed,
        access.permissions_of(principal),
        csrf_token(context, resumed.session.id),
    )


def needs(permission: str | None) -> Any:
    """What a page asks of its reader: `visitor: Annotated[Visitor, needs("gateways:read")]`.

    Args:
        permission: `None` for whoever is signed in, with duties left or not.

    Raises:
        KeyError: There is no such permission.
    """
    if permission is not None and permission not in PERMISSIONS:
        raise KeyError(permission)

    async def check(request: Request) -> Visitor:
        visitor = await visitor_of(request)
        if visitor is None:
            raise SignInNeededError
        taken = visitor.context.limiter.take(visitor.principal.id, visitor.context.monotonic())
        if not taken.is_allowed:
            raise RateError(taken.reset_s)
        if permission is not None:
            if visitor.resumed.duties:
                raise DutyError(visitor.resumed.duties)
            target = f"{request.method} {request.url.path}"
            await run_in_threadpool(demand, visitor.context, visitor.principal, permission, target)
        if request.method not in READS:
            await _check_token(request, visitor)
        return visitor

    check.permission = permission  # type: ignore[attr-defined]
    return Depends(check)


async def own_page(request: Request) -> None:
    """See that a request which changes something comes from a page of ours, as its browser says.

    Raises:
        ForgedError: From another site's page.
    """
    if stranger(request.headers, context_of(request).public_url):
        raise ForgedError


OwnPage = Annotated[None, Depends(own_page)]


async def _check_token(request: Request, visitor: Visitor) -> None:
    await own_page(request)
    token = request.headers.get(CSRF_HEADER)
    if token is None:
        token = str((await request.form()).get("csrf", ""))
    if not csrf.holds(visitor.context.csrf_key, visitor.resumed.session.id, token):
        raise ForgedError
