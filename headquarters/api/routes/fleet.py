"""The fleet: overview, topology, gateways, hubs, and the enrolment inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from headquarters.api.context import Asker, needs
from headquarters.api.forms import Name, Search, paging, shown, there
from headquarters.api.idempotency import IdempotentRoute
from headquarters.services.fleet import gateways as acts
from headquarters.views import enrolment as inbox
from headquarters.views import gateways as fleet
from headquarters.views import hubs as between
from headquarters.views.overview import Overview
from headquarters.views.overview import overview as overview_of
from headquarters.views.paging import Page, Paging
from headquarters.views.standing import Standing
from headquarters.views.topology import Topology
from headquarters.views.topology import topology as topology_of

router = APIRouter(tags=["fleet"], route_class=IdempotentRoute)

Why = Annotated[str, Field(min_length=1, max_length=500, examples=["stolen"])]


class Invite(BaseModel):
    """New nodes that are to get one-time tokens."""

    ids: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(min_length=1, max_length=1000, examples=[["unit-7"]]),
    ]
    site: Annotated[str, Field(max_length=64, examples=["plant-a"])] = ""
    role: Literal["gateway", "hub"] = "gateway"
    valid_s: Annotated[int, Field(ge=60, le=7_776_000)] = 259_200
    via: Annotated[str, Field(max_length=64)] = ""
    address: Annotated[str, Field(max_length=300)] = ""


class Approve(BaseModel):
    """The fingerprint that was compared with what the node itself shows."""

    fingerprint: Annotated[str, Field(max_length=64, examples=["88725-16126-13118-52665"])]


class Reason(BaseModel):
    """Why; the node is told, or the audit."""

    why: Why


@dataclass(frozen=True, slots=True)
class Invitation:
    """A token, shown once and kept nowhere."""

    id: str
    site: str
    role: str
    address: str
    expires: str
    token: str


@dataclass(frozen=True, slots=True)
class Approved:
    """A node that was let in, and the fingerprint of its keys."""

    id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """A node that was put out, and how many certificates it had in force."""

    id: str
    certificates: int


@router.get("/overview", response_model=Overview)
def overview(asker: Annotated[Asker, needs("overview:read")]) -> Response:
    """The group at a glance."""
    return shown(overview_of(asker.sources, asker.scope), Overview)


@router.get("/topology", response_model=Topology)
def topology(asker: Annotated[Asker, needs("gateways:read")]) -> Response:
    """Headquarters, hubs and gateways, and who sends to whom."""
    return shown(topology_of(asker.sources, asker.scope), Topology)


@router.get("/gateways", response_model=Page[fleet.GatewayRow])
def list_gateways(
    asker: Annotated[Asker, needs("gateways:read")],
    page: Annotated[Paging, Depends(paging)],
    search: Search = "",
    site: Annotated[str, Query(max_length=64)] = "",
    standing: Standing | None = None,
) -> Response:
    """Gateways by name."""
    found = fleet.gateways(asker.sources, asker.scope, page, search, site, standing)
    return shown(found, Page[fleet.GatewayRow])


@router.get("/gateways/{gateway}", response_model=fleet.Gateway)
def get_gateway(asker: Annotated[Asker, needs("gateways:read")], gateway: Name) -> Response:
    """All of one gateway: rates, ledger, clock, versions, slots, items, gaps, alarms, certificate."""
    found = fleet.gateway(asker.sources, asker.scope, gateway)
    return shown(there(found, "gateway", gateway), fleet.Gateway)


@router.get("/hubs", response_model=tuple[between.HubRow, ...])
def list_hubs(asker: Annotated[Asker, needs("gateways:read")]) -> Response:
    """Hubs by name."""
    return shown(between.hubs(asker.sources, asker.scope), tuple[between.HubRow, ...])


@router.get("/enrolment", response_model=inbox.Enrolment)
def get_enrolment(asker: Annotated[Asker, needs("gateways:read")]) -> Response:
    """Who asks to be let in, and who was invited."""
    return shown(inbox.enrolment(asker.sources, asker.scope), inbox.Enrolment)


@router.post("/enrolment/invitations", response_model=list[Invitation], status_code=201)
def invite(asker: Annotated[Asker, needs("gateways:approve")], asked: Invite) -> Response:
    """Make one-time tokens for new nodes; each is shown here and never again."""
    with asker.audited("gateways.invite", ", ".join(asked.ids)[:200], site=asked.site, role=asked.role):
        made = acts.invite(
            asker.sources,
            asker.scope,
            asker.operator,
            asked.ids,
            asked.site,
            asked.role,
            float(asked.valid_s),
            asked.via,
            asked.address,
            metadata=asker.context.metadata,
        )
    return shown([Invitation(**each) for each in made], list[Invitation], 201, secret=True)


@router.post("/enrolment/{node}/approve", response_model=Approved)
def approve(asker: Annotated[Asker, needs("gateways:approve")], node: Name, asked: Approve) -> Response:
    """Let a node in whose fingerprint was compared."""
    with asker.audited("gateways.approve", node, fingerprint=asked.fingerprint):
        found = acts.approve(asker.sources, asker.scope, asker.operator, node, asked.fingerprint)
    return shown(Approved(node, found), Approved)


@router.post("/enrolment/{node}/reject", status_code=204)
def reject(asker: Annotated[Asker, needs("gateways:approve")], node: Name, asked: Reason) -> None:
    """Turn a node away that asks."""
    with asker.audited("gateways.reject", node, why=asked.why):
        acts.reject(asker.sources, asker.scope, asker.operator, node, asked.why)


@router.post("/gateways/{gateway}/revoke", response_model=Revoked)
def revoke(asker: Annotated[Asker, needs("gateways:revoke")], gateway: Name, asked: Reason) -> Response:
    """Put all keys of a node out of force, for good."""
    with asker.audited("gateways.revoke", gateway, why=asked.why):
        count = acts.revoke(asker.sources, asker.scope, asker.operator, gateway, asked.why)
    return shown(Revoked(gateway, count), Revoked)


@router.post("/gateways/{gateway}/rotate", status_code=204)
def rotate(asker: Annotated[Asker, needs("gateways:revoke")], gateway: Name) -> None:
    """Ask a gateway to make new keys at its next refresh."""
    with asker.audited("gateways.rotate", gateway):
        acts.rotate(asker.sources, asker.scope, asker.operator, gateway)
