"""People and places that tests of accounts share."""

from __future__ import annotations

from sqlalchemy import Engine

from headquarters.accounts.password import Hasher
from headquarters.accounts.people import People
from headquarters.accounts.principals import principal_of
from headquarters.accounts.store import User, Users
from headquarters.db.engine import reading, writing
from headquarters.tenancy.principal import Principal, machine
from headquarters.tenancy.store import Tenants

ROOT = machine("test")
CHEAP = Hasher(1, 8, 1)
"""As many rounds as argon2 does at least: tests are not what it defends against."""

PASSWORD = "Korrekt-Pferd-7"
NOW_US = 1_800_000_000_000_000


def make_tenant(engine: Engine, id: str) -> None:
    """A tenant."""
    with writing(engine) as session:
        Tenants(session).add(id, id.title(), NOW_US)


def make_user(engine: Engine, login: str, *roles: str, tenant: str = "group", password: str = "") -> User:
    """A user with roles, and a password if one is given."""
    with writing(engine) as session:
        people = People(session, ROOT, NOW_US)
        user = people.add(tenant, login, login.title())
        for role in roles:
            people.give_role(user.id, role)
        if password:
            Users(session).set_password(user.id, CHEAP.hash(password), NOW_US)
    return user


def acting(engine: Engine, user: User) -> Principal:
    """The principal that a user acts as."""
    with reading(engine) as session:
        found = principal_of(session, user.id)
    assert found is not None
    return found
