"""What `catchment-edge alarms` shows: read from the alarms' file, whether the gateway runs or not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from edge_runtime.alarms.figures import Done, Figures
from edge_runtime.alarms.states import ANNOUNCED, Priority, State
from edge_runtime.alarms.store import ALARMS, Alarm, AlarmId, AlarmStore
from protocols.daemon import iso_time
from protocols.errors import InputError, Problem
from protocols.records import EventRecord

Rows = list[tuple[str, ...]]

QUALITIES = ("", " (uncertain)", " (bad)")


@contextmanager
def reading(home: Path) -> Iterator[AlarmStore]:
    """The alarms' file of a gateway, for reading.

    Raises:
        InputError: No gateway has run here.
        StoreError: The file cannot be read.
    """
    path = home / "data" / ALARMS
    if not path.exists():
        expected = "a gateway that has run here; start it with catchment-edge run, or give its --home"
        raise InputError([Problem(str(path), "", "", expected)])
    store = AlarmStore.look(path)
    try:
        yield store
    finally:
        store.close()


def chosen(alarms: Sequence[Alarm], patterns: Sequence[str], everything: bool) -> list[Alarm]:
    """Alarms by pattern, the most urgent first; without `everything` only those that are not normal."""
    found = [
        alarm
        for alarm in alarms
        if (everything or alarm.condition.state is not State.NORMAL)
        and (not patterns or any(fnmatchcase(str(alarm.id), pattern) for pattern in patterns))
    ]
    return sorted(found, key=lambda alarm: (alarm.condition.state not in ANNOUNCED, alarm.priority, alarm.id))


def alarm_rows(alarms: Sequence[Alarm]) -> Rows:
    """For people, the heading first."""
    rows: Rows = [("priority", "state", "since", "alarm", "value", "text")]
    for alarm in alarms:
        state = str(alarm.condition.state)
        if alarm.condition.shelved_until_us is not None:
            state += f" until {when(alarm.condition.shelved_until_us)}"
        if alarm.condition.active and alarm.condition.state not in ANNOUNCED:
            state += ", active"
        since = when(alarm.changed_us) if alarm.changed_us else "-"
        rows.append((priority(alarm.priority), state, since, str(alarm.id), _value(alarm), alarm.text))
    return rows


def journal_rows(records: Sequence[EventRecord]) -> Rows:
    """For people, the heading first."""
    rows: Rows = [("no", "time", "type", "alarm or source", "what", "state", "value", "who", "text")]
    for record in records:
        source = str(AlarmId(record.app, record.instance, record.source)).strip("/")
        who = f"{record.operator}: {record.comment}" if record.comment else record.operator
        rows.append(
            (
                *(str(record.number), when(record.time_us), str(record.type), source, record.transition),
                *(record.state, _value(record), who, record.text),
            )
        )
    return rows


def record_fields(record: EventRecord) -> dict[str, Any]:
    """For a machine; a value that JSON cannot hold is text."""
    return {**record.fields(), "type": str(record.type), "value": _plain(record.value)}


def alarm_fields(alarm: Alarm) -> dict[str, Any]:
    """For a machine; a value that JSON cannot hold is text."""
    return {**alarm.fields(), "value": _plain(alarm.value)}


def figures(store: AlarmStore, hours: float, now_us: int) -> Done:
    """The figures of the last hours."""
    adding = Figures(now_us - round(hours * 3_600_000_000), now_us + 1)
    for record in store.journal(since_us=now_us - round(hours * 3_600_000_000)):
        adding.add(record)
    return adding.finish(store.alarms())


def figure_lines(done: Done) -> Iterator[str]:
    """For people."""
    yield f"from {when(done.t_from_us)} to {when(done.t_to_us)}: {done.alarms:,} alarms announced"
    yield f"rate: {done.average:.2f} in 10 minutes on average, {done.peak} at most"
    yield f"floods: {len(done.floods)}, {done.flood_share:.1%} of the time"
    for flood in done.floods[-10:]:
        yield f"  {when(flood.t_from_us)} to {when(flood.t_to_us)}: {flood.alarms} alarms"
    spread = ", ".join(
        f"{priority(p)} {n} ({n / done.alarms:.0%})" for p, n in sorted(done.priorities.items())
    )
    yield f"priorities: {spread or '-'}"
    yield f"standing now: {done.standing}, of these for more than a day: {len(done.stale)}"
    yield f"silenced now: {done.silenced}"
    for title, counts in (("most frequent", done.frequent), ("chattering", done.chattering)):
        yield f"{title}:" if counts else f"{title}: none"
        yield from (f"  {count:6}  {name}" for name, count in counts.items())
    if done.stale:
        yield "stale:"
        yield from (f"  {name}" for name in done.stale)


def when(time_us: int) -> str:
    """A time for people: UTC, in seconds."""
    return iso_time(time_us / 1e6)[:19].replace("T", " ") + "Z"


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def priority(number: int) -> str:
    """A priority's name.

    >>> priority(1), priority(9)
    ('critical', '9')
    """
    return Priority(number).name.lower() if number in list(Priority) else str(number)


def _value(item: Alarm | EventRecord) -> str:
    return "-" if item.value is None else f"{item.value:.7g}{QUALITIES[item.quality]}"


def _plain(value: float | None) -> float | str | None:
    return value if value is None or value - value == 0 else str(value)
