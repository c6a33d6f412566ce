"""Roll-outs: a list, and one with its rings, which can be started, paused and aborted."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import Response

from headquarters.portal.acts import given
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, render
from headquarters.portal.words import N_
from headquarters.services.fleet import rollouts as acts
from headquarters.views.rollouts import rollout, rollouts

SAID = {
    "start": N_("%(name)s has begun; that is in the audit."),
    "pause": N_("%(name)s is paused: no further gateway is changed. That is in the audit."),
    "resume": N_("%(name)s goes on; that is in the audit."),
    "abort": N_("%(name)s is aborted; that is in the audit."),
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/rollouts")
def show_all(request: Request, visitor: Annotated[Visitor, needs("rollouts:read")]) -> Response:
    """A list of roll-outs."""
    return render(request, "rollouts.html", visitor, rows=rollouts(visitor.sources, visitor.scope))


@router.get("/rollouts/{name}")
def show(request: Request, visitor: Annotated[Visitor, needs("rollouts:read")], name: str) -> Response:
    """One roll-out."""
    found = rollout(visitor.sources, visitor.scope, name)
    if found is None:
        raise HTTPException(404)
    return render(request, "rollout.html", visitor, it=found)


@router.post("/rollouts/{name}")
def act(
    request: Request,
    visitor: Annotated[Visitor, needs("rollouts:control")],
    name: str,
    verb: Annotated[Literal["start", "pause", "resume", "abort"], Form()],
    why: Annotated[str, Form(max_length=200)] = "",
    keep: Annotated[bool, Form()] = False,
) -> Response:
    """Start, pause, go on with, or abort a roll-out."""
    asker = visitor.asker
    if verb == "abort":
        given(why, "why", "a reason for aborting; it is kept in the audit")
    with asker.audited(f"rollouts.{verb}", name, why=why, keep=keep):
        if verb == "abort":
            acts.abort(asker.sources, asker.scope, name, keep)
        elif verb == "start":
            acts.start(asker.sources, asker.scope, name, metadata=asker.context.metadata)
        else:
            turn = acts.pause if verb == "pause" else acts.resume
            turn(asker.sources, asker.scope, name)
    return back_with(request, f"/rollouts/{name}", SAID[verb], name=name)
