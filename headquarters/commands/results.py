"""What became of commands: the gateway's own signed events, as they are in the lake.

An event counts for a command only when the gateway that the command is for has signed it: the
lake holds events by the gateway whose chain they came in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headquarters.commands.queue import Queued
from headquarters.lake.query import Engine, literal

OUTCOMES = ("done", "failed", "refused", "unknown", "selected")
"""Transitions with which a command is over."""

GOOD = ("done", "selected")


class Told(NamedTuple):
    """One event of a command.

    Args:
        time: When, as text.
        transition: What happened.
        source: The verb, or the point or alarm concerned.
        text: For people.
        value: Of the point, where it is a number.
        detail: What else there is to know.
    """

    time: str
    transition: str
    source: str
    text: str
    value: float | None
    detail: dict[str, Any]


class Outcome(NamedTuple):
    """What a gateway told of one command.

    Args:
        last: The event with which it is over; `None` while there is none.
        before: Those before it.
        later: Refusals of the same command when it came once more.
    """

    last: Told | None = None
    before: tuple[Told, ...] = ()
    later: tuple[Told, ...] = ()

    def fields(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "outcome": None if self.last is None else self.last.transition,
            "good": None if self.last is None else self.last.transition in GOOD,
            "text": "" if self.last is None else self.last.text,
            "detail": {} if self.last is None else self.last.detail,
            "events": [told._asdict() for told in self.before],
            "repetitions_refused": len(self.later),
        }


class Results:
    """Looks outcomes up; not shared between threads.

    Args:
        lake: The lake's folder.

    Raises:
        InputError: There is no lake yet.
    """

    def __init__(self, lake: Path) -> None:
        self._engine = Engine(lake)

    def of(self, commands: Sequence[Queued]) -> dict[int, Outcome]:
        """What is known now of some commands, by their numbers."""
        if commands:
            self._engine.refresh()
        return outcomes(self._engine, commands)

    def close(self) -> None:
        """Close the lake."""
        self._engine.close()


def outcomes(engine: Engine, commands: Sequence[Queued]) -> dict[int, Outcome]:
    """What the lake knows of some commands, by their numbers.

    Args:
        engine: Over the lake.
        commands: Which.

    Raises:
        StoreError: The lake cannot be read.
    """
    if not commands:
        return {}
    since_us = min(queued.command.issued_us for queued in commands) - MARGIN_US
    names = ", ".join(sorted({literal(queued.command.target) for queued in commands}))
    _, rows = engine.rows(
        "SELECT gateway, time, transition, source, text, value, detail FROM events "
        f"WHERE kind = 'event' AND type = 'command' AND gateway IN ({names}) "
        f"AND time >= make_timestamptz({since_us}) ORDER BY time, batch"
    )
    found: dict[tuple[str, str], list[Told]] = {}
    for gateway, time, transition, source, text, value, beside in rows:
        detail = json.loads(beside).get("detail", {})
        told = Told(str(time), transition, source or "", text or "", value, detail)
        found.setdefault((gateway, str(detail.get("command", ""))), []).append(told)
    return {
        queued.command.number: _outcome(found.get((queued.command.target, queued.command.nonce.hex()), []))
        for queued in commands
    }


MARGIN_US = 8 * 86_400 * 1_000_000
"""A gateway whose clock is behind stamps what became of a command earlier than the command."""


def _outcome(events: Sequence[Told]) -> Outcome:
    ends = [at for at, told in enumerate(events) if _is_end(told)]
    if not ends:
        return Outcome(None, tuple(events))
    first = ends[0]
    return Outcome(
        events[first],
        tuple(told for told in events if not _is_end(told)),
        tuple(events[at] for at in ends[1:]),
    )


def _is_end(told: Told) -> bool:
    return told.transition in OUTCOMES and told.source == told.detail.get("verb")
