"""The gateways: a list to filter, and all that is known of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, render
from headquarters.portal.words import N_
from headquarters.services.fleet.commands import command, fetched, latest, send
from headquarters.views.gateways import gateway, gateway_rows, gateways
from headquarters.views.paging import Paging
from headquarters.views.standing import Standing

COMMANDS_SHOWN = 10

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/gateways")
def show_all(
    request: Request,
    visitor: Annotated[Visitor, needs("gateways:read")],
    q: str = "",
    site: str = "",
    standing: str = "",
    cursor: str | None = None,
) -> Response:
    """A list of gateways."""
    sources, scope = visitor.sources, visitor.scope
    chosen = Standing(standing) if standing in set(Standing) else None
    return render(
        request,
        "gateways.html",
        visitor,
        found=gateways(sources, scope, Paging(cursor=cursor), q, site, chosen),
        sites=sorted({row.site for row in gateway_rows(sources, scope)}),
        standings=[str(each) for each in Standing],
        q=q,
        site=site,
        wanted=str(chosen or ""),
    )


@router.get("/gateways/{id}")
def show(request: Request, visitor: Annotated[Visitor, needs("gateways:read")], id: str) -> Response:
    """One gateway."""
    found = gateway(visitor.sources, visitor.scope, id)
    if found is None:
        raise HTTPException(404)
    sent = latest(visitor.sources, visitor.scope, id, COMMANDS_SHOWN) if visitor.may("events:read") else ()
    return render(request, "gateway.html", visitor, it=found, commands=sent)


@router.post("/gateways/{id}/log")
def ask_for_log(
    request: Request,
    visitor: Annotated[Visitor, needs("commands:send")],
    id: str,
    lines: Annotated[int, Form(ge=1, le=20_000)] = 2000,
) -> Response:
    """Have a gateway send its log."""
    asker = visitor.asker
    with asker.audited("commands.logs", id, lines=lines):
        sent = send(asker.sources, asker.scope, asker.context.signer, asker.operator, id, "logs", lines=lines)
    said = N_("Command %(number)s is signed and on its way; the file appears below when it is here.")
    return back_with(request, f"/gateways/{id}", said, number=sent.number)


@router.get("/gateways/{id}/files/{number}")
def download(visitor: Annotated[Visitor, needs("commands:send")], id: str, number: int) -> Response:
    """A file that a command fetched from a gateway."""
    asker = visitor.asker
    if command(asker.sources, asker.scope, number).gateway != id:
        raise HTTPException(404)
    name, data = fetched(asker.sources, asker.scope, number)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    headers = {"Content-Disposition": f'attachment; filename="{safe}"'}
    return Response(data, media_type="application/zip", headers=headers)
