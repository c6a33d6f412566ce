"""Users, groups and roles; API tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from headquarters.accounts import tokens
from headquarters.accounts.credentials import ApiToken, ApiTokens
from headquarters.accounts.people import People
from headquarters.accounts.store import Group, User, Users
from headquarters.accounts.terms import TOKEN_DAYS_MAX
from headquarters.api.context import Asker, needs
from headquarters.api.forms import paging, shown, there
from headquarters.api.idempotency import IdempotentRoute
from headquarters.db.engine import reading, writing
from headquarters.tenancy import access
from headquarters.tenancy.permissions import PERMISSIONS, ROLES
from headquarters.views.paging import Page, Paging, page_of

router = APIRouter(tags=["accounts"], route_class=IdempotentRoute)

Id = Annotated[str, Path(max_length=64, examples=["5f0c2a9e6b1d4c7788aa90e1"])]
RoleName = Annotated[str, Path(max_length=64, examples=["viewer"])]
TenantName = Annotated[str | None, Query(max_length=64)]
Text = Annotated[str, Field(max_length=200)]


class NewUser(BaseModel):
    """A user that is to be."""

    tenant: Annotated[str, Field(max_length=64, examples=["plant-a"])]
    login: Annotated[str, Field(max_length=64, examples=["anna.li"])]
    name: Annotated[Text, Field(examples=["Anna Li"])]
    email: Text = ""


class Profile(BaseModel):
    """What is known of a user."""

    name: Text
    email: Text = ""
    language: Annotated[str, Field(max_length=8, examples=["zh"])] = ""


class NewGroup(BaseModel):
    """A group that is to be."""

    tenant: Annotated[str, Field(max_length=64, examples=["plant-a"])]
    name: Annotated[Text, Field(examples=["shift B"])]


class NewToken(BaseModel):
    """A token that is to be."""

    name: Annotated[str, Field(max_length=60, examples=["nightly export"])]
    scopes: Annotated[
        list[Annotated[str, Field(max_length=64)]], Field(max_length=64, examples=[["samples:read"]])
    ]
    days: Annotated[int, Field(ge=1, le=TOKEN_DAYS_MAX)] = 90


@dataclass(frozen=True, slots=True)
class UserView:
    """A user; times in microseconds since 1970.

    Args:
        id: For good.
        tenant: Whose member.
        login: What is typed to sign in.
        name: For people.
        email: Where alarms go.
        language: `en`, `zh`, or empty for the browser's.
        disabled: Whether it is kept out.
        created_us: Since when.
        has_password: Whether it has set one.
        locked_until_us: Until when it is locked after failures; `None`: it is not.
        second_factor: Whether it has one.
        roles: Its roles, its own and those of its groups.
    """

    id: str
    tenant: str
    login: str
    name: str
    email: str
    language: str
    disabled: bool
    created_us: int
    has_password: bool
    locked_until_us: int | None
    second_factor: bool
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group of users, its members by id, and its roles."""

    id: str
    tenant: str
    name: str
    members: tuple[str, ...]
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link's secret, shown once and kept nowhere."""

    user: str
    secret: str


@dataclass(frozen=True, slots=True)
class TokenView:
    """An API token without its secret; times in microseconds since 1970."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_us: int
    expires_us: int
    used_us: int | None
    revoked_us: int | None


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token that was made, and its text, which is shown once and kept nowhere."""

    token: TokenView
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """A name in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class RoleView:
    """A role, and what it allows."""

    name: str
    words: Words
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermissionView:
    """A permission; `group`: only members of the group itself have it."""

    name: str
    words: Words
    group: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """Every role and every permission."""

    roles: tuple[RoleView, ...]
    permissions: tuple[PermissionView, ...]


# -- users -----------------------------------------------------------------------------------------


@router.get("/users", response_model=Page[UserView])
def list_users(
    asker: Annotated[Asker, needs("users:read")],
    page: Annotated[Paging, Depends(paging)],
    tenant: TenantName = None,
    search: Annotated[
        str, Query(max_length=200, description="Words that all must occur.", examples=["li plant-a"])
    ] = "",
) -> Response:
    """Users of a tenant, or all that may be seen, by login."""
    with reading(asker.context.metadata) as session:
        users = People(session, asker.principal).users(tenant, search)
        chosen = page_of(users, lambda user: (user.login,), page)
        found = Page(tuple(_user(session, user) for user in chosen.items), chosen.next)
    return shown(found, Page[UserView])


@router.post("/users", response_model=UserView, status_code=201)
def add_user(asker: Annotated[Asker, needs("users:write")], asked: NewUser) -> Response:
    """Make a user; it has no password, and comes in by a one-time link."""
    with asker.denials(f"user {asked.login}"), writing(asker.context.metadata) as session:
        people = People(session, asker.principal)
        found = _user(session, people.add(asked.tenant, asked.login, asked.name, asked.email))
    return shown(found, UserView, 201)


@router.get("/users/{user}", response_model=UserView)
def get_user(asker: Annotated[Asker, needs("users:read")], user: Id) -> Response:
    """One user."""
    with reading(asker.context.metadata) as session:
        _see(session, asker, user)
        found = _user(session, People(session, asker.principal).get(user))
    return shown(found, UserView)


@router.patch("/users/{user}", status_code=204)
def change_profile(asker: Annotated[Asker, needs("users:write")], user: Id, asked: Profile) -> None:
    """Change what is known of a user."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        People(session, asker.principal).set_profile(user, asked.name, asked.email, asked.language)


