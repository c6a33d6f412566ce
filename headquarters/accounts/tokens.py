"""API tokens: made, used, revoked.

Rules:
1. A token is `cat_ID_SECRET`, shown once; scanners of code know it by its beginning.
2. It does what its owner may do at the time of the call, and of that only what its scopes name.
3. It expires, and makes no other token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headquarters.accounts.credentials import ApiToken, ApiTokens, draw
from headquarters.accounts.principals import principal_of
from headquarters.accounts.store import Users
from headquarters.accounts.terms import DAY_US, MINUTE_US, TOKEN_DAYS_MAX, TOKENS_MAX
from headquarters.audit.trail import record
from headquarters.db.base import new_id, now_us
from headquarters.db.engine import reading, writing
from headquarters.errors import DeniedError, SignInError
from headquarters.tenancy import access
from headquarters.tenancy.permissions import PERMISSIONS
from headquarters.tenancy.principal import Principal
from protocols.errors import InputError, Problem

PREFIX = "cat_"
_TOKEN = re.compile(r"cat_([0-9a-f]{24})_([A-Za-z0-9_-]{43})")


class NewToken(NamedTuple):
    """A token that was made; its text is kept nowhere."""

    row: ApiToken
    text: str


def make(
    session: Session,
    principal: Principal,
    name: str,
    scopes: Iterable[str],
    days: int,
    at_us: int | None = None,
    user: str | None = None,
) -> NewToken:
    """Make a token.

    Args:
        session: A transaction that writes.
        principal: Who makes it.
        name: What it is called.
        scopes: The permissions that it is limited to.
        days: How long it is good.
        at_us: When; `None`: now.
        user: Whose it is to be; `None`: of who makes it.

    Raises:
        DeniedError: A token makes it, or it is for somebody else and `tokens:write` is missing.
        InputError: A name, a scope or a number of days that cannot be.
    """
    at = now_us() if at_us is None else at_us
    owner = user or principal.id
    if principal.kind == "token":
        raise DeniedError(principal.name, "tokens:write", principal.tenant)
    if owner != principal.id:
        access.demand(principal, "tokens:write", _tenant_of(session, owner))
    wanted = frozenset(scopes)
    # One's own token gives what one may do now, which is nothing while a duty stands.
    acting = principal if owner == principal.id else principal_of(session, owner)
    if acting is None:
        raise InputError([Problem("token", "user", owner, "a user who is let in")])
    _check(session, acting, name, wanted, days, at)
    row = ApiToken(new_id(), owner, name, wanted, at, at + days * DAY_US, None, None)
    secret = draw()
    ApiTokens(session).add(row, secret)
    detail = {"name": name, "scopes": sorted(wanted), "days": days, "owner": acting.name}
    record(session, principal, "tokens.make", row.id, "done", detail, acting.tenant, at)
    return NewToken(row, f"{PREFIX}{row.id}_{secret}")


def revoke(session: Session, principal: Principal, id: str, at_us: int | None = None) -> None:
    """Put a token out of force; one's own, or with `tokens:write` anybody's.

    Raises:
        DeniedError: It is somebody else's.
        InputError: There is none, or it was revoked already.
    """
    at = now_us() if at_us is None else at_us
    row = ApiTokens(session).get(id)
    if row is None or row.revoked_us is not None:
        raise InputError([Problem("token", "id", id, "a token in force; see the list")])
    tenant = _tenant_of(session, row.user)
    if row.user != principal.id or principal.kind == "token":
        access.demand(principal, "tokens:write", tenant)
    ApiTokens(session).revoke(id, at)
    record(session, principal, "tokens.revoke", id, "done", {"name": row.name}, tenant, at)


def authenticate(engine: Engine, text: str, at_us: int | None = None) -> Principal:
    """Who calls with a token.

    Args:
        engine: The metadata store.
        text: What follows `Bearer `.
        at_us: When; `None`: now.

    Raises:
        SignInError: It is no token in force, or its owner is kept out.
        StoreError: The database failed.
    """
    at = now_us() if at_us is None else at_us
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise SignInError("expected a token that begins with cat_; make one under your account")
    with reading(engine) as session:
        row = ApiTokens(session).find(match[1], match[2])
        principal = None if row is None else principal_of(session, row.user)
    if row is None or principal is None or row.revoked_us is not None or row.expires_us <= at:
        raise SignInError("expected a token in force, got one that is unknown, expired or revoked")
    if row.used_us is None or at - row.used_us >= MINUTE_US:
        with writing(engine) as session:
            ApiTokens(session).used(row.id, at)
    name = f"{principal.name}/{row.name}"
    return Principal(principal.id, name, "token", principal.tenant, principal.roles, row.scopes)


def _check(
    session: Session, acting: Principal, name: str, scopes: frozenset[str], days: int, at: int
) -> None:
    problems = []
    if not 1 <= len(name) <= 60 or not name.isprintable():
        problems.append(Problem("token", "name", name, "a name of 1 to 60 printable characters"))
    if not 1 <= days <= TOKEN_DAYS_MAX:
        problems.append(Problem("token", "days", str(days), f"1 to {TOKEN_DAYS_MAX} days"))
    for scope in sorted(scopes):
        if scope not in PERMISSIONS:
            problems.append(Problem("token", "scope", scope, "a permission such as samples:read"))
        elif not access.may(acting, scope):
            problems.append(Problem("token", "scope", scope, f"a permission that {acting.name} has"))
    if not scopes:
        problems.append(Problem("token", "scope", "", "one permission at least, such as samples:read"))
    rows = ApiTokens(session).of_user(acting.id)
    if sum(row.revoked_us is None and row.expires_us > at for row in rows) >= TOKENS_MAX:
        problems.append(Problem("token", "number", str(TOKENS_MAX), "fewer tokens in force; revoke one"))
    if problems:
        raise InputError(problems)


def _tenant_of(session: Session, user: str) -> str:
    found = Users(session).get(user)
    if found is None:
        raise InputError([Problem("token", "user", user, "a user that there is")])
    return found.tenant
