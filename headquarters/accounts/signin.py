"""Signing in: by password, by one-time link, with a second factor or a recovery code.

Rules:
1. Each failure counts, is recorded, and is answered alike, after the same time: nobody learns which
   logins there are.
2. A locked account lets nobody in, with the right password neither.
3. A code serves once, as a link and a recovery code do.
4. Hashing takes no lock: the database is asked, then the password compared, then the database told.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headquarters.accounts import totp
from headquarters.accounts.credentials import Links, RecoveryCodes
from headquarters.accounts.lockout import State, after_failure, is_locked
from headquarters.accounts.password import Hasher
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.store import User, Users
from headquarters.accounts.terms import Terms
from headquarters.audit.trail import Outcome, record
from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.errors import SignInError
from headquarters.tenancy.principal import GROUP, Principal


class CodeNeededError(SignInError):
    """The first factor was right; the second one is missing."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Somebody who was let in.

    Args:
        user: The user's id.
        by: How: `password`, `password+code`, `password+recovery`, `link`, `link+code`, `link+recovery`.
    """

    user: str
    by: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """The door.

    Args:
        engine: The metadata store.
        terms: Of the installation.
        hasher: Of passwords.
        sealer: Of second factors' secrets.
    """

    engine: Engine
    terms: Terms
    hasher: Hasher
    sealer: Sealer

    def by_password(
        self, login: str, password: str, code: str = "", address: str = "", at_us: int | None = None
    ) -> Accepted:
        """Let somebody in who knows a password, and a code where there is a second factor.

        Args:
            login: As typed.
            password: As typed.
            code: Of the second factor, or a recovery code; empty: none was typed yet.
            address: From where.
            at_us: When; `None`: now.

        Raises:
            CodeNeededError: The password is right, and a code is needed.
            SignInError: Nobody is let in.
            StoreError: The database failed.
        """
        at = now_us() if at_us is None else at_us
        with reading(self.engine) as session:
            user = Users(session).by_login(login.strip().lower())
            kept = None if user is None else Users(session).password(user.id)
        right = self.hasher.matches(kept, password)
        if user is None:
            self._note_unknown(login, address, at)
            raise _refused()
        with writing(self.engine) as session:
            outcome = self._judge(session, user.id, right, "password", code, address, at)
            if right and isinstance(outcome, Accepted) and self.hasher.is_outdated(kept or ""):
                Users(session).replace_hash(user.id, self.hasher.hash(password))
        return _given(outcome)

    def by_link(self, secret: str, code: str = "", address: str = "", at_us: int | None = None) -> Accepted:
        """Let somebody in who has a one-time link; it serves no more afterwards. See `by_password`."""
        at = now_us() if at_us is None else at_us
        with writing(self.engine) as session:
            owner = Links(session).owner(secret, at)
            if owner is None:
                self._record(session, None, "", "sign-in.link", "denied", address, at)
                outcome: Accepted | SignInError = SignInError(
                    "expected a link that was not used and is not too old; ask for a new one"
                )
            else:
                outcome = self._judge(session, owner, True, "link", code, address, at)
                if isinstance(outcome, Accepted):
                    Links(session).use(secret, at)
        return _given(outcome)

    def whose_link(self, secret: str, at_us: int | None = None) -> User | None:
        """Whose a link is, without using it up: for the page that asks before it signs in."""
        at = now_us() if at_us is None else at_us
        with reading(self.engine) as session:
            owner = Links(session).owner(secret, at)
            return None if owner is None else Users(session).get(owner)

    def confirms(self, user: str, password: str, at_us: int | None = None) -> bool:
        """Whether a signed-in user knows its password: asked before it changes what protects it.

        A failure counts as one of signing in does.
        """
        at = now_us() if at_us is None else at_us
        with reading(self.engine) as session:
            kept = Users(session).password(user)
        right = self.hasher.matches(kept, password)
        with writing(self.engine) as session:
            users = Users(session)
            users.lock_row([user])
            found = users.get(user)
            if found is None or is_locked(found.lock, at):
                return False
            if not right:
                self._fail(session, found, "password", "", at)
            return right

    def _judge(
        self, session: Session, id: str, right: bool, by: str, code: str, address: str, at: int
    ) -> Accepted | SignInError:
        users = Users(session)
        users.lock_row([id])
        user = users.get(id)
        assert user is not None, "users are never removed"
        if is_locked(user.lock, at) or not users.is_let_in(id):
            why = "locked" if is_locked(user.lock, at) else "disabled"
            self._record(session, user, user.login, f"sign-in.{by}", "denied", address, at, why)
            return _refused()
        if not right:
            return self._fail(session, user, by, address, at)
        if user.second_factor:
            if not code:
                return CodeNeededError("expected a code of the second factor as well")
            second = self._second(session, user, code, at)
            if second is None:
                return self._fail(session, user, f"{by}+code", address, at)
            by = f"{by}+{second}"
        if user.lock != State():
            users.set_lock(id, State())
        self._record(session, user, user.login, f"sign-in.{by}", "done", address, at)
        return Accepted(id, by)

    def _second(self, session: Session, user: User, code: str, at: int) -> str | None:
        users = Users(session)
        sealed, last = users.totp(user.id)
        assert sealed is not None, "asked only of users who have one"
        step = totp.matching_step(self.sealer.open(sealed, user.id), code, at, last)
        if step is not None:
            return "code" if users.use_totp_step(user.id, step) else None
        used = RecoveryCodes(session).use(user.id, code.strip().lower(), at)
        return "recovery" if used else None

    def _fail(self, session: Session, user: User, by: str, address: str, at: int) -> SignInError:
        state = after_failure(user.lock, at, self.terms)
        Users(session).set_lock(user.id, state)
        why = "locked now" if is_locked(state, at) else ""
        self._record(session, user, user.login, f"sign-in.{by}", "denied", address, at, why)
        return _refused()

    def _note_unknown(self, login: str, address: str, at: int) -> None:
        with writing(self.engine) as session:
            self._record(session, None, login, "sign-in.password", "denied", address, at, "unknown")

    @staticmethod
    def _record(
        session: Session,
        user: User | None,
        name: str,
        action: str,
        outcome: Outcome,
        address: str,
        at: int,
        why: str = "",
    ) -> None:
        tenant = GROUP if user is None else user.tenant
        principal = Principal("" if user is None else user.id, name, "user", tenant, frozenset())
        detail = {"address": address} | ({"why": why} if why else {})
        record(session, principal, action, name, outcome, detail, at_us=at)


def _refused() -> SignInError:
    return SignInError(
        "expected a login and its password, and the code where one is needed; after several failures an"
        " account is locked for a while"
    )


def _given(outcome: Accepted | SignInError) -> Accepted:
    if isinstance(outcome, SignInError):
        raise outcome
    return outcome
