"""Makes the principal that a user, or a token of it, acts as now."""

from __future__ import annotations

from sqlalchemy.orm import Session

from headquarters.accounts.store import User, Users
from headquarters.accounts.terms import DAY_US, Terms
from headquarters.tenancy.permissions import administrators
from headquarters.tenancy.principal import Principal


def principal_of(session: Session, user: str) -> Principal | None:
    """The principal of a user; `None` when there is none, or it or its tenant is disabled."""
    users = Users(session)
    found = users.get(user)
    if found is None or not users.is_let_in(user):
        return None
    return Principal(found.id, found.login, "user", found.tenant, users.roles(user))


def duties(user: User, roles: frozenset[str], terms: Terms, at_us: int) -> tuple[str, ...]:
    """What a user must do before anything else: until then it has no roles.

    Args:
        user: Who.
        roles: Its roles.
        terms: Of the installation.
        at_us: When.

    Returns:
        `password` (to change it), `second-factor` (to set one up), or both, or neither.
    """
    due = []
    days = terms.password_days
    if days and user.password_us is not None and at_us >= user.password_us + days * DAY_US:
        due.append("password")
    wanted = terms.second_factor == "everybody" or (
        terms.second_factor == "administrators" and administrators(roles)
    )
    if wanted and not user.second_factor:
        due.append("second-factor")
    return tuple(due)
