"""Operations: what fires, what is silenced, how full things are, and what runs where."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import Response

from headquarters.db.engine import reading, writing
from headquarters.operations.alerts import acts
from headquarters.operations.alerts.rules import DEFAULTS, SEVERITIES
from headquarters.operations.alerts.store import Notifications, Rules, Silences
from headquarters.operations.capacity import forecasts
from headquarters.operations.metrics import METRICS
from headquarters.operations.signals import SIGNALS
from headquarters.operations.upkeep import upkeep
from headquarters.operations.versions import versions
from headquarters.portal.acts import given
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, render
from headquarters.portal.words import N_

SHOWN = 50
"""Notifications that are over; the API has the others."""

UNITS = {metric.name: metric.unit for metric in (*METRICS, *SIGNALS)}

HOUR_US = 3_600_000_000
HOURS_MAX = 90 * 24

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/operations")
def show(request: Request, visitor: Annotated[Visitor, needs("operations:read")]) -> Response:
    """Alerts, silences, rules, capacity, upkeep and versions."""
    with reading(visitor.context.metadata) as session:
        notifications = Notifications(session)
        firing = notifications.firing()
        over = [each for each in notifications.page(None, SHOWN) if each.resolved_us is not None]
        silences = Silences(session).open(visitor.sources.now_us())
        rules = Rules(session).all()
    return render(
        request,
        "operations.html",
        visitor,
        firing=sorted(firing, key=lambda each: -SEVERITIES.index(each.severity)),
        over=over,
        silences=silences,
        rules=[(rule, rule in DEFAULTS) for rule in rules],
        forecasts=forecasts(visitor.sources),
        upkeep=upkeep(visitor.sources),
        versions=versions(visitor.sources),
        units=UNITS,
    )


@router.post("/operations/silences")
def silence(
    request: Request,
    visitor: Annotated[Visitor, needs("operations:write")],
    rule: Annotated[str, Form(max_length=64)] = "",
    hours: Annotated[int, Form(ge=1, le=HOURS_MAX)] = 2,
    comment: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Deliver nothing of a rule for some hours."""
    wanted = given(rule, "rule", "a rule's name, or a pattern such as gateway-*")
    why = given(comment, "comment", "why nothing is to be delivered; it is kept in the audit")
    now_us = visitor.sources.now_us()
    with writing(visitor.context.metadata) as session:
        acts.silence(session, visitor.principal, wanted, {}, now_us, now_us + hours * HOUR_US, why)
    said = N_("Nothing of %(name)s is delivered for now; it is shown all the same. That is in the audit.")
    return back_with(request, "/operations", said, name=wanted)


@router.post("/operations/silences/{id}/end")
def end(request: Request, visitor: Annotated[Visitor, needs("operations:write")], id: str) -> Response:
    """End a silence."""
    with writing(visitor.context.metadata) as session:
        if not acts.end_silence(session, visitor.principal, id, visitor.sources.now_us()):
            raise HTTPException(404)
    return back_with(request, "/operations", N_("What still fires is delivered again; that is in the audit."))
