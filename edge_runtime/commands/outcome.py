"""What becomes of a command, and how it is told: events of type `command`, the last one its outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_runtime.commands.judge import Why
from protocols.errors import CatchmentError
from protocols.records import Command, EventRecord, EventType, clean_event
from protocols.records.events import Scalar

DONE, FAILED, REFUSED, UNKNOWN, SELECTED = "done", "failed", "refused", "unknown", "selected"
"""Outcomes: transitions of the last event of a command."""

READ, HANDLED, WRITTEN = "read", "handled", "written"
"""Transitions of the events before it."""


class RefusedError(CatchmentError):
    """A command that is not carried out; nothing of it was done.

    Args:
        why: For programs.
        text: For people: what was expected, and what to do.
    """

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class Part(NamedTuple):
    """One thing of several that a command brought about.

    Args:
        transition: `read`, `handled` or `written`.
        source: The point or alarm.
        text: For people.
        value: Of the point, where it is a number.
        quality: Of the value: 0 good, 1 uncertain, 2 bad.
        detail: What else there is to know.
    """

    transition: str
    source: str
    text: str
    value: float | None = None
    quality: int = 0
    detail: dict[str, Scalar] = {}  # noqa: RUF012 - nobody changes it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command.

    Args:
        outcome: `done`, `failed`, `refused`, `unknown` or `selected`.
        text: For people.
        detail: What else there is to know.
        parts: What it brought about, one by one.
        then: What is done once the outcome is on the disk.
    """

    outcome: str
    text: str
    detail: dict[str, Scalar] = field(default_factory=dict)
    parts: Sequence[Part] = ()
    then: Callable[[], None] | None = None

    @property
    def good(self) -> bool:
        """Whether it was carried out."""
        return self.outcome in (DONE, SELECTED)


def refused(why: Why, text: str) -> Outcome:
    """The outcome of a command that is not carried out."""
    return Outcome(REFUSED, text, {"why": str(why)})


def events(command: Command, outcome: Outcome, now_us: int) -> list[EventRecord]:
    """What is told of a command, its outcome last."""
    told = [
        _event(
            command, part.transition, part.source, part.text, now_us, part.detail, part.value, part.quality
        )
        for part in outcome.parts
    ]
    return [*told, _event(command, outcome.outcome, command.verb, outcome.text, now_us, outcome.detail)]


def _event(
    command: Command,
    transition: str,
    source: str,
    text: str,
    now_us: int,
    detail: dict[str, Scalar],
    value: float | None = None,
    quality: int = 0,
) -> EventRecord:
    which: dict[str, Scalar] = {
        "command": command.nonce.hex(),
        "number": command.number,
        "verb": command.verb,
        "issued_us": command.issued_us,
    }
    comment = command.arguments.get("comment", "")
    return clean_event(
        EventRecord(
            now_us,
            EventType.COMMAND,
            source=source,
            text=text,
            transition=transition,
            value=value,
            quality=quality,
            operator=command.requester,
            comment=comment if isinstance(comment, str) else "",
            detail={**which, **detail},
        )
    )