@router.post("/users/{user}/disable", status_code=204)
def disable_user(asker: Annotated[Asker, needs("users:write")], user: Id) -> None:
    """Keep a user out, at once."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        People(session, asker.principal).set_disabled(user, True)


@router.post("/users/{user}/enable", status_code=204)
def enable_user(asker: Annotated[Asker, needs("users:write")], user: Id) -> None:
    """Let a user in again."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        People(session, asker.principal).set_disabled(user, False)


@router.post("/users/{user}/unlock", status_code=204)
def unlock_user(asker: Annotated[Asker, needs("users:write")], user: Id) -> None:
    """Forget a user's failures to sign in."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        People(session, asker.principal).unlock(user)


@router.post("/users/{user}/link", response_model=Link, status_code=201)
def make_link(asker: Annotated[Asker, needs("users:write")], user: Id) -> Response:
    """Make a one-time link by which a user signs in and sets a password; shown once."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        secret = People(session, asker.principal).link(user)
    return shown(Link(user, secret), Link, 201, secret=True)


@router.delete("/users/{user}/second-factor", status_code=204)
def drop_second_factor(asker: Annotated[Asker, needs("roles:write")], user: Id) -> None:
    """Take a second factor away that was lost."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        People(session, asker.principal).drop_second_factor(user)


@router.put("/users/{user}/roles/{role}", status_code=204)
def give_role(asker: Annotated[Asker, needs("roles:write")], user: Id, role: RoleName) -> None:
    """Give a user a role."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        People(session, asker.principal).give_role(user, role)


@router.delete("/users/{user}/roles/{role}", status_code=204)
def take_role(asker: Annotated[Asker, needs("roles:write")], user: Id, role: RoleName) -> None:
    """Take a role away from a user."""
    with asker.denials(f"user {user}"), writing(asker.context.metadata) as session:
        _see(session, asker, user)
        People(session, asker.principal).take_role(user, role)


@router.get("/roles", response_model=Rights)
def list_roles(asker: Annotated[Asker, needs(None)]) -> Response:
    """Every role and permission, in both languages."""
    roles = tuple(
        RoleView(name, Words(role.en, role.zh), tuple(sorted(role.permissions)))
        for name, role in ROLES.items()
    )
    permissions = tuple(
        PermissionView(name, Words(each.en, each.zh), each.group) for name, each in PERMISSIONS.items()
    )
    return shown(Rights(roles, permissions), Rights)


# -- groups ----------------------------------------------------------------------------------------


@router.get("/groups", response_model=tuple[GroupView, ...])
def list_groups(asker: Annotated[Asker, needs("users:read")], tenant: TenantName = None) -> Response:
    """Groups of users, with members and roles."""
    with reading(asker.context.metadata) as session:
        people = People(session, asker.principal)
        found = [_group(people, group) for group in people.groups(tenant)]
    return shown(tuple(found), tuple[GroupView, ...])


@router.post("/groups", response_model=GroupView, status_code=201)
def add_group(asker: Annotated[Asker, needs("users:write")], asked: NewGroup) -> Response:
    """Make a group."""
    with asker.denials(f"group {asked.name}"), writing(asker.context.metadata) as session:
        made = People(session, asker.principal).add_group(asked.tenant, asked.name)
    return shown(GroupView(made.id, made.tenant, made.name, (), ()), GroupView, 201)


