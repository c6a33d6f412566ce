"""Links, recovery codes, sessions and tokens in the metadata store: whatever lets somebody in.

What is drawn here has 256 bits (recovery codes 80), so that its SHA-256 may be kept as it is: nothing
can be guessed from it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from headquarters.accounts.tables import (
    ExternalRow,
    ExternalSignInRow,
    LinkRow,
    RecoveryRow,
    SessionRow,
    TokenRow,
)


def draw() -> str:
    """A secret of 256 bits, as text for a URL or a cookie."""
    return secrets.token_urlsafe(32)


def draw_code() -> str:
    """A recovery code of 80 bits that can be written by hand.

    >>> len(draw_code())
    19
    """
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True)
class UserSession:
    """A signed-in browser; times in us since 1970.

    Args:
        id: For lists and for the CSRF token.
        user: Whose.
        by: How it was signed in: `password`, `password+code`, `link`, an OIDC provider.
        address: From where.
        agent: What the browser calls itself.
        created_us: Since when.
        rotated_us: Since when with this token.
        seen_us: When it was used last, to a minute.
        ends_us: When it ends, used or not.
    """

    id: str
    user: str
    by: str
    address: str
    agent: str
    created_us: int
    rotated_us: int
    seen_us: int
    ends_us: int


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token, without its secret; times in us since 1970.

    Args:
        id: Its public half.
        user: Whose.
        name: What its owner calls it.
        scopes: The permissions that it is limited to.
        created_us: Since when.
        expires_us: Until when.
        used_us: When it was used last, to a minute.
        revoked_us: Since when it is revoked.
    """

    id: str
    user: str
    name: str
    scopes: frozenset[str]
    created_us: int
    expires_us: int
    used_us: int | None
    revoked_us: int | None


class Links:
    """One-time links within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, secret: str, user: str, expires_us: int) -> None:
        """Keep a link; those of the same user before serve no more."""
        self._session.execute(delete(LinkRow).where(LinkRow.user == user))
        self._session.add(LinkRow(hash=hash_of(secret), user=user, expires_us=expires_us))

    def owner(self, secret: str, at_us: int) -> str | None:
        """Whose a link is that still serves."""
        return self._session.execute(select(LinkRow.user).where(*self._serves(secret, at_us))).scalar()

    def use(self, secret: str, at_us: int) -> bool:
        """Use a link up; false when it serves no more."""
        statement = update(LinkRow).where(*self._serves(secret, at_us)).values(used_us=at_us)
        return _count(self._session.execute(statement)) == 1

    def drop(self, user: str) -> None:
        """Let no link of a user serve any more."""
        self._session.execute(delete(LinkRow).where(LinkRow.user == user))

    @staticmethod
    def _serves(secret: str, at_us: int) -> tuple[Any, ...]:
        return LinkRow.hash == hash_of(secret), LinkRow.used_us.is_(None), LinkRow.expires_us > at_us


class RecoveryCodes:
    """Recovery codes within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def replace(self, user: str, codes: Iterable[str]) -> None:
        """Keep new codes; the old ones serve no more."""
        self._session.execute(delete(RecoveryRow).where(RecoveryRow.user == user))
        for code in codes:
            self._session.add(RecoveryRow(user=user, hash=hash_of(code)))

    def use(self, user: str, code: str, at_us: int) -> bool:
        """Use a code up; false when it is none, or served already."""
        where = (RecoveryRow.user == user, RecoveryRow.hash == hash_of(code), RecoveryRow.used_us.is_(None))
        return _count(self._session.execute(update(RecoveryRow).where(*where).values(used_us=at_us))) == 1

    def left(self, user: str) -> int:
        """How many codes of a user still serve."""
        query = select(func.count()).where(RecoveryRow.user == user, RecoveryRow.used_us.is_(None))
        return self._session.execute(query).scalar_one()


