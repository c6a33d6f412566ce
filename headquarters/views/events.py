"""Events: what happened at gateways, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headquarters.lake.query import literal
from headquarters.tenancy.scope import Scope
from headquarters.views.alarmboard import detail_of
from headquarters.views.paging import Page, Paging, encode
from headquarters.views.seeing import sees_records, site_of
from headquarters.views.sources import Sources
from protocols.errors import InputError, Problem

DAY_US = 86_400_000_000

DAYS_DEFAULT = 30
"""How far back is looked without a word about it."""

AHEAD_DAYS = 2
"""A date of arrival may be before that of the event, where a gateway's clock is ahead."""

TYPES = ("alarm", "event", "command", "app", "write")


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event.

    Args:
        time_us: When, by the gateway's clock.
        received_us: When headquarters had it.
        gateway: Where.
        site: Its site.
        type: `alarm`, `event`, `command`, `app` or `write`.
        app: The app.
        instance: Its instance.
        source: Where in the program; of a command, the verb or what was concerned.
        text: For people.
        priority: Of an alarm, 1 to 4.
        transition: What happened.
        state: The state since.
        value: The value that goes with it.
        quality: Of the value: 0 good, 1 uncertain, 2 bad.
        operator: Who did it, where a person did.
        comment: Why.
        number: Its place in the gateway's journal; 0 where it is in none.
        detail: What else was told.
    """

    time_us: int
    received_us: int
    gateway: str
    site: str
    type: str
    app: str
    instance: str
    source: str
    text: str
    priority: int | None
    transition: str
    state: str
    value: float | None
    quality: int
    operator: str
    comment: str
    number: int
    detail: dict[str, Any]


_KEY = (
    "epoch_us(time), batch, coalesce(CAST(detail->>'$.no' AS BIGINT), 0), coalesce(source, ''), "
    "coalesce(transition, '')"
)


def events(
    sources: Sources,
    scope: Scope,
    paging: Paging | None = None,
    gateway: str = "",
    type: str = "",
    search: str = "",
    from_us: int | None = None,
    to_us: int | None = None,
) -> Page[EventRow]:
    """Events, the newest first.

    Args:
        sources: Where to look.
        scope: Whose.
        paging: Which part.
        gateway: Only of this gateway.
        type: Only of this type.
        search: Words that all must occur in app, instance, source, text or operator.
        from_us: From this time; by default 30 days back.
        to_us: Before this time.

    Raises:
        InputError: The cursor is none of this list.
        StoreError: The lake cannot be read.
    """
    paging = paging or Paging()
    after = paging.after
    if not sources.lake.exists:
        return Page(())
    start_us = sources.now_us() - DAYS_DEFAULT * DAY_US if from_us is None else from_us
    conditions = [
        "kind = 'event'",
        f"time >= make_timestamptz({start_us})",
        f"date >= make_timestamptz({max(start_us, 0)})::DATE - {AHEAD_DAYS}",
    ]
    if to_us is not None:
        conditions.append(f"time < make_timestamptz({to_us})")
    if gateway:
        conditions.append(f"gateway = {literal(gateway)}")
    if type:
        conditions.append(f"type = {literal(type)}")
    text = "lower(concat_ws(' ', app, instance, source, text, operator))"
    conditions += [f"contains({text}, {literal(word)})" for word in search.lower().split()]
    conditions += _seen(sources, scope)
    if after is not None:
        conditions.append(f"({_KEY}) < ({_after(after)})")
    sql = (
        "SELECT epoch_us(time), epoch_us(received), gateway, type, coalesce(app, ''), "
        "coalesce(instance, ''), coalesce(source, ''), coalesce(text, ''), priority, "
        "coalesce(transition, ''), coalesce(state, ''), value, coalesce(quality, 0), "
        f"coalesce(operator, ''), detail, batch FROM events WHERE {' AND '.join(conditions)} "
        f"ORDER BY ({_KEY}) DESC LIMIT {paging.limit + 1}"
    )
    with sources.engine() as engine:
        rows = list(engine.rows(sql)[1])
    found = [(_event(sources, row), row[-1]) for row in rows[: paging.limit]]
    cursor = None
    if len(rows) > paging.limit and found:
        last, batch = found[-1]
        cursor = encode((last.time_us, batch, last.number, last.source, last.transition))
    return Page(tuple(event for event, _ in found), cursor)


def _event(sources: Sources, row: tuple[Any, ...]) -> EventRow:
    time_us, received_us, gateway, type_, app, instance, source, text, priority = row[:9]
    transition, state, value, quality, operator, beside, _ = row[9:]
    record = detail_of(beside)
    return EventRow(
        time_us,
        received_us,
        gateway,
        site_of(sources, gateway),
        type_,
        app,
        instance,
        source,
        text,
        priority,
        transition,
        state,
        value,
        quality >> 30,
        operator,
        str(record.get("comment") or ""),
        int(record.get("no") or 0),
        dict(record.get("detail") or {}),
    )


def _seen(sources: Sources, scope: Scope) -> list[str]:
    """The condition that only what is seen is given."""
    if scope.sites is None:
        return []
    names = sorted(name for name in sources.fleet().gateways if sees_records(sources, scope, name))
    return [f"gateway IN ({', '.join(map(literal, names))})" if names else "false"]


def _after(after: tuple[Any, ...]) -> str:
    shapes = (int, int, int, str, str)
    fits = len(after) == len(shapes) and all(map(isinstance, after, shapes))
    if not fits or not all(abs(part) < 2**63 for part in after[:3]):
        raise InputError([Problem("query", "cursor", "of another list", "a cursor of this list")])
    return ", ".join(literal(part) if isinstance(part, str) else str(part) for part in after)
