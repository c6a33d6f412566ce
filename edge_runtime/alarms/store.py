"""The alarms' file, `alarms.db`: the state of every alarm, and a bounded journal of what happened.

Rules:
1. States and the journal rows that tell of them are one transaction, on the disk when it ends.
2. Journal rows are numbered without end and without holes; the oldest are deleted beyond the bound.
3. Whoever reads may do so beside the running gateway, which alone writes.

>>> import sqlite3
>>> store = AlarmStore(sqlite3.connect(":memory:"))
>>> store.prepare()
>>> store.last_number()
0
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edge_runtime import limits
from edge_runtime.alarms.states import Condition, State
from edge_runtime.store import Store, translate
from protocols.errors import StoreError
from protocols.records import EventRecord, EventType
from protocols.records.appmarks import MARKS

ALARMS = "alarms.db"


class AlarmId(NamedTuple):
    """Which alarm: one block of one instance of one app.

    >>> str(AlarmId("gas", "hall-1", "ch4.high"))
    'gas/hall-1/ch4.high'
    """

    app: str
    instance: str
    path: str

    def __str__(self) -> str:
        return f"{self.app}/{self.instance}/{self.path}"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm and where it stands.

    Args:
        id: Which one.
        text: For people.
        priority: 1 (critical) to 4 (low).
        condition: Where it stands.
        value: The value it was last raised or taken back with.
        quality: Of that value: 0, 1, 2.
        changed_us: When its state or condition last changed.
        raised_us: When its condition last began; `None` when it never did.
        count: How often it began.
        operator: Who silenced or acknowledged it last.
        comment: And why.
    """

    id: AlarmId
    text: str = ""
    priority: int = 3
    condition: Condition = field(default_factory=Condition)
    value: float | None = None
    quality: int = 0
    changed_us: int = 0
    raised_us: int | None = None
    count: int = 0
    operator: str = ""
    comment: str = ""

    def fields(self) -> dict[str, Any]:
        """For a machine."""
        condition = self.condition
        return {
            "alarm": str(self.id),
            "app": self.id.app,
            "instance": self.id.instance,
            "source": self.id.path,
            "text": self.text,
            "priority": self.priority,
            "state": str(condition.state),
            "active": condition.active,
            "latching": condition.latching,
            "shelved_until_us": condition.shelved_until_us,
            "value": self.value,
            "quality": self.quality,
            "changed_us": self.changed_us,
            "raised_us": self.raised_us,
            "count": self.count,
            "operator": self.operator,
            "comment": self.comment,
        }


