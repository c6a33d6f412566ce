"""Who is signed in, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Response

from headquarters.api.context import Asker, csrf_token, needs
from headquarters.api.forms import shown
from headquarters.api.idempotency import IdempotentRoute
from headquarters.tenancy import access

router = APIRouter(tags=["accounts"], route_class=IdempotentRoute)


@dataclass(frozen=True, slots=True)
class Me:
    """Who asks.

    Args:
        id: Its id.
        name: Its name.
        kind: `user` or `token`.
        tenant: Its tenant.
        roles: Its roles.
        permissions: What it may do in its tenant.
        sites: The sites that it sees whole; `None` for all.
        duties: What must be done first: `password`, `second-factor`.
        csrf: What changes carry in `X-CSRF-Token`; empty with a token.
        level: Of this platform: 1, 2 or 3.
    """

    id: str
    name: str
    kind: str
    tenant: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    sites: tuple[str, ...] | None
    duties: tuple[str, ...]
    csrf: str
    level: int


@router.get("/me", response_model=Me)
def get_me(asker: Annotated[Asker, needs(None)]) -> Response:
    """Who asks, and what it may do."""
    principal, session = asker.principal, asker.session
    sites = asker.scope.sites
    found = Me(
        principal.id,
        principal.name,
        principal.kind,
        principal.tenant,
        tuple(sorted(principal.roles)),
        tuple(sorted(access.permissions_of(principal))),
        None if sites is None else tuple(sorted(sites)),
        () if session is None else session.duties,
        "" if session is None else csrf_token(asker.context, session.session.id),
        asker.context.level,
    )
    return shown(found, Me)
