"""Alarms and events; commands to gateways, and what became of them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from headquarters.api.context import Asker, needs
from headquarters.api.forms import Number, Search, instant, paging, shown
from headquarters.api.idempotency import IdempotentRoute
from headquarters.services.fleet import commands as acts
from headquarters.services.fleet.commands import CommandView
from headquarters.views import events as happened
from headquarters.views.alarms import StandingAlarm
from headquarters.views.alarms import alarms as alarms_of
from headquarters.views.paging import Page, Paging

router = APIRouter(tags=["alarms and commands"], route_class=IdempotentRoute)

Gateway = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$", examples=["unit-1"])]
Comment = Annotated[str, Field(max_length=500, examples=["ventilation is on"])]


class AlarmAct(BaseModel):
    """What to do with alarms of one gateway."""

    gateway: Gateway
    verb: Literal[
        "ack", "reset", "shelve", "unshelve", "suppress", "unsuppress", "out-of-service", "in-service"
    ]
    alarms: Annotated[
        list[Annotated[str, Field(max_length=300)]],
        Field(min_length=1, max_length=16, examples=[["steam/unit/high"]]),
    ]
    comment: Comment = ""
    shelve_for: Annotated[str, Field(max_length=16, examples=["8h"])] = "8h"


class Command(BaseModel):
    """A command to one gateway."""

    gateway: Gateway
    verb: Literal["read", "write", "logs", "diagnostics", "restart", "refresh"]
    words: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=100)] = []
    comment: Comment = ""
    lines: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    confirm: Annotated[int | None, Field(ge=1, le=2**53)] = None
    life_s: Annotated[int, Field(ge=1, le=604_800)] = 3600


@router.get("/alarms", response_model=Page[StandingAlarm])
def list_alarms(
    asker: Annotated[Asker, needs("alarms:read")],
    page: Annotated[Paging, Depends(paging)],
    gateway: Annotated[str, Query(max_length=64)] = "",
    state: Annotated[str, Query(max_length=40, description="A state, or `silenced`, or `unsilenced`.")] = "",
    priority: Annotated[int | None, Query(ge=1, le=4)] = None,
    search: Search = "",
) -> Response:
    """Alarms that are not normal, the most urgent first."""
    found = alarms_of(asker.sources, asker.scope, page, gateway, state, priority, search)
    return shown(found, Page[StandingAlarm])


@router.post("/alarms/actions", response_model=CommandView, status_code=202)
def act_on_alarms(asker: Annotated[Asker, needs("alarms:act")], asked: AlarmAct) -> Response:
    """Acknowledge, shelve or silence alarms: a signed command that the gateway carries out once."""
    with asker.audited(f"alarms.{asked.verb}", asked.gateway, alarms=asked.alarms, comment=asked.comment):
        sent = acts.act_on_alarms(
            asker.sources,
            asker.scope,
            asker.context.signer,
            asker.operator,
            asked.gateway,
            asked.verb,
            asked.alarms,
            asked.comment,
            asked.shelve_for,
        )
    return shown(sent, CommandView, 202)


@router.get("/events", response_model=Page[happened.EventRow])
def list_events(
    asker: Annotated[Asker, needs("events:read")],
    page: Annotated[Paging, Depends(paging)],
    gateway: Annotated[str, Query(max_length=64)] = "",
    type: Literal["", "alarm", "event", "command", "app", "write"] = "",
    search: Search = "",
    from_: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    to: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """What happened at gateways, the newest first; of the last 30 days unless `from` says otherwise."""
    begin = None if from_ is None else instant("from", from_)
    end = None if to is None else instant("to", to)
    found = happened.events(asker.sources, asker.scope, page, gateway, type, search, begin, end)
    return shown(found, Page[happened.EventRow])


@router.get("/commands", response_model=tuple[CommandView, ...])
def list_commands(
    asker: Annotated[Asker, needs("events:read")],
    gateway: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=acts.LATEST_MAX)] = 50,
) -> Response:
    """The newest commands, and how far each is."""
    found = acts.latest(asker.sources, asker.scope, gateway, limit)
    return shown(found, tuple[CommandView, ...])


@router.post("/commands", response_model=CommandView, status_code=202)
def send_command(asker: Annotated[Asker, needs("commands:send")], asked: Command) -> Response:
    """Have a gateway read or write points, send its log, begin anew, or look for a newer desired state.

    A write takes two: the first says what it would do, the second names it in `confirm`.
    """
    if asked.verb in ("write", "restart"):
        asker.demand("commands:write", f"{asked.verb} {asked.gateway}")
    with asker.audited(f"commands.{asked.verb}", asked.gateway, words=asked.words) as detail:
        sent = acts.send(
            asker.sources,
            asker.scope,
            asker.context.signer,
            asker.operator,
            asked.gateway,
            asked.verb,
            asked.words,
            comment=asked.comment,
            lines=asked.lines,
            confirm=asked.confirm,
            life_s=float(asked.life_s),
        )
        detail["number"] = sent.number
    return shown(sent, CommandView, 202)


@router.get("/commands/{number}", response_model=CommandView)
def get_command(asker: Annotated[Asker, needs("events:read")], number: Number) -> Response:
    """One command: how far it is, and what its gateway signed about it."""
    return shown(acts.command(asker.sources, asker.scope, number), CommandView)


@router.post("/commands/{number}/cancel", response_model=CommandView)
def cancel_command(asker: Annotated[Asker, needs("commands:send")], number: Number) -> Response:
    """Call a command off."""
    with asker.audited("commands.cancel", str(number)):
        found = acts.cancel(asker.sources, asker.scope, asker.context.signer, asker.operator, number)
    return shown(found, CommandView)


@router.get(
    "/commands/{number}/file",
    response_class=Response,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def get_command_file(asker: Annotated[Asker, needs("commands:send")], number: Number) -> Response:
    """What `logs` or `diagnostics` fetched, checked against the hash that the gateway signed."""
    name, data = acts.fetched(asker.sources, asker.scope, number)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    headers = {"Content-Disposition": f'attachment; filename="{safe}"'}
    return Response(data, media_type="application/zip", headers=headers)