class UserSessions:
    """Sessions within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: UserSession, secret: str) -> None:
        """Keep a session."""
        self._session.add(
            SessionRow(
                id=row.id,
                user=row.user,
                hash=hash_of(secret),
                by=row.by,
                address=row.address,
                agent=row.agent,
                created_us=row.created_us,
                rotated_us=row.rotated_us,
                seen_us=row.seen_us,
                ends_us=row.ends_us,
            )
        )

    def find(self, secret: str) -> tuple[UserSession, bool] | None:
        """A session by its token, and whether that is the one before the last rotation."""
        hashed = hash_of(secret)
        query = select(*_SESSION, SessionRow.hash).where(
            or_(SessionRow.hash == hashed, SessionRow.before == hashed)
        )
        row = self._session.execute(query).one_or_none()
        if row is None:
            return None
        *fields, current = tuple[Any, ...](row)
        return UserSession(*fields), bytes(current) != hashed

    def get(self, id: str) -> UserSession | None:
        """A session by its id."""
        row = self._session.execute(select(*_SESSION).where(SessionRow.id == id)).one_or_none()
        return None if row is None else UserSession(*row)

    def rotate(self, id: str, old: str, new: str, at_us: int) -> bool:
        """Give a session a new token; false when another request was quicker."""
        where = (SessionRow.id == id, SessionRow.hash == hash_of(old))
        values = {"hash": hash_of(new), "before": hash_of(old), "rotated_us": at_us, "seen_us": at_us}
        return _count(self._session.execute(update(SessionRow).where(*where).values(**values))) == 1

    def seen(self, id: str, at_us: int) -> None:
        """Note that a session is used."""
        self._session.execute(update(SessionRow).where(SessionRow.id == id).values(seen_us=at_us))

    def of_user(self, user: str) -> list[UserSession]:
        """The sessions of a user, the newest first."""
        query = select(*_SESSION).where(SessionRow.user == user).order_by(SessionRow.created_us.desc())
        return [UserSession(*row) for row in self._session.execute(query)]

    def end(self, id: str) -> bool:
        """End a session; false when there was none."""
        return _count(self._session.execute(delete(SessionRow).where(SessionRow.id == id))) == 1

    def end_all(self, user: str, but: str = "") -> int:
        """End all sessions of a user, but for one; returns how many there were."""
        where = (SessionRow.user == user, SessionRow.id != but)
        return _count(self._session.execute(delete(SessionRow).where(*where)))

    def end_old(self, seen_before_us: int, at_us: int) -> int:
        """Remove sessions that ended by themselves."""
        where = or_(SessionRow.seen_us < seen_before_us, SessionRow.ends_us <= at_us)
        return _count(self._session.execute(delete(SessionRow).where(where)))


class ApiTokens:
    """API tokens within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: ApiToken, secret: str) -> None:
        """Keep a token."""
        self._session.add(
            TokenRow(
                id=row.id,
                user=row.user,
                name=row.name,
                hash=hash_of(secret),
                scopes=" ".join(sorted(row.scopes)),
                created_us=row.created_us,
                expires_us=row.expires_us,
            )
        )

    def get(self, id: str) -> ApiToken | None:
        """One token."""
        row = self._session.execute(select(*_TOKEN).where(TokenRow.id == id)).one_or_none()
        return None if row is None else _token(row)

    def find(self, id: str, secret: str) -> ApiToken | None:
        """A token by both its halves."""
        query = select(*_TOKEN).where(TokenRow.id == id, TokenRow.hash == hash_of(secret))
        row = self._session.execute(query).one_or_none()
        return None if row is None else _token(row)

    def of_user(self, user: str) -> list[ApiToken]:
        """The tokens of a user, the newest first."""
        query = select(*_TOKEN).where(TokenRow.user == user).order_by(TokenRow.created_us.desc(), TokenRow.id)
        return [_token(row) for row in self._session.execute(query)]

    def used(self, id: str, at_us: int) -> None:
        """Note that a token is used."""
        self._session.execute(update(TokenRow).where(TokenRow.id == id).values(used_us=at_us))

    def revoke(self, id: str, at_us: int) -> bool:
        """Put a token out of force; false when it was, or there is none."""
        where = (TokenRow.id == id, TokenRow.revoked_us.is_(None))
        return _count(self._session.execute(update(TokenRow).where(*where).values(revoked_us=at_us))) == 1


