"""Alarms in the lake against those that must be there, by the field servers' own logs.

Rules:
1. An alarm is right when it was raised within one scan of when it was due: one that is due
   and has none is missing, one that nothing accounts for is false.
2. A fault that was injected must have raised the alarms that it is known for, but for those
   that the run ended before.
3. What is due at the very end of a run may be there or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from scripts.judge.grid import Window
from scripts.judge.lake import Event, Lake
from scripts.judge.rules import RULES, Due
from scripts.judge.seen import Seen
from scripts.plant.log import Log, read_log

END_SCANS = 3
"""At the end of a run: as long as a scan may take to be read, evaluated and stored."""


class Alarm(NamedTuple):
    """Which alarm: fields as in the lake's table `events`."""

    gateway: str
    app: str
    instance: str
    source: str

    def __str__(self) -> str:
        return "/".join(self[1:])


@dataclass(frozen=True, slots=True)
class Watcher:
    """One instance of an app, as its gateway runs it.

    Args:
        gateway: The gateway.
        app: The app.
        instance: Its instance.
        period_us: Between its scans.
        inputs: Point by input.
        parameters: Numbers, booleans, times in milliseconds.
    """

    gateway: str
    app: str
    instance: str
    period_us: int
    inputs: Mapping[str, str]
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to the plant.

    Args:
        name: The order.
        place: Which instrument, area or machine; empty for the unit.
        at_us: When it was ordered.
        alarms: The alarms it is known for, as `app/instance/source`.
    """

    name: str
    place: str
    at_us: int
    alarms: tuple[str, ...]


class Matched(NamedTuple):
    """An alarm that was due, with the one that was found.

    Args:
        alarm: Which.
        due: When.
        found: What the lake has; `None` when it is missing.
    """

    alarm: Alarm
    due: Due
    found: Event | None


@dataclass(slots=True)
class AlarmVerdict:
    """What came of the alarms.

    Args:
        matched: All that were due.
        false: Found, and nothing accounts for them.
        silent: Faults, each with an alarm that it should have raised and did not.
        faults: Each fault with the alarms that it raised.
        off_us: By how much the worst one was early or late.
    """

    matched: list[Matched] = field(default_factory=list)
    false: list[tuple[Alarm, int]] = field(default_factory=list)
    silent: list[tuple[Fault, str]] = field(default_factory=list)
    faults: list[tuple[Fault, list[Matched]]] = field(default_factory=list)
    off_us: int = 0

    @property
    def missing(self) -> list[Matched]:
        """Due, and not found."""
        return [each for each in self.matched if each.found is None]

    @property
    def passed(self) -> bool:
        """Every alarm was raised when it was due, none besides, and every fault raised its own."""
        return not (self.missing or self.false or self.silent)


def watchers(apps: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Watcher]:
    """The instances of the apps on every gateway.

    Args:
        apps: By gateway, what `catchment-edge app list --json` says of its apps.
    """
    return [
        Watcher(
            gateway,
            app["id"],
            instance["name"],
            round(app["period_s"] * 1e6),
            instance["inputs"],
            {name: float(value) for name, value in instance["parameters"].items()},
        )
        for gateway, listed in apps.items()
        for app in listed
        for instance in app["instances"]
    ]


def judge_alarms(
    lake_path: Path,
    logs: Sequence[Path],
    running: Sequence[Watcher],
    faults: Sequence[Fault],
    until_us: int,
) -> AlarmVerdict:
    """Hold the alarms in a lake against what the field servers served.

    Args:
        lake_path: The lake.
        logs: Directories that the servers wrote.
        running: The apps.
        faults: What was done to the plant.
        until_us: When the gateways were asked to stop.
    """
    lake = Lake(lake_path)
    events = lake.events()
    served = [read_log(path) for path in logs]
    verdict = AlarmVerdict()
    left = [event for event in events if event.transition == "raised"]
    for watcher in running:
        raised = [event for event in left if _is_of(event, watcher)]
        left = [event for event in left if not _is_of(event, watcher)]
        window = _window(watcher, events, until_us)
        due = _due(watcher, served, window)
        _match(verdict, watcher, due, raised, until_us - END_SCANS * watcher.period_us)
    verdict.false += [(_alarm_of(event), event.time_us) for event in left]
    for fault in faults:
        _account(verdict, fault)
    return verdict


def _is_of(event: Event, watcher: Watcher) -> bool:
    return (event.gateway, event.app, event.instance) == (watcher.gateway, watcher.app, watcher.instance)


def _alarm_of(event: Event) -> Alarm:
    return Alarm(event.gateway, event.app, event.instance, event.source)


def _window(watcher: Watcher, events: Sequence[Event], until_us: int) -> Window:
    """The scans of an instance: from the first after its app started."""
    started = [
        event.time_us
        for event in events
        if (event.gateway, event.app, event.transition) == (watcher.gateway, watcher.app, "started")
    ]
    if not started:
        raise ValueError(f"expected an event that {watcher.app} started on {watcher.gateway}, got none")
    period_us = watcher.period_us
    return Window(-(-min(started) // period_us) * period_us, until_us // period_us * period_us, period_us)


def _due(watcher: Watcher, served: Sequence[Log], window: Window) -> list[Due]:
    for log in served:
        seen = Seen(log, window)
        if seen.has(tuple(watcher.inputs.values())):
            return RULES[watcher.app](watcher.parameters, seen.scans(watcher.inputs))
    raise ValueError(f"expected a log with the points of {watcher.app}/{watcher.instance}, got none")


def _match(
    verdict: AlarmVerdict, watcher: Watcher, due: Sequence[Due], raised: Sequence[Event], sure_until_us: int
) -> None:
    """Give each alarm that is due the nearest one that was raised, within one scan."""
    left = list(raised)
    for each in sorted(due, key=lambda one: one.at_us):
        alarm = Alarm(watcher.gateway, watcher.app, watcher.instance, each.source)
        near = [
            event
            for event in left
            if event.source == each.source and abs(event.time_us - each.at_us) <= watcher.period_us
        ]
        found = min(near, key=lambda event: abs(event.time_us - each.at_us), default=None)
        if found is not None:
            left.remove(found)
            verdict.off_us = max(verdict.off_us, abs(found.time_us - each.at_us))
        if found is not None or each.at_us <= sure_until_us:
            verdict.matched.append(Matched(alarm, each, found))
    for event in left:
        if event.time_us <= sure_until_us:
            verdict.false.append((_alarm_of(event), event.time_us))


def _account(verdict: AlarmVerdict, fault: Fault) -> None:
    """The first alarm of each kind that a fault is known for, since it was ordered."""
    raised = []
    for name in fault.alarms:
        mine = sorted(_since(verdict, fault, name), key=lambda each: (each.due.at_us, each.alarm))
        gateways = dict.fromkeys(each.alarm.gateway for each in mine)
        raised += [next(each for each in mine if each.alarm.gateway == gateway) for gateway in gateways]
        if not mine:
            verdict.silent.append((fault, name))
    verdict.faults.append((fault, raised))


def _since(verdict: AlarmVerdict, fault: Fault, name: str) -> Iterator[Matched]:
    for each in verdict.matched:
        if str(each.alarm) == name and each.due.since_us >= fault.at_us:
            yield each
