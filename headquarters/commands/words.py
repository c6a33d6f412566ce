"""From the words of a command line to the arguments of a command.

>>> seconds("--expires", "10min")
600.0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from protocols.durations import seconds_of
from protocols.errors import InputError, Problem
from protocols.records.commands import Argument

if TYPE_CHECKING:
    from headquarters.commands.queue import CommandQueue

ALARM_VERBS = {
    "ack": "alarms.acknowledge",
    "reset": "alarms.reset",
    "shelve": "alarms.shelve",
    "unshelve": "alarms.unshelve",
    "suppress": "alarms.suppress",
    "unsuppress": "alarms.unsuppress",
    "out-of-service": "alarms.out-of-service",
    "in-service": "alarms.in-service",
}
"""What a person writes, and the verb that travels."""

WITH_COMMENT = frozenset({"shelve", "suppress", "out-of-service"})

PLAIN = ("logs", "diagnostics", "restart", "refresh")

VERBS = frozenset({*ALARM_VERBS, "read", "write", *PLAIN})


def arguments_of(verb: str, given: Mapping[str, Any], queue: CommandQueue) -> tuple[str, dict[str, Argument]]:
    """The verb that travels, and its arguments.

    Args:
        verb: As a person writes it.
        given: `words`, `comment`, `for_`, `lines` and `confirm` of the command line.
        queue: Knows the command that selected what is to be written.

    Raises:
        InputError: Something is missing or too much.
    """
    words: tuple[str, ...] = given["words"]
    comment = {"comment": given["comment"]} if given["comment"] else {}
    if verb in ALARM_VERBS:
        if not words:
            raise _wrong(verb, "", "names of alarms or patterns, such as 'gas/*'")
        if verb in WITH_COMMENT and not comment:
            raise _wrong("--comment", "", "why")
        shelving = {"for_s": seconds("--for", given["for_"])} if verb == "shelve" else {}
        return ALARM_VERBS[verb], {"alarms": words, **comment, **shelving}
    if verb == "read":
        if not words:
            raise _wrong(verb, "", "names of points")
        return verb, {"points": words, **comment}
    if verb == "write":
        return _write(words, given["confirm"], queue, comment)
    if words:
        raise _wrong(verb, " ".join(words), "no further words")
    lines = {"lines": given["lines"]} if verb == "logs" and given["lines"] else {}
    return verb, {**lines, **comment}


def _write(
    words: tuple[str, ...], confirm: int | None, queue: CommandQueue, comment: Mapping[str, Argument]
) -> tuple[str, dict[str, Argument]]:
    if len(words) != 1 or "=" not in words[0]:
        raise _wrong("write", " ".join(words), "one POINT=VALUE")
    name, _, text = words[0].rpartition("=")
    try:
        value = {"true": 1.0, "false": 0.0}[text] if text in ("true", "false") else float(text)
    except ValueError:
        raise _wrong("write", text, "a number, or true or false") from None
    arguments: dict[str, Argument] = {"point": name, "value": value, **comment}
    if confirm is None:
        return "select", arguments
    selected = queue.get(confirm).command
    if selected.verb != "select":
        raise _wrong("--confirm", str(confirm), "the number of a command that selected a write")
    return "write", {**arguments, "selected": selected.nonce.hex()}


def seconds(option: str, text: str) -> float:
    """A duration as people write it, in seconds.

    Raises:
        InputError: It is none.
    """
    found = seconds_of(text)
    if found is None:
        raise _wrong(option, text, "a number above 0 and its unit: s, min, h or d, as 30min or 8h")
    return found


def _wrong(place: str, value: str, expected: str) -> InputError:
    return InputError([Problem("command line", place, value, expected)])
