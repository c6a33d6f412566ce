"""Tenants: what they own, were granted and may use, and what administrators do about it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import Response

from headquarters.accounts.organisations import Organisations
from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, language_of, render
from headquarters.portal.words import N_
from headquarters.tenancy.principal import GROUP
from headquarters.tenancy.quota import DAY_US, THINGS
from headquarters.tenancy.store import Tenants
from headquarters.views import tenants as view
from protocols.errors import InputError, Problem

DAYS_MAX = 3650

SAID = {
    "disable": N_("The members of %(name)s are kept out from now on; that is in the audit."),
    "enable": N_("The members of %(name)s are let in again; that is in the audit."),
    "give": N_("%(name)s owns %(site)s now; that is in the audit."),
    "take": N_("%(site)s is the group’s alone now; that is in the audit."),
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Write = Annotated[Visitor, needs("tenants:write")]
Id = Annotated[str, Form(max_length=64)]
Name = Annotated[str, Form(max_length=200)]


@router.get("/tenants")
def show_all(request: Request, visitor: Annotated[Visitor, needs("tenants:read")]) -> Response:
    """The tenants that may be seen, with their sites, grants and quotas."""
    with reading(visitor.context.metadata) as session:
        rows = view.tenants(session, visitor.principal, now_us())
    return render(request, "tenants.html", visitor, rows=rows, now=now_us(), things=_things(request))


@router.post("/tenants")
def add(request: Request, visitor: Write, id: Id, name: Name = "") -> Response:
    """Make a tenant; what it is to own is said on its own page."""
    id = id.strip().lower()
    with writing(visitor.context.metadata) as session:
        Organisations(session, visitor.principal).add(id, name.strip() or id)
    said = N_("%(name)s is made, and owns nothing yet; that is in the audit.")
    return back_with(request, f"/tenants/{id}", said, name=id)


@router.get("/tenants/{id}")
def show(request: Request, visitor: Annotated[Visitor, needs("tenants:read")], id: str) -> Response:
    """One tenant."""
    with reading(visitor.context.metadata) as session:
        found = view.tenant(session, visitor.principal, id, now_us())
        if found is None:
            raise HTTPException(404)
        owners = Tenants(session).owners() if visitor.may("tenants:write") else {}
    known = owners.keys() | {node.site for node in visitor.sources.trust().identities if node.site}
    return render(
        request,
        "tenant.html",
        visitor,
        it=found,
        is_group=id == GROUP,
        sites=sorted(known - set(found.sites)),
        now=now_us(),
        things=_things(request),
        days_max=DAYS_MAX,
    )


@router.post("/tenants/{id}/name")
def rename(request: Request, visitor: Write, id: str, name: Name) -> Response:
    """Give a tenant another name for people."""
    with writing(visitor.context.metadata) as session:
        Organisations(session, visitor.principal).rename(id, name.strip())
    return back_with(request, f"/tenants/{id}", N_("It has another name now; that is in the audit."))


@router.post("/tenants/{id}/access")
def change_access(
    request: Request, visitor: Write, id: str, verb: Annotated[Literal["disable", "enable"], Form()]
) -> Response:
    """Keep all members of a tenant out, or let them in again."""
    with writing(visitor.context.metadata) as session:
        Organisations(session, visitor.principal).set_disabled(id, verb == "disable")
    return back_with(request, f"/tenants/{id}", SAID[verb], name=id)


@router.post("/tenants/{id}/sites")
def change_sites(
    request: Request, visitor: Write, id: str, verb: Annotated[Literal["give", "take"], Form()], site: Id
) -> Response:
    """Give a site to a tenant, or leave one of its own to the group alone."""
    site = site.strip()
    with writing(visitor.context.metadata) as session:
        organisations = Organisations(session, visitor.principal)
        if verb == "give":
            organisations.own(id, [site])
        else:
            organisations.disown(site, id)
    return back_with(request, f"/tenants/{id}", SAID[verb], name=id, site=site)


@router.post("/tenants/{id}/grants")
def grant(
    request: Request,
    visitor: Write,
    id: str,
    site: Id,
    points: Annotated[str, Form(max_length=200)] = "*",
    days: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Let a tenant see another's site, for some days or until it is taken back."""
    until = None if not days.strip() else now_us() + _days(days) * DAY_US
    with writing(visitor.context.metadata) as session:
        organisations = Organisations(session, visitor.principal)
        organisations.grant(id, site.strip(), points.strip() or "*", until)
    said = N_("%(name)s sees %(site)s from now on; that is in the audit.")
    return back_with(request, f"/tenants/{id}", said, name=id, site=site.strip())


@router.post("/tenants/{id}/grants/{grant}/end")
def take_back(request: Request, visitor: Write, id: str, grant: str) -> Response:
    """Take a grant back."""
    with writing(visitor.context.metadata) as session:
        Organisations(session, visitor.principal).take_back(grant, id)
    return back_with(request, f"/tenants/{id}", N_("The view is taken back; that is in the audit."))


@router.post("/tenants/{id}/quotas")
def set_quota(
    request: Request,
    visitor: Write,
    id: str,
    thing: Annotated[str, Form(max_length=20)],
    most: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Set how much of a thing a tenant may use; nothing: as much as there is."""
    bound = None if not most.strip() else _amount(thing, most)
    with writing(visitor.context.metadata) as session:
        Organisations(session, visitor.principal).set_quota(id, thing, bound)
    return back_with(request, f"/tenants/{id}", N_("The quota is set; that is in the audit."))


def _things(request: Request) -> dict[str, tuple[str, int]]:
    """What quotas are of: the name in the page's language, and the step in which it is set."""
    language = language_of(request)
    return {name: (getattr(thing, language), thing.step) for name, thing in THINGS.items()}


def _amount(thing: str, text: str) -> int:
    """How much of a thing a form asks for, in the thing's own unit.

    Raises:
        InputError: It is no number.
    """
    step = THINGS[thing].step if thing in THINGS else 1
    try:
        found = Decimal(text.strip()) * step
        if not found.is_finite():
            raise InvalidOperation
    except InvalidOperation as error:
        raise InputError([Problem("quota", thing, text, "a number, 0 or more")]) from error
    return round(found)


def _days(text: str) -> int:
    """A number of days of a form.

    Raises:
        InputError: It is none.
    """
    found = text.strip()
    if not (found.isascii() and found.isdecimal()) or not 1 <= int(found) <= DAYS_MAX:
        raise InputError([Problem("grant", "days", text, f"a whole number of days from 1 to {DAYS_MAX}")])
    return int(found)
