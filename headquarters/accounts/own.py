"""What users do to their own accounts: passwords, second factors, recovery codes.

Rules:
1. Whatever protects the account is changed only by who shows again what protects it now: the caller
   asks `SignIn.confirms`, unless there is no password yet.
2. A second factor is in force only when a code of it was shown.
3. A new password ends all sessions but the one it was changed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from headquarters.accounts import password as rules
from headquarters.accounts import totp
from headquarters.accounts.credentials import Links, RecoveryCodes, UserSessions, draw_code
from headquarters.accounts.password import Hasher
from headquarters.accounts.principals import principal_of
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.store import User, Users
from headquarters.accounts.terms import RECOVERY_CODES, Terms
from headquarters.audit.trail import record
from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.errors import SignInError
from headquarters.tenancy.principal import Principal
from protocols.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """Somebody's own account.

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

    def set_password(self, user: str, password: str, session: str = "", at_us: int | None = None) -> None:
        """Set a password.

        Args:
            user: Whose.
            password: The new one.
            session: The id of the session that goes on; all others end.
            at_us: When; `None`: now.

        Raises:
            InputError: It is not good enough, or was had before; with everything it should be.
            SignInError: There is no such user any more.
        """
        at = now_us() if at_us is None else at_us
        with reading(self.engine) as transaction:
            users = Users(transaction)
            found, principal = users.get(user), principal_of(transaction, user)
            kept = users.password(user)
            before = users.passwords_before(user, self.terms.password_history)
        if found is None or principal is None:
            raise SignInError("expected a user who is let in")
        rules.check(password, self.terms, found.login, found.name)
        recent = [] if kept is None else [kept, *before][: self.terms.password_history]
        if any(self.hasher.matches(old, password) for old in recent):
            expected = f"another one than the {self.terms.password_history} before"
            raise InputError([Problem("password", "", "a password that was had before", expected)])
        hashed = self.hasher.hash(password)
        with writing(self.engine) as transaction:
            Users(transaction).set_password(user, hashed, at)
            Links(transaction).drop(user)
            UserSessions(transaction).end_all(user, session)
            record(transaction, principal, "users.password", found.login, at_us=at)

    def begin_second_factor(self, user: str) -> tuple[bytes, str]:
        """Draw a secret for a second factor; it is in force after `confirm_second_factor`.

        Returns:
            The secret sealed, for a hidden field of the form, and the URI for the QR code.

        Raises:
            InputError: There is one already.
        """
        found, _ = self._known(user)
        if found.second_factor:
            expected = "a user without a second factor; take the old one away first"
            raise InputError([Problem("second factor", "", found.login, expected)])
        secret = totp.draw_secret()
        return self.sealer.seal(secret, user), totp.uri(secret, found.login)

    def confirm_second_factor(
        self, user: str, sealed: bytes, code: str, session: str = "", at_us: int | None = None
    ) -> tuple[str, ...]:
        """Put a second factor in force.

        Args:
            user: Whose.
            sealed: From `begin_second_factor`.
            code: That the authenticator shows.
            session: The id of the session that goes on; all others end.
            at_us: When; `None`: now.

        Returns:
            Recovery codes, shown once.

        Raises:
            InputError: There is one already, or the code is wrong.
            StoreDamagedError: What was sealed is not what was handed out.
        """
        at = now_us() if at_us is None else at_us
        secret = self.sealer.open(sealed, user)
        step = totp.matching_step(secret, code, at, 0)
        found, principal = self._known(user)
        if step is None:
            expected = "the six figures that the authenticator shows now; see that its clock is right"
            raise InputError([Problem("second factor", "code", code[:12], expected)])
        codes = tuple(draw_code() for _ in range(RECOVERY_CODES))
        with writing(self.engine) as transaction:
            users = Users(transaction)
            users.lock_row([user])
            if users.totp(user)[0] is not None:
                expected = "a user without a second factor; take the old one away first"
                raise InputError([Problem("second factor", "", found.login, expected)])
            users.set_totp(user, sealed, step)
            RecoveryCodes(transaction).replace(user, codes)
            UserSessions(transaction).end_all(user, session)
            record(transaction, principal, "users.second-factor", found.login, at_us=at)
        return codes

    def drop_second_factor(self, user: str, at_us: int | None = None) -> None:
        """Take one's own second factor away; where one is demanded, a new one becomes the first duty."""
        found, principal = self._known(user)
        with writing(self.engine) as transaction:
            Users(transaction).set_totp(user, None, 0)
            RecoveryCodes(transaction).replace(user, ())
            record(transaction, principal, "users.drop-second-factor", found.login, at_us=at_us)

    def renew_recovery_codes(self, user: str, at_us: int | None = None) -> tuple[str, ...]:
        """Hand out new recovery codes; the old ones serve no more.

        Raises:
            InputError: There is no second factor.
        """
        found, principal = self._known(user)
        if not found.second_factor:
            raise InputError([Problem("recovery codes", "", found.login, "a user with a second factor")])
        codes = tuple(draw_code() for _ in range(RECOVERY_CODES))
        with writing(self.engine) as transaction:
            RecoveryCodes(transaction).replace(user, codes)
            record(transaction, principal, "users.recovery-codes", found.login, at_us=at_us)
        return codes

    def _known(self, user: str) -> tuple[User, Principal]:
        with reading(self.engine) as transaction:
            found, principal = Users(transaction).get(user), principal_of(transaction, user)
        if found is None or principal is None:
            raise SignInError("expected a user who is let in")
        return found, principal
