"""The state of every alarm, from the journals in the lake, kept in memory and brought forward by new rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from headquarters.lake.query import Engine

GONE = "removed"
"""The transition with which an alarm is no more."""

NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as its gateway last said.

    Args:
        gateway: The gateway.
        site: Its site.
        name: `app/instance/source`, by which commands name it.
        app: The app.
        instance: Its instance.
        source: Where in the program.
        text: For people.
        priority: 1 critical, 2 high, 3 medium, 4 low.
        state: See docs/alarms.md.
        transition: What happened to it last.
        since_us: When that was, by the gateway's clock.
        raised_us: When it was raised last; `None` while it never was.
        value: The value that goes with it.
        quality: Of the value: 0 good, 1 uncertain, 2 bad.
        operator: Who did it, where a person did.
        comment: Why.
    """

    gateway: str
    site: str
    name: str
    app: str
    instance: str
    source: str
    text: str
    priority: int
    state: str
    transition: str
    since_us: int
    raised_us: int | None
    value: float | None
    quality: int
    operator: str
    comment: str


_ORDER = "(coalesce(CAST(detail->>'$.no' AS BIGINT), 0), epoch_us(time), batch)"
"""A gateway's own numbering of its journal; a backlog brings old entries after new ones."""

_SQL = (
    "SELECT gateway, coalesce(app, ''), coalesce(instance, ''), coalesce(source, ''), "
    "arg_max(struct_pack(text := text, priority := priority, state := state, transition := transition, "
    f"time := epoch_us(time), value := value, quality := quality, operator := operator, "
    f"comment := detail->>'$.comment'), {_ORDER}), max({_ORDER}), "
    "max(epoch_us(time)) FILTER (transition = 'raised'), max(batch) "
    "FROM events WHERE kind = 'event' AND type = 'alarm' AND batch > {batch} GROUP BY ALL"
)


class AlarmBoard:
    """All of them; brought forward by `refresh`."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, str], tuple[tuple[int, ...], dict[str, Any], int | None]] = {}
        self._batch = -1
        self.version = 0

    def refresh(self, engine: Engine) -> None:
        """Take in what came since the last time.

        Raises:
            StoreError: The lake cannot be read.
        """
        _, rows = engine.rows(_SQL.replace("{batch}", str(self._batch)))
        for gateway, app, instance, source, said, order, raised, batch in rows:
            self._batch = max(self._batch, batch)
            self.version += 1
            key, place = (gateway, app, instance, source), _tuple(order)
            before = self._known.get(key)
            if before is not None:
                raised = max(filter(None, (raised, before[2])), default=None)
                if before[0] >= place:
                    place, said = before[0], before[1]
            self._known[key] = (place, said, raised)

    def alarms(self, site_of: Any) -> list[Alarm]:
        """Every alarm that there is, in no order.

        Args:
            site_of: Gives the site of a gateway.
        """
        return [
            _alarm(key, said, raised, site_of(key[0]))
            for key, (_, said, raised) in list(self._known.items())
            if said["transition"] != GONE
        ]


def _tuple(order: Any) -> tuple[int, ...]:
    return tuple(order.values()) if isinstance(order, dict) else tuple(order)


def _alarm(key: tuple[str, str, str, str], said: dict[str, Any], raised: int | None, site: str) -> Alarm:
    gateway, app, instance, source = key
    return Alarm(
        gateway=gateway,
        site=site,
        name="/".join(filter(None, (app, instance, source))),
        app=app,
        instance=instance,
        source=source,
        text=said["text"] or "",
        priority=said["priority"] or 4,
        state=said["state"] or "",
        transition=said["transition"] or "",
        since_us=said["time"],
        raised_us=raised,
        value=said["value"],
        quality=(said["quality"] or 0) >> 30,
        operator=said["operator"] or "",
        comment=said["comment"] or "",
    )


def detail_of(text: str | None) -> dict[str, Any]:
    """The record beside an event's columns."""
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}
