"""Alarm commands from above, through the table of the control door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge_runtime.alarms.commands import TRIGGERS, execute
from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.alarms.states import RefusedError as NotAllowedError
from edge_runtime.alarms.states import Trigger
from edge_runtime.commands.executor import Act
from edge_runtime.commands.judge import Why
from edge_runtime.commands.outcome import DONE, FAILED, HANDLED, Outcome, Part, RefusedError
from protocols.records import Command

PARTS_MAX = 100
"""Alarms of one command that are told one by one; each has its own event as a transition, too."""


def alarm_acts(manager: AlarmManager, now_us: Callable[[], int]) -> dict[str, Act]:
    """What may be done to alarms, by verb: the names of the control door."""

    def act(trigger: Trigger) -> Act:
        return lambda command: _handle(manager, trigger, now_us(), command)

    return {name: act(trigger) for name, trigger in TRIGGERS.items()}


def _handle(manager: AlarmManager, trigger: Trigger, now_us: int, command: Command) -> Outcome:
    try:
        found = execute(manager, trigger, now_us, _arguments(command))
    except NotAllowedError as error:
        raise RefusedError(Why.ARGUMENTS, str(error)) from error
    done, not_done = found["done"], found["refused"]
    parts = [Part(HANDLED, entry["alarm"], f"is {entry['state']}") for entry in done[:PARTS_MAX]]
    parts += [Part("refused", entry["alarm"], entry["error"]) for entry in not_done[:PARTS_MAX]]
    detail = {"done": len(done), "refused": len(not_done)}
    if not_done and not done:
        return Outcome(FAILED, f"{not_done[0]['alarm']}: {not_done[0]['error']}", dict(detail), parts)
    text = f"{len(done)} alarms handled" + (f", {len(not_done)} refused" if not_done else "")
    return Outcome(DONE, text, dict(detail), parts)


def _arguments(command: Command) -> Mapping[str, Any]:
    arguments = command.arguments
    alarms = arguments.get("alarms")
    return {
        "alarms": list(alarms) if isinstance(alarms, tuple) else alarms,
        "operator": command.requester,
        "comment": arguments.get("comment", ""),
        "for_s": arguments.get("for_s"),
    }