@router.delete("/groups/{group}", status_code=204)
def remove_group(asker: Annotated[Asker, needs("users:write")], group: Id) -> None:
    """Remove a group."""
    with asker.denials(f"group {group}"), writing(asker.context.metadata) as session:
        People(session, asker.principal).remove_group(group)


@router.put("/groups/{group}/members/{user}", status_code=204)
def join_group(asker: Annotated[Asker, needs("users:read")], group: Id, user: Id) -> None:
    """Put a user into a group; who may depends on the group's roles."""
    with asker.denials(f"group {group}"), writing(asker.context.metadata) as session:
        People(session, asker.principal).join(group, user)


@router.delete("/groups/{group}/members/{user}", status_code=204)
def leave_group(asker: Annotated[Asker, needs("users:read")], group: Id, user: Id) -> None:
    """Take a user out of a group; who may depends on the group's roles."""
    with asker.denials(f"group {group}"), writing(asker.context.metadata) as session:
        People(session, asker.principal).leave(group, user)


@router.put("/groups/{group}/roles/{role}", status_code=204)
def give_group_role(asker: Annotated[Asker, needs("roles:write")], group: Id, role: RoleName) -> None:
    """Give a group a role."""
    with asker.denials(f"group {group}"), writing(asker.context.metadata) as session:
        People(session, asker.principal).give_group_role(group, role)


@router.delete("/groups/{group}/roles/{role}", status_code=204)
def take_group_role(asker: Annotated[Asker, needs("roles:write")], group: Id, role: RoleName) -> None:
    """Take a role away from a group."""
    with asker.denials(f"group {group}"), writing(asker.context.metadata) as session:
        People(session, asker.principal).take_group_role(group, role)


# -- tokens ----------------------------------------------------------------------------------------


@router.get("/tokens", response_model=tuple[TokenView, ...])
def list_tokens(asker: Annotated[Asker, needs(None)]) -> Response:
    """One's own API tokens."""
    with reading(asker.context.metadata) as session:
        found = [_token(row) for row in ApiTokens(session).of_user(asker.principal.id)]
    return shown(tuple(found), tuple[TokenView, ...])


@router.post("/tokens", response_model=MadeToken, status_code=201)
def make_token(asker: Annotated[Asker, needs(None)], asked: NewToken) -> Response:
    """Make an API token of one's own; its text is shown once."""
    with asker.denials("token"), writing(asker.context.metadata) as session:
        made = tokens.make(session, asker.principal, asked.name, asked.scopes, asked.days)
    return shown(MadeToken(_token(made.row), made.text), MadeToken, 201, secret=True)


@router.delete("/tokens/{token}", status_code=204)
def revoke_token(asker: Annotated[Asker, needs(None)], token: Id) -> None:
    """Put a token out of force: one's own, or with `tokens:write` another's."""
    with asker.denials(f"token {token}"), writing(asker.context.metadata) as session:
        tokens.revoke(session, asker.principal, token)


# -- leaves ----------------------------------------------------------------------------------------


def _see(session: Session, asker: Asker, user: str) -> None:
    """See that a user is there, and of a tenant whose users may be seen."""
    found = Users(session).get(user)
    seen = found is not None and access.may(asker.principal, "users:read", found.tenant)
    there(found if seen else None, "user", user)


def _user(session: Session, user: User) -> UserView:
    return UserView(
        user.id,
        user.tenant,
        user.login,
        user.name,
        user.email,
        user.language,
        user.disabled,
        user.created_us,
        user.password_us is not None,
        user.lock.locked_until_us or None,
        user.second_factor,
        tuple(sorted(Users(session).roles(user.id))),
    )


def _group(people: People, group: Group) -> GroupView:
    members = tuple(user.id for user in people.members_of(group.id))
    return GroupView(
        group.id, group.tenant, group.name, members, tuple(sorted(people.roles_of_group(group.id)))
    )


def _token(row: ApiToken) -> TokenView:
    return TokenView(
        row.id,
        row.name,
        tuple(sorted(row.scopes)),
        row.created_us,
        row.expires_us,
        row.used_us,
        row.revoked_us,
    )
