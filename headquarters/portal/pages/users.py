"""Users: who there is, and what administrators do about them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import Response

from headquarters.accounts.people import People
from headquarters.db.engine import reading, writing
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, language_of, render
from headquarters.portal.words import N_
from headquarters.tenancy import access
from headquarters.tenancy.permissions import ROLES
from headquarters.tenancy.store import Tenants
from headquarters.views.paging import CURSOR_CHARS_MAX, Paging, page_of
from protocols.errors import InputError

ROWS = 100

SAID = {
    "disable": N_("%(login)s is kept out from now on; that is in the audit."),
    "enable": N_("%(login)s is let in again; that is in the audit."),
    "unlock": N_("%(login)s may try again; that is in the audit."),
    "give": N_("%(login)s has the role; that is in the audit."),
    "take": N_("%(login)s has the role no longer; that is in the audit."),
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def role_names(language: str) -> dict[str, str]:
    """Every role and its name in a language."""
    return {name: getattr(role, language) for name, role in ROLES.items()}


@router.get("/users")
def show_all(
    request: Request,
    visitor: Annotated[Visitor, needs("users:read")],
    q: str = "",
    cursor: Annotated[str | None, Query(max_length=CURSOR_CHARS_MAX)] = None,
) -> Response:
    """A page of the users, of one's own tenant or of all."""
    with reading(visitor.context.metadata) as session:
        people = People(session, visitor.principal)
        page = page_of(people.users(search=q), lambda user: (user.login,), Paging(ROWS, cursor))
        rows = [(user, sorted(people.roles_of(user.id))) for user in page.items]
        tenants = [tenant.id for tenant in Tenants(session).all()]
    names = role_names(language_of(request))
    writable = [tenant for tenant in tenants if access.may(visitor.principal, "users:write", tenant)]
    return render(
        request, "users.html", visitor, rows=rows, next=page.next, names=names, tenants=writable, q=q
    )


@router.post("/users")
def add(
    request: Request,
    visitor: Annotated[Visitor, needs("users:write")],
    tenant: Annotated[str, Form(max_length=64)],
    login: Annotated[str, Form(max_length=64)],
    name: Annotated[str, Form(max_length=80)],
    email: Annotated[str, Form(max_length=255)] = "",
) -> Response:
    """Make a user, and the one-time link by which it comes in."""
    with writing(visitor.context.metadata) as session:
        people = People(session, visitor.principal)
        user = people.add(tenant, login.strip().lower(), name.strip(), email.strip())
        secret = people.link(user.id)
    return _link_page(request, visitor, user.login, secret)


@router.get("/users/{id}")
def show(request: Request, visitor: Annotated[Visitor, needs("users:read")], id: str) -> Response:
    """One user."""
    with reading(visitor.context.metadata) as session:
        people = People(session, visitor.principal)
        try:
            user = people.get(id)
        except InputError as error:
            raise HTTPException(404) from error
        roles = sorted(people.roles_of(id))
    sessions = visitor.context.sessions.of_user(id)
    names = role_names(language_of(request))
    return render(request, "user.html", visitor, user=user, roles=roles, names=names, sessions=sessions)


@router.post("/users/{id}/account")
def change(
    request: Request,
    visitor: Annotated[Visitor, needs("users:write")],
    id: str,
    verb: Annotated[Literal["disable", "enable", "unlock", "link"], Form()],
) -> Response:
    """Keep a user out, let it in, forget its failures, or make it a new link."""
    with writing(visitor.context.metadata) as session:
        people = People(session, visitor.principal)
        login = people.get(id).login
        if verb == "link":
            secret = people.link(id)
        elif verb == "unlock":
            people.unlock(id)
        else:
            people.set_disabled(id, verb == "disable")
    if verb == "link":
        return _link_page(request, visitor, login, secret)
    return back_with(request, f"/users/{id}", SAID[verb], login=login)


@router.post("/users/{id}/roles")
def change_role(
    request: Request,
    visitor: Annotated[Visitor, needs("roles:write")],
    id: str,
    verb: Annotated[Literal["give", "take"], Form()],
    role: Annotated[str, Form(max_length=64)],
) -> Response:
    """Give or take a role."""
    with writing(visitor.context.metadata) as session:
        people = People(session, visitor.principal)
        login = people.get(id).login
        (people.give_role if verb == "give" else people.take_role)(id, role)
    return back_with(request, f"/users/{id}", SAID[verb], login=login)


def _link_page(request: Request, visitor: Visitor, login: str, secret: str) -> Response:
    """The one page that shows a link: nobody can make it again from what is kept."""
    context = visitor.context
    here = context.public_url or f"{request.url.scheme}://{request.url.netloc}"
    address = f"{here.rstrip('/')}/sign-in/link/{secret}"
    return render(request, "link.html", visitor, login=login, address=address)
