"""What an operator may do to alarms, as commands of the control door.

A command names alarms (`gas/hall-1/ch4.high`) or patterns of them (`gas/*`). One that is
named must be able to take it; of those that a pattern finds, it is done to the ones that can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from edge_runtime.alarms.manager import Act, AlarmManager
from edge_runtime.alarms.states import TRANSITIONS, RefusedError, Trigger
from edge_runtime.alarms.store import Alarm, AlarmId
from edge_runtime.control import Command
from protocols import limits
from protocols.tomlfile import suggest

TRIGGERS = {
    "alarms.acknowledge": Trigger.ACKNOWLEDGE,
    "alarms.reset": Trigger.RESET,
    "alarms.shelve": Trigger.SHELVE,
    "alarms.unshelve": Trigger.UNSHELVE,
    "alarms.suppress": Trigger.SUPPRESS,
    "alarms.unsuppress": Trigger.UNSUPPRESS,
    "alarms.out-of-service": Trigger.REMOVE,
    "alarms.in-service": Trigger.RESTORE,
}


def alarm_commands(manager: AlarmManager, now_us: Callable[[], int]) -> dict[str, Command]:
    """The commands, by name.

    Each takes `alarms` (names or patterns), `operator`, `comment`, and shelving `for_s`; each
    gives `done` and `refused`.
    """

    def command(trigger: Trigger) -> Command:
        return lambda arguments: execute(manager, trigger, now_us(), arguments)

    return {name: command(trigger) for name, trigger in TRIGGERS.items()}


def execute(
    manager: AlarmManager, trigger: Trigger, now_us: int, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Do one thing to some alarms, in one transaction.

    Args:
        manager: The alarms.
        trigger: What to do.
        now_us: Now.
        arguments: As they came through the door.

    Returns:
        `done`: alarm and state of each; `refused`: alarm and error of each.

    Raises:
        RefusedError: The arguments are not what such a command takes.
    """
    names, act, until_us = _arguments(arguments, trigger, now_us)
    done: list[dict[str, str]] = []
    refused: list[dict[str, str]] = []
    with manager.together():
        for name in dict.fromkeys(names):
            known = {str(id): alarm for id, alarm in manager.alarms().items()}
            try:
                for id in _meant(name, known, trigger):
                    [record] = manager.command(id, trigger, now_us, act, until_us)
                    done.append({"alarm": str(id), "state": record.state})
            except RefusedError as error:
                refused.append({"alarm": name, "error": str(error)})
    return {"done": done, "refused": refused}


def _meant(name: str, known: Mapping[str, Alarm], trigger: Trigger) -> Sequence[AlarmId]:
    """The alarms that a name or pattern means."""
    if name in known:
        return [known[name].id]
    found = [alarm for full, alarm in known.items() if fnmatchcase(full, name)]
    if not found:
        raise RefusedError(f"there is no such alarm; {suggest(name, known)}")
    able = [alarm.id for alarm in found if trigger in TRANSITIONS[alarm.condition.state]]
    if not able:
        raise RefusedError(f"none of the {len(found)} alarms that it finds can become {trigger} now")
    return able


def _arguments(
    arguments: Mapping[str, Any], trigger: Trigger, now_us: int
) -> tuple[list[str], Act, int | None]:
    names = arguments.get("alarms")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RefusedError("expected alarms: a list of names or patterns")
    operator, comment = (_text(arguments, key) for key in ("operator", "comment"))
    if not operator:
        raise RefusedError("expected operator: who does it")
    act = Act(operator[: limits.EVENT_NAME_CHARS_MAX], comment[: limits.EVENT_TEXT_CHARS_MAX])
    if trigger is not Trigger.SHELVE:
        return names, act, None
    for_s = arguments.get("for_s")
    if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 < for_s < 2**40:
        raise RefusedError("expected for_s: how many seconds to shelve for")
    return names, act, now_us + round(for_s * 1_000_000)


def _text(arguments: Mapping[str, Any], key: str) -> str:
    text = arguments.get(key, "")
    if not isinstance(text, str):
        raise RefusedError(f"expected {key} as text")
    return text.encode("utf-8", "replace").decode().strip()  # JSON can hold half a character
