"""Sessions of browsers: begun, resumed with each request, rotated, ended.

Rules:
1. The cookie holds 256 random bits; the database their hash.
2. A session ends when it was idle too long, when it grew too old, when its user is disabled, and
   when its password changes elsewhere.
3. Its token is changed every quarter of an hour and at each gain of rights; the one before is good
   for a minute longer, for requests that were under way. Used later, it was stolen: the session ends.
4. Roles are looked up with each request: one that was taken is gone at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headquarters.accounts.credentials import UserSession, UserSessions, draw
from headquarters.accounts.principals import duties, principal_of
from headquarters.accounts.store import User, Users
from headquarters.accounts.terms import GRACE_US, HOUR_US, MINUTE_US, ROTATE_US, SEEN_US, Terms
from headquarters.audit.trail import Outcome, record
from headquarters.db.base import new_id, now_us
from headquarters.db.engine import reading, writing
from headquarters.tenancy.principal import Principal

AGENT_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session that goes on.

    Args:
        principal: Who acts; without roles while there are duties.
        user: The user.
        session: The session.
        duties: What must be done first: `password`, `second-factor`.
        token: A new token for the cookie; `None`: the old one stays.
    """

    principal: Principal
    user: User
    session: UserSession
    duties: tuple[str, ...]
    token: str | None


class Sessions:
    """All sessions.

    Args:
        engine: The metadata store.
        terms: Of the installation.
    """

    def __init__(self, engine: Engine, terms: Terms) -> None:
        self._engine = engine
        self._terms = terms

    def begin(self, user: str, by: str, address: str, agent: str, at_us: int | None = None) -> str:
        """Begin a session for somebody who was let in.

        Args:
            user: Whose.
            by: How it was let in.
            address: From where.
            agent: What the browser calls itself.
            at_us: When; `None`: now.

        Returns:
            The token for the cookie.

        Raises:
            StoreError: The database failed.
        """
        at = now_us() if at_us is None else at_us
        token = draw()
        ends_us = at + self._terms.session_hours * HOUR_US
        row = UserSession(new_id(), user, by, _clean(address), _clean(agent), at, at, at, ends_us)
        with writing(self._engine) as session:
            sessions = UserSessions(session)
            sessions.end_old(at - self._terms.idle_minutes * MINUTE_US, at)
            sessions.add(row, token)
        return token

    def resume(self, token: str, at_us: int | None = None) -> Resumed | None:
        """Whose a cookie is.

        Args:
            token: From the cookie.
            at_us: When; `None`: now.

        Returns:
            The session, or `None`: it is none, or it ended.

        Raises:
            StoreError: The database failed.
        """
        at = now_us() if at_us is None else at_us
        with reading(self._engine) as session:
            found = UserSessions(session).find(token)
            if found is None:
                return None
            row, is_before = found
            principal = principal_of(session, row.user)
            user = Users(session).get(row.user)
        idle = at - row.seen_us >= self._terms.idle_minutes * MINUTE_US
        stolen = is_before and at - row.rotated_us >= GRACE_US
        if principal is None or user is None or idle or stolen or at >= row.ends_us:
            self._end(row, "stolen" if stolen else "")
            return None
        due = duties(user, principal.roles, self._terms, at)
        if due:
            principal = replace(principal, roles=frozenset())
        return Resumed(principal, user, row, due, self._go_on(row, token, is_before, at))

    def principal(self, id: str, at_us: int | None = None) -> Principal | None:
        """Who acts in a session now, for a stream that goes on: that is no use of it, and rotates nothing.

        Args:
            id: Of the session.
            at_us: When; `None`: now.

        Returns:
            The principal, or `None`: the session ended, or has a duty first.

        Raises:
            StoreError: The database failed.
        """
        at = now_us() if at_us is None else at_us
        with reading(self._engine) as session:
            row = UserSessions(session).get(id)
            if row is None or at >= row.ends_us or at - row.seen_us >= self._terms.idle_minutes * MINUTE_US:
                return None
            user, principal = Users(session).get(row.user), principal_of(session, row.user)
        if user is None or principal is None or duties(user, principal.roles, self._terms, at):
            return None
        return principal

    def rotate(self, token: str, at_us: int | None = None) -> str | None:
        """Give a session a new token now, as after a change of password; `None` when it is gone."""
        at = now_us() if at_us is None else at_us
        new = draw()
        with writing(self._engine) as session:
            sessions = UserSessions(session)
            found = sessions.find(token)
            if found is None or not sessions.rotate(found[0].id, token, new, at):
                return None
        return new

    def end(self, token: str) -> None:
        """Sign out."""
        with writing(self._engine) as session:
            found = UserSessions(session).find(token)
            if found is not None and UserSessions(session).end(found[0].id):
                self._record(session, found[0], "done", {"why": "signed out"})

    def of_user(self, user: str) -> list[UserSession]:
        """The sessions of a user, the newest first."""
        with reading(self._engine) as session:
            return UserSessions(session).of_user(user)

    def end_one(self, user: str, id: str) -> bool:
        """End one of a user's own sessions by its id; false when it has none of this id."""
        with writing(self._engine) as session:
            sessions = UserSessions(session)
            row = next((row for row in sessions.of_user(user) if row.id == id), None)
            if row is None or not sessions.end(id):
                return False
            self._record(session, row, "done", {"why": "ended elsewhere"})
            return True

    def _go_on(self, row: UserSession, token: str, is_before: bool, at: int) -> str | None:
        if not is_before and at - row.rotated_us >= ROTATE_US:
            new = draw()
            with writing(self._engine) as session:
                return new if UserSessions(session).rotate(row.id, token, new, at) else None
        if at - row.seen_us >= SEEN_US:
            with writing(self._engine) as session:
                UserSessions(session).seen(row.id, at)
        return None

    def _end(self, row: UserSession, why: str) -> None:
        with writing(self._engine) as session:
            UserSessions(session).end(row.id)
            if why:
                self._record(session, row, "denied", {"why": why, "by": row.by})

    @staticmethod
    def _record(session: Session, row: UserSession, outcome: Outcome, detail: dict[str, str]) -> None:
        user = Users(session).get(row.user)
        assert user is not None, "users are never removed"
        principal = Principal(user.id, user.login, "user", user.tenant, frozenset())
        record(session, principal, "sessions.end", row.id, outcome, detail)


def _clean(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:AGENT_CHARS_MAX]
