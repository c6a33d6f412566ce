"""Roll-outs and desired states."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from headquarters.api.context import Asker, needs
from headquarters.api.forms import Name, shown, there
from headquarters.api.idempotency import IdempotentRoute
from headquarters.services.fleet import desired as wanting
from headquarters.services.fleet import rollouts as acts
from headquarters.views import desired as wanted
from headquarters.views.rollouts import RolloutRow, RolloutView
from headquarters.views.rollouts import rollout as rollout_of
from headquarters.views.rollouts import rollouts as rollouts_of

router = APIRouter(tags=["roll-outs and desired states"], route_class=IdempotentRoute)

PlanText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=acts.PLAN_BYTES_MAX,
        description="TOML, as docs/rollouts.md has it.",
        examples=['name = "gas-1.3"\n[[ring]]\nname = "canary"\ngateways = ["unit-1"]\n'],
    ),
]
Version = Annotated[int | None, Query(ge=0, le=2**53)]


class Plan(BaseModel):
    """A roll-out's plan."""

    plan: PlanText


class Abort(BaseModel):
    """How a roll-out ends."""

    keep: bool = False
    """Leave changed gateways as they are; else they go back."""


class Change(BaseModel):
    """A change of what is desired of a gateway."""

    put: Annotated[
        list[Annotated[str, Field(max_length=300)]],
        Field(max_length=256, examples=[["apps/acme/gas-detection-1.2.0.capp"]]),
    ] = []
    remove: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=256)] = []
    drift: Literal["", "report", "keep-local", "overwrite"] = ""
    comment: Annotated[str, Field(max_length=500)] = ""


class Revert(BaseModel):
    """Which version to go back to."""

    to: Annotated[int | None, Field(ge=1, le=2**53)] = None
    comment: Annotated[str, Field(max_length=500)] = ""


@router.get("/rollouts", response_model=tuple[RolloutRow, ...])
def list_rollouts(asker: Annotated[Asker, needs("rollouts:read")]) -> Response:
    """Roll-outs, the newest first."""
    return shown(rollouts_of(asker.sources, asker.scope), tuple[RolloutRow, ...])


@router.post("/rollouts", response_model=RolloutView, status_code=201)
def plan_rollout(asker: Annotated[Asker, needs("rollouts:control")], asked: Plan) -> Response:
    """Check a plan and keep it."""
    with asker.audited("rollouts.plan", "") as detail:
        found = acts.plan(asker.sources, asked.plan)
        detail["name"] = found.row.name
    return shown(found, RolloutView, 201)


@router.get("/rollouts/{rollout}", response_model=RolloutView)
def get_rollout(asker: Annotated[Asker, needs("rollouts:read")], rollout: Name) -> Response:
    """All of a roll-out: rings, gateways, rules and log."""
    found = rollout_of(asker.sources, asker.scope, rollout)
    return shown(there(found, "roll-out", rollout), RolloutView)


@router.post("/rollouts/{rollout}/start", response_model=RolloutView)
def start_rollout(asker: Annotated[Asker, needs("rollouts:control")], rollout: Name) -> Response:
    """Begin a planned roll-out."""
    with asker.audited("rollouts.start", rollout):
        found = acts.start(asker.sources, asker.scope, rollout, metadata=asker.context.metadata)
        return shown(found, RolloutView)


@router.post("/rollouts/{rollout}/pause", response_model=RolloutView)
def pause_rollout(asker: Annotated[Asker, needs("rollouts:control")], rollout: Name) -> Response:
    """Change no further gateways."""
    with asker.audited("rollouts.pause", rollout):
        return shown(acts.pause(asker.sources, asker.scope, rollout), RolloutView)


@router.post("/rollouts/{rollout}/resume", response_model=RolloutView)
def resume_rollout(asker: Annotated[Asker, needs("rollouts:control")], rollout: Name) -> Response:
    """Go on with a paused roll-out."""
    with asker.audited("rollouts.resume", rollout):
        return shown(acts.resume(asker.sources, asker.scope, rollout), RolloutView)


@router.post("/rollouts/{rollout}/abort", response_model=RolloutView)
def abort_rollout(
    asker: Annotated[Asker, needs("rollouts:control")], rollout: Name, asked: Abort
) -> Response:
    """End a roll-out; changed gateways go back, unless they are to be kept."""
    with asker.audited("rollouts.abort", rollout, keep=asked.keep):
        return shown(acts.abort(asker.sources, asker.scope, rollout, asked.keep), RolloutView)


@router.get("/gateways/{gateway}/desired", response_model=wanted.Desired)
def get_desired(asker: Annotated[Asker, needs("desired:read")], gateway: Name) -> Response:
    """What a gateway should run beside what it runs."""
    found = wanted.desired(asker.sources, asker.scope, gateway)
    return shown(there(found, "desired state of gateway", gateway), wanted.Desired)


@router.patch("/gateways/{gateway}/desired", response_model=wanted.Desired)
def change_desired(asker: Annotated[Asker, needs("desired:write")], gateway: Name, asked: Change) -> Response:
    """Have targets of the update repository, or have items no longer."""
    with asker.audited("desired.change", gateway, put=asked.put, remove=asked.remove):
        found = wanting.change(
            asker.sources,
            asker.scope,
            asker.operator,
            gateway,
            asked.put,
            asked.remove,
            asked.drift,
            asked.comment,
            metadata=asker.context.metadata,
        )
    return shown(found, wanted.Desired)


@router.post("/gateways/{gateway}/desired/revert", response_model=wanted.Desired)
def revert_desired(asker: Annotated[Asker, needs("desired:write")], gateway: Name, asked: Revert) -> Response:
    """Desire again what was desired before: a new version with the old content."""
    with asker.audited("desired.revert", gateway, to=asked.to):
        found = wanting.revert(asker.sources, asker.scope, asker.operator, gateway, asked.to, asked.comment)
    return shown(found, wanted.Desired)


@router.get("/gateways/{gateway}/desired/history", response_model=tuple[wanted.Version, ...])
def desired_history(asker: Annotated[Asker, needs("desired:read")], gateway: Name) -> Response:
    """Every version, who set it and why, and what changed."""
    found = wanted.history(asker.sources, asker.scope, gateway)
    return shown(there(found, "desired state of gateway", gateway), tuple[wanted.Version, ...])


@router.get("/gateways/{gateway}/desired/diff", response_model=tuple[wanted.ChangeRow, ...])
def desired_diff(
    asker: Annotated[Asker, needs("desired:read")], gateway: Name, old: Version = None, new: Version = None
) -> Response:
    """How two versions differ; the last two unless they are named."""
    found = wanted.compared(asker.sources, asker.scope, gateway, old, new)
    return shown(there(found, "desired state of gateway", gateway), tuple[wanted.ChangeRow, ...])
