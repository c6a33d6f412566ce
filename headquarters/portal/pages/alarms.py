"""Alarms as they stand, and what is done about them: signed commands to their gateways."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from headquarters.portal.acts import by_gateway, given
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, render
from headquarters.portal.labels import ALARM_STATE
from headquarters.portal.words import N_
from headquarters.services.fleet.commands import act_on_alarms
from headquarters.views.alarmboard import NORMAL
from headquarters.views.alarms import alarms
from headquarters.views.gateways import gateway_rows
from headquarters.views.paging import Paging

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/alarms")
def show(
    request: Request,
    visitor: Annotated[Visitor, needs("alarms:read")],
    q: str = "",
    state: str = "",
    priority: str = "",
    gateway: str = "",
    cursor: str | None = None,
) -> Response:
    """A list of alarms."""
    sources, scope = visitor.sources, visitor.scope
    wanted = int(priority) if priority in {"1", "2", "3", "4"} else None
    return render(
        request,
        "alarms.html",
        visitor,
        found=alarms(sources, scope, Paging(cursor=cursor), gateway, state, wanted, q),
        states=[name for name in ALARM_STATE if name != NORMAL],
        gateways=[row.id for row in gateway_rows(sources, scope)],
        q=q,
        state=state,
        priority=priority,
        gateway=gateway,
    )


SAID = {
    "ack": N_("Acknowledging %(count)s alarms: a signed command is on its way, and in the audit."),
    "shelve": N_("Shelving %(count)s alarms: a signed command is on its way, and in the audit."),
    "unshelve": N_("Unshelving %(count)s alarms: a signed command is on its way, and in the audit."),
}
ALARMS_PER_COMMAND = 16


@router.post("/alarms")
def act(
    request: Request,
    visitor: Annotated[Visitor, needs("alarms:act")],
    verb: Annotated[Literal["ack", "shelve", "unshelve"], Form()],
    alarm: Annotated[list[str], Form(max_length=1000)] = [],  # noqa: B006 - FastAPI copies it
    comment: Annotated[str, Form(max_length=200)] = "",
    for_s: Annotated[int, Form(ge=60, le=604_800)] = 3600,
    back: Annotated[str, Form()] = "/alarms",
) -> Response:
    """Acknowledge, shelve or unshelve the chosen alarms: one command for each gateway and sixteen alarms."""
    chosen = by_gateway(alarm)
    if verb == "shelve":
        given(comment, "comment", "a reason for shelving; it is kept in the journal")
    asker = visitor.asker
    for gateway, names in chosen.items():
        for start in range(0, len(names), ALARMS_PER_COMMAND):
            part = names[start : start + ALARMS_PER_COMMAND]
            with asker.audited(f"alarms.{verb}", gateway, alarms=part, comment=comment):
                act_on_alarms(
                    asker.sources,
                    asker.scope,
                    asker.context.signer,
                    asker.operator,
                    gateway,
                    verb,
                    part,
                    comment,
                    f"{for_s}s",
                )
    return back_with(request, back, SAID[verb], count=sum(map(len, chosen.values())))