@dataclass(frozen=True, slots=True)
class ExternalSignIn:
    """A sign-in that is under way at a provider.

    Args:
        provider: Its name in the configuration.
        nonce: What its answer must repeat.
        verifier: The sealed secret behind the PKCE challenge.
        browser: The hash of the cookie of the browser that began it.
        next: The path to go to afterwards.
        expires_us: Until when it may come back.
    """

    provider: str
    nonce: str
    verifier: bytes
    browser: bytes
    next: str
    expires_us: int


class Externals:
    """What is known of OIDC providers' users, and their sign-ins under way, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def user(self, issuer: str, subject: str) -> str | None:
        """The user that is known under an issuer's subject."""
        where = (ExternalRow.issuer == issuer, ExternalRow.subject == subject)
        return self._session.execute(select(ExternalRow.user).where(*where)).scalar_one_or_none()

    def bind(self, issuer: str, subject: str, user: str) -> None:
        """Know a user under an issuer's subject.

        Raises:
            ConflictError: Another one is, when the transaction ends.
        """
        self._session.add(ExternalRow(issuer=issuer, subject=subject, user=user))
        self._session.flush()

    def unbind(self, user: str) -> None:
        """Know a user under no provider any more."""
        self._session.execute(delete(ExternalRow).where(ExternalRow.user == user))

    def begin(self, state: str, row: ExternalSignIn) -> None:
        """Keep a sign-in that goes to a provider."""
        self._session.add(
            ExternalSignInRow(
                state=hash_of(state),
                provider=row.provider,
                nonce=row.nonce,
                verifier=row.verifier,
                browser=row.browser,
                next=row.next,
                expires_us=row.expires_us,
            )
        )

    def take(self, state: str, at_us: int) -> ExternalSignIn | None:
        """Take out a sign-in that came back; `None` when there is none, or it is too late."""
        hashed = hash_of(state)
        query = select(*_EXTERNAL).where(ExternalSignInRow.state == hashed).with_for_update()
        row = self._session.execute(query).one_or_none()
        gone = or_(ExternalSignInRow.state == hashed, ExternalSignInRow.expires_us <= at_us)
        self._session.execute(delete(ExternalSignInRow).where(gone))
        if row is None or row.expires_us <= at_us:
            return None
        provider, nonce, verifier, browser, next_, expires_us = row
        return ExternalSignIn(provider, nonce, bytes(verifier), bytes(browser), next_, expires_us)


_SESSION = (
    SessionRow.id,
    SessionRow.user,
    SessionRow.by,
    SessionRow.address,
    SessionRow.agent,
    SessionRow.created_us,
    SessionRow.rotated_us,
    SessionRow.seen_us,
    SessionRow.ends_us,
)
_TOKEN = (
    TokenRow.id,
    TokenRow.user,
    TokenRow.name,
    TokenRow.scopes,
    TokenRow.created_us,
    TokenRow.expires_us,
    TokenRow.used_us,
    TokenRow.revoked_us,
)
_EXTERNAL = (
    ExternalSignInRow.provider,
    ExternalSignInRow.nonce,
    ExternalSignInRow.verifier,
    ExternalSignInRow.browser,
    ExternalSignInRow.next,
    ExternalSignInRow.expires_us,
)


def _token(row: Any) -> ApiToken:
    id_, user, name, scopes, *times = row
    return ApiToken(id_, user, name, frozenset(scopes.split()), *times)


def _count(result: Any) -> int:
    return int(result.rowcount)