class AlarmStore(Store):
    """One connection to the alarms' file."""

    what = "alarms"
    version = 1
    schema = (
        """create table if not exists alarms(
            app text not null, instance text not null, path text not null,
            text text not null, priority integer not null, state text not null, active integer not null,
            latching integer not null, shelved_until integer, value real, quality integer not null,
            changed integer not null, raised integer, count integer not null,
            operator text not null, comment text not null,
            primary key (app, instance, path)) without rowid""",
        """create table if not exists journal(
            no integer primary key, time integer not null, type text not null,
            app text not null, instance text not null, source text not null, text text not null,
            priority integer, transition text not null, state text not null, value real,
            quality integer not null, operator text not null, comment text not null, detail text not null)""",
        "create index if not exists journal_time on journal(time)",
    )

    @classmethod
    def look(cls, path: Path) -> AlarmStore:
        """Open the file for reading only, beside a gateway or without one.

        Raises:
            StoreError: It is not there or cannot be read.
        """
        try:
            return cls(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))
        except sqlite3.Error as error:
            raise translate(error) or StoreError(f"expected to read {path}, got {error}") from error

    def write(self, alarms: Iterable[Alarm], records: Iterable[EventRecord]) -> None:
        """Make states and numbered journal rows durable together.

        Raises:
            StoreFullError, StoreDamagedError: Nothing of it happened.
        """
        with self.transaction():
            self.execute_each(
                f"insert or replace into alarms values ({', '.join('?' * 16)})", map(_alarm_row, alarms)
            )
            self.execute_each(
                f"insert or replace into journal values ({', '.join('?' * 15)})", map(_journal_row, records)
            )
            self.execute(
                "delete from journal where no <= (select max(no) from journal) - ?",
                (limits.ALARM_JOURNAL_ROWS_MAX,),
            )

    def forget(self, ids: Iterable[AlarmId]) -> None:
        """Delete alarms that no app has any more."""
        with self.transaction():
            self.execute_each("delete from alarms where app = ? and instance = ? and path = ?", ids)

    def alarms(self) -> list[Alarm]:
        """Every alarm."""
        return [_alarm(row) for row in self.rows("select * from alarms order by app, instance, path")]

    def last_number(self) -> int:
        """The number of the newest journal row; 0 in an empty journal."""
        (number,) = self.row("select max(no) from journal")
        return number or 0

    def journal(self, after: int = 0, since_us: int | None = None) -> Iterator[EventRecord]:
        """Journal rows in the order of their numbers, a thousand at a time.

        Args:
            after: Only those with a greater number.
            since_us: Only those of this time or later.
        """
        while True:
            rows = self.rows(
                "select * from journal where no > ? and time >= ? order by no limit 1000",
                (after, _EVER_US if since_us is None else since_us),
            )
            yield from map(_record, rows)
            if len(rows) < 1000:
                return
            after = rows[-1][0]

    def holds(self, type: EventType, transition: str, mark: str) -> bool:
        """Whether there is an entry of this kind whose detail, as JSON, has `mark` in it."""
        found = self.row(
            "select 1 from journal where type = ? and transition = ? and instr(detail, ?) limit 1",
            (str(type), transition, mark),
        )
        return found is not None

    def latest(self, count: int) -> list[EventRecord]:
        """The newest journal rows that tell people something, oldest first.

        Not those that carry the state of apps for replays.
        """
        rows = self.rows(
            "select * from journal where transition not in (?, ?) order by no desc limit ?", (*MARKS, count)
        )
        return [_record(row) for row in reversed(rows)]


_EVER_US = -(2**63)
"""Earlier than any time."""

_RECORD = (
    "number", "time_us", "type", "app", "instance", "source", "text", "priority", "transition", "state",
    "value", "quality", "operator", "comment", "detail",
)  # fmt: skip
"""The fields of a record in the order of the journal's columns."""


def _alarm_row(alarm: Alarm) -> tuple[Any, ...]:
    condition = alarm.condition
    return (
        *alarm.id,
        alarm.text,
        alarm.priority,
        str(condition.state),
        int(condition.active),
        int(condition.latching),
        condition.shelved_until_us,
        _real(alarm.value),
        alarm.quality,
        alarm.changed_us,
        alarm.raised_us,
        alarm.count,
        alarm.operator,
        alarm.comment,
    )


def _alarm(row: tuple[Any, ...]) -> Alarm:
    condition = Condition(State(row[5]), bool(row[6]), bool(row[7]), row[8])
    return Alarm(AlarmId(*row[:3]), row[3], row[4], condition, _number(row[9]), *row[10:])


def _journal_row(record: EventRecord) -> tuple[Any, ...]:
    return (
        record.number,
        record.time_us,
        str(record.type),
        record.app,
        record.instance,
        record.source,
        record.text,
        record.priority,
        record.transition,
        record.state,
        _real(record.value),
        record.quality,
        record.operator,
        record.comment,
        json.dumps(dict(record.detail), ensure_ascii=False),
    )


def _record(row: tuple[Any, ...]) -> EventRecord:
    fields = dict(zip(_RECORD, row, strict=True))
    fields["type"] = EventType(fields["type"])
    fields["value"] = _number(fields["value"])
    fields["detail"] = json.loads(fields["detail"])
    return EventRecord(**fields)


def _real(value: float | None) -> float | str | None:
    """SQLite stores NaN as null; as text it survives."""
    return "nan" if value is not None and value != value else value


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
