"""The enrolment inbox: who asks to be let in."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from headquarters.portal.acts import given
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, render
from headquarters.portal.words import N_
from headquarters.services.fleet.gateways import approve, reject
from headquarters.views.enrolment import enrolment

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/enrolment")
def show(request: Request, visitor: Annotated[Visitor, needs("gateways:approve")]) -> Response:
    """The inbox."""
    return render(request, "enrolment.html", visitor, it=enrolment(visitor.sources, visitor.scope))


@router.post("/enrolment/{id}")
def decide(
    request: Request,
    visitor: Annotated[Visitor, needs("gateways:approve")],
    id: str,
    verb: Annotated[Literal["approve", "reject"], Form()],
    shown: Annotated[str, Form(max_length=200)],
    compared: Annotated[bool, Form()] = False,
    why: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Let a node in, or turn it away."""
    asker = visitor.asker
    if verb == "approve":
        expected = (
            "the fingerprint compared with the one that the node shows; tick the box when it is the same"
        )
        given("yes" if compared else "", "compared", expected)
        with asker.audited("gateways.approve", id, fingerprint=shown):
            approve(asker.sources, asker.scope, asker.operator, id, shown)
        return back_with(request, "/enrolment", N_("%(id)s is let in; that is in the audit."), id=id)
    given(why, "why", "a reason for turning it away; it is kept in the register")
    with asker.audited("gateways.reject", id, why=why):
        reject(asker.sources, asker.scope, asker.operator, id, why)
    return back_with(request, "/enrolment", N_("%(id)s is turned away; that is in the audit."), id=id)
