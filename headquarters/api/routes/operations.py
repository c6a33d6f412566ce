"""Operations: metrics, alerts and their silences, capacity, versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from headquarters.api.context import Asker, needs
from headquarters.api.forms import paging, shown, there
from headquarters.api.idempotency import IdempotentRoute
from headquarters.audit.trail import record
from headquarters.db.engine import reading, writing
from headquarters.operations import capacity, upkeep, versions
from headquarters.operations.alerts import acts
from headquarters.operations.alerts.rules import DAY_S, DEFAULTS, Rule
from headquarters.operations.alerts.store import Notification, Notifications, Rules, Silence, Silences
from headquarters.operations.metrics import METRICS
from headquarters.operations.signals import SIGNALS, measure
from headquarters.views.paging import Page, Paging, page_of
from protocols.metrics import MEDIA_TYPE, render

router = APIRouter(tags=["operations"], route_class=IdempotentRoute)

RuleName = Annotated[str, Path(max_length=64, examples=["gateway-silent"])]
Id = Annotated[str, Path(max_length=64, examples=["5f0c2a9e6b1d4c7788aa90e1"])]
Short = Annotated[str, Field(max_length=200)]
Labels = Annotated[dict[Short, Short], Field(max_length=8, examples=[{"site": "plant-*"}])]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class RuleForm(BaseModel):
    """A rule; what is left out has its default."""

    metric: Annotated[Short, Field(examples=["catchment_group_gateway_silent_seconds"])]
    kind: Short = "threshold"
    above: Finite | None = Field(None, examples=[300])
    below: Finite | None = None
    z: Finite = 3.5
    window_s: Finite = 21_600.0
    for_s: Finite = 0.0
    labels: Labels = Field(default_factory=dict)
    severity: Short = "warning"
    summary: Annotated[str, Field(max_length=500)] = ""
    enabled: bool = True


class SilenceForm(BaseModel):
    """What is not to be delivered, from now on."""

    rule: Annotated[Short, Field(examples=["gateway-*"])] = "*"
    labels: Labels = Field(default_factory=dict)
    for_s: Annotated[float, Field(ge=60, le=90 * DAY_S, examples=[7200])]
    comment: Annotated[str, Field(min_length=1, max_length=500, examples=["works in plant-a"])]


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule in force, and whether it is there from the start, unchanged."""

    name: str
    metric: str
    kind: str
    above: float | None
    below: float | None
    z: float
    window_s: float
    for_s: float
    labels: dict[str, str]
    severity: str
    summary: str
    enabled: bool
    is_default: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed or ended."""

    id: str


@router.get("/operations/metrics", response_class=Response)
def metrics(asker: Annotated[Asker, needs("operations:read")]) -> Response:
    """Headquarters' metrics and what alerts watch, in Prometheus' text format."""
    status = asker.sources.status()
    own = "" if status is None else render(METRICS, status)
    return Response(
        own + render(SIGNALS, measure(asker.sources, asker.context.metadata)), media_type=MEDIA_TYPE
    )


@router.get("/operations/alerts/rules", response_model=tuple[RuleView, ...])
def list_alert_rules(asker: Annotated[Asker, needs("operations:read")]) -> Response:
    """Alert rules by name."""
    with reading(asker.context.metadata) as session:
        rules = Rules(session).all()
    return shown(tuple(map(_view, rules)), tuple[RuleView, ...])


@router.put("/operations/alerts/rules/{rule}", response_model=RuleView)
def put_alert_rule(
    asker: Annotated[Asker, needs("operations:write")], rule: RuleName, asked: RuleForm
) -> Response:
    """Add a rule, or put it in the place of the one of its name."""
    made = Rule(rule, **asked.model_dump())
    with writing(asker.context.metadata) as session:
        Rules(session).put(made, asker.sources.now_us())
        record(session, asker.principal, "alerts.put-rule", rule, detail=asked.model_dump())
    return shown(_view(made), RuleView)


@router.delete("/operations/alerts/rules/{rule}", response_model=Removed)
def remove_alert_rule(asker: Annotated[Asker, needs("operations:write")], rule: RuleName) -> Response:
    """Remove what was added under a name; a rule that is there from the start is then as it was."""
    with writing(asker.context.metadata) as session:
        there(Rules(session).remove(rule) or None, "added alert rule", rule)
        record(session, asker.principal, "alerts.remove-rule", rule)
    return shown(Removed(rule), Removed)


@router.get("/operations/alerts", response_model=Page[Notification])
def list_notifications(
    asker: Annotated[Asker, needs("operations:read")], page: Annotated[Paging, Depends(paging)]
) -> Response:
    """What fired, the newest first; `resolved_us` is null while it fires."""
    with reading(asker.context.metadata) as session:
        found = Notifications(session).page(None, NOTIFICATIONS_SHOWN)
    found.sort(key=_order)
    return shown(page_of(found, _order, page), Page[Notification])


@router.get("/operations/alerts/silences", response_model=tuple[Silence, ...])
def list_silences(asker: Annotated[Asker, needs("operations:read")]) -> Response:
    """Silences that are not over."""
    with reading(asker.context.metadata) as session:
        found = Silences(session).open(asker.sources.now_us())
    return shown(tuple(found), tuple[Silence, ...])


@router.post("/operations/alerts/silences", response_model=Silence, status_code=201)
def add_silence(asker: Annotated[Asker, needs("operations:write")], asked: SilenceForm) -> Response:
    """Deliver nothing of what matches, for a while; it is shown all the same."""
    now_us = asker.sources.now_us()
    ends_us = now_us + round(1e6 * asked.for_s)
    with writing(asker.context.metadata) as session:
        made = acts.silence(
            session, asker.principal, asked.rule, asked.labels, now_us, ends_us, asked.comment
        )
    return shown(made, Silence, 201)


@router.delete("/operations/alerts/silences/{silence}", response_model=Removed)
def end_silence(asker: Annotated[Asker, needs("operations:write")], silence: Id) -> Response:
    """End a silence now; what still fires is delivered."""
    with writing(asker.context.metadata) as session:
        ended = acts.end_silence(session, asker.principal, silence, asker.sources.now_us())
        there(ended or None, "open silence", silence)
    return shown(Removed(silence), Removed)


@router.get("/operations/capacity", response_model=tuple[capacity.Forecast, ...])
def get_capacity(asker: Annotated[Asker, needs("operations:read")]) -> Response:
    """How full disks and stores are, and when they will be full."""
    return shown(capacity.forecasts(asker.sources), tuple[capacity.Forecast, ...])


@router.get("/operations/versions", response_model=tuple[versions.Version, ...])
def list_versions(asker: Annotated[Asker, needs("operations:read")]) -> Response:
    """What runs where: programs, firmware, apps and models."""
    return shown(versions.versions(asker.sources), tuple[versions.Version, ...])


@router.get("/operations/upkeep", response_model=tuple[upkeep.WorkView, ...])
def list_upkeep(asker: Annotated[Asker, needs("operations:read")]) -> Response:
    """Merging, rolling up, rewriting and removing: what was done, what waits, what is going on."""
    return shown(upkeep.upkeep(asker.sources), tuple[upkeep.WorkView, ...])


NOTIFICATIONS_SHOWN = 10_000
"""Older ones are not paged through."""


def _order(each: Notification) -> tuple[int, str]:
    return -each.fired_us, each.id


def _view(rule: Rule) -> RuleView:
    content: Mapping[str, Any] = {name: getattr(rule, name) for name in Rule.__slots__}
    return RuleView(**{**content, "labels": dict(rule.labels)}, is_default=rule in DEFAULTS)
