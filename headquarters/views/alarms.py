"""Alarms as they stand, by state."""

from __future__ import annotations

from dataclasses import dataclass

from headquarters.tenancy.scope import Scope
from headquarters.views.alarmboard import NORMAL, Alarm
from headquarters.views.paging import Page, Paging, page_of
from headquarters.views.seeing import sees_site, site_of
from headquarters.views.sources import Sources

SILENCED = frozenset({"shelved", "suppressed", "out-of-service"})
UNACKNOWLEDGED = frozenset({"unacknowledged", "returned-unacknowledged", "latched-unacknowledged"})


@dataclass(frozen=True, slots=True)
class StandingAlarm:
    """An alarm that is not normal.

    Args:
        alarm: As its gateway last said.
        is_unacknowledged: Whether somebody should acknowledge it.
        is_silenced: Whether it is shelved, suppressed or out of service.
    """

    alarm: Alarm
    is_unacknowledged: bool
    is_silenced: bool


@dataclass(frozen=True, slots=True)
class AlarmCounts:
    """How many alarms stand.

    Args:
        unacknowledged: Somebody should acknowledge them.
        acknowledged: Acknowledged, and not normal yet.
        silenced: Shelved, suppressed or out of service.
        by_priority: Of those that are not silenced: 1 critical, 2 high, 3 medium, 4 low.
    """

    unacknowledged: int
    acknowledged: int
    silenced: int
    by_priority: dict[int, int]


def standing_alarms(sources: Sources, scope: Scope) -> list[StandingAlarm]:
    """Every alarm that is seen and not normal: unacknowledged first, then by priority, the newest first."""
    rows = sources.once("alarms", lambda: _standing(sources))
    return [row for row in rows if sees_site(scope, row.alarm.site)]


def _standing(sources: Sources) -> list[StandingAlarm]:
    found = [
        StandingAlarm(alarm, alarm.state in UNACKNOWLEDGED, alarm.state in SILENCED)
        for alarm in sources.alarms().alarms(lambda gateway: site_of(sources, gateway))
        if alarm.state != NORMAL
    ]
    return sorted(found, key=_key)


def alarms(
    sources: Sources,
    scope: Scope,
    paging: Paging | None = None,
    gateway: str = "",
    state: str = "",
    priority: int | None = None,
    search: str = "",
) -> Page[StandingAlarm]:
    """Alarms that are not normal.

    Args:
        sources: Where to look.
        scope: Whose.
        paging: Which part.
        gateway: Only of this gateway.
        state: Only in this state; or `unsilenced` for all that are announced, `silenced` for the others.
        priority: Only of this priority.
        search: Words that all must occur in name, text, gateway or site.

    Raises:
        InputError: The cursor is none of this list.
        StoreError: A store cannot be read.
    """
    words = search.casefold().split()
    rows = [
        row
        for row in standing_alarms(sources, scope)
        if (not gateway or row.alarm.gateway == gateway)
        and (priority is None or row.alarm.priority == priority)
        and _is_in(row, state)
        and all(word in _text(row.alarm) for word in words)
    ]
    return page_of(rows, _key, paging or Paging())


def counts(alarms: list[StandingAlarm]) -> AlarmCounts:
    """How many of some alarms there are of each kind."""
    by_priority = {1: 0, 2: 0, 3: 0, 4: 0}
    for row in alarms:
        if not row.is_silenced:
            by_priority[row.alarm.priority] = by_priority.get(row.alarm.priority, 0) + 1
    silenced = sum(row.is_silenced for row in alarms)
    unacknowledged = sum(row.is_unacknowledged for row in alarms)
    return AlarmCounts(unacknowledged, len(alarms) - silenced - unacknowledged, silenced, by_priority)


def _is_in(row: StandingAlarm, state: str) -> bool:
    if state == "silenced":
        return row.is_silenced
    if state == "unsilenced":
        return not row.is_silenced
    return not state or row.alarm.state == state


def _key(row: StandingAlarm) -> tuple[int | str, ...]:
    alarm = row.alarm
    urgency = 2 if row.is_silenced else 0 if row.is_unacknowledged else 1
    return urgency, alarm.priority, -alarm.since_us, alarm.gateway, alarm.name


def _text(alarm: Alarm) -> str:
    return "\n".join((alarm.name, alarm.text, alarm.gateway, alarm.site)).casefold()
