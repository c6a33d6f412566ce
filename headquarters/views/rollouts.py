"""Roll-outs: a list, and one with its rings, gateways and log.

What is said of the whole may name any gateway: with a limited scope it is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from headquarters.desired import store as desired
from headquarters.rollout.machine import Member, Rollout
from headquarters.rollout.plan import Plan
from headquarters.tenancy.scope import Scope
from headquarters.views.seeing import sees_gateway
from headquarters.views.sources import Sources


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A roll-out in a list.

    Args:
        name: Its name.
        planned_us: When it was planned.
        phase: `planned`, `running`, `paused`, `halted`, `aborted` or `done`.
        is_open: Whether something may still happen.
        items: What it changes.
        courses: How many of the gateways that are seen are in each course.
        why: Why it halted or was aborted; empty with a limited scope.
    """

    name: str
    planned_us: int
    phase: str
    is_open: bool
    items: tuple[str, ...]
    courses: dict[str, int]
    why: str


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A gateway in a roll-out.

    Args:
        gateway: Its name.
        ring: Its ring.
        course: Where it is, such as `waiting`, `soaking` or `good`.
        since_us: Since when; `None` while nothing happened.
        version: Of the document that was set; `None` while none was.
        failed: Whether it has failed.
        why: In words.
    """

    gateway: str
    ring: str
    course: str
    since_us: int | None
    version: int | None
    failed: bool
    why: str


@dataclass(frozen=True, slots=True)
class Ring:
    """One ring.

    Args:
        name: Its name.
        soak_s: For how long its gateways must do well.
        is_current: Whether it is under way.
        courses: How many of its gateways that are seen are in each course.
    """

    name: str
    soak_s: float
    is_current: bool
    courses: dict[str, int]


@dataclass(frozen=True, slots=True)
class LogLine:
    """What happened.

    Args:
        time_us: When.
        gateway: To which gateway; empty for the whole.
        event: What.
        detail: In words; of the whole, empty with a limited scope.
    """

    time_us: int
    gateway: str
    event: str
    detail: str


@dataclass(frozen=True, slots=True)
class RolloutView:
    """All of a roll-out.

    Args:
        row: As in the list.
        rings: In their order.
        members: Gateways that are seen, by ring and name.
        rules: When a gateway has failed, and how many may.
        log: What happened, in its order.
    """

    row: RolloutRow
    rings: tuple[Ring, ...]
    members: tuple[MemberRow, ...]
    rules: dict[str, Any]
    log: tuple[LogLine, ...]


def rollouts(sources: Sources, scope: Scope) -> tuple[RolloutRow, ...]:
    """Roll-outs, the newest first; with a limited scope those that have gateways which are seen.

    Raises:
        StoreError: The store cannot be read.
    """
    with sources.desired() as store:
        kept = store.rollouts()
    found = []
    for each in kept:
        plan, state = _read(each)
        members = _seen(sources, scope, state)
        if members or scope.sites is None:
            found.append(_row(scope, each, plan, state, members))
    return tuple(found)


def rollout(sources: Sources, scope: Scope, name: str) -> RolloutView | None:
    """All of a roll-out; `None` when there is none of this name, or none of its gateways is seen.

    Raises:
        StoreError: The store cannot be read.
    """
    with sources.desired() as store:
        kept = store.rollout(name)
        log = store.rollout_log(name)
    if kept is None:
        return None
    plan, state = _read(kept)
    members = _seen(sources, scope, state)
    if not members and scope.sites is not None:
        return None
    rows = sorted(members.items(), key=lambda item: (item[1].ring, item[0]))
    return RolloutView(
        row=_row(scope, kept, plan, state, members),
        rings=tuple(
            Ring(
                ring.name,
                ring.soak_s,
                index == state.ring and state.is_open,
                Rollout(members={n: m for n, m in members.items() if m.ring == index}).counted(),
            )
            for index, ring in enumerate(plan.rings)
        ),
        members=tuple(
            MemberRow(
                gateway,
                plan.rings[member.ring].name,
                str(member.course),
                int(member.since_s * 1e6) or None,
                member.version or None,
                member.failed,
                member.why,
            )
            for gateway, member in rows
        ),
        rules=plan.to_json()["rules"],
        log=tuple(
            LogLine(
                line.time_us, line.gateway, line.event, line.detail if line.gateway or scope.is_whole else ""
            )
            for line in log
            if not line.gateway or line.gateway in members
        ),
    )


def _read(kept: desired.RolloutRow) -> tuple[Plan, Rollout]:
    return Plan.of(json.loads(kept.plan)), Rollout.of(json.loads(kept.state))


def _seen(sources: Sources, scope: Scope, state: Rollout) -> dict[str, Member]:
    return {name: member for name, member in state.members.items() if sees_gateway(sources, scope, name)}


def _row(
    scope: Scope, kept: desired.RolloutRow, plan: Plan, state: Rollout, members: dict[str, Member]
) -> RolloutRow:
    return RolloutRow(
        kept.name,
        kept.made_us,
        str(state.phase),
        state.is_open,
        tuple(plan.change.refs),
        Rollout(members=members).counted(),
        state.why if scope.is_whole else "",
    )
