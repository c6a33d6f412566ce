"""The gateway's own memory of commands, `data/commands.db`: each is carried out once or not at all.

Rules:
1. A command is written down before it is begun (`taken`), again when it is begun
   (`executing`), and with its outcome when it is over (`ended`); each is on the disk before
   the next thing happens.
2. One that is found `executing` at a start was cut in the middle: whether it had its effect
   is not known, it is told so, and it is not begun again.
3. An outcome is kept with the command until it is in the journal of events for certain.
4. Commands are remembered in a bounded number. Of one given earlier than the newest that was
   forgotten nothing is known, and so it is refused (`floor_us`). The same holds for all that were
   given before this file was made in place of one that could not be read.

>>> import sqlite3
>>> journal = Journal(sqlite3.connect(":memory:"))
>>> journal.prepare()
>>> command = Command(7, bytes(16), "unit-1", 5, 9, "li", "restart")
>>> journal.take(command); journal.begin(command.nonce); journal.state(command.nonce)
'executing'
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from edge_runtime import limits
from edge_runtime.buffer.opening import set_aside
from edge_runtime.store import Gate, Store
from protocols import limits as wire
from protocols.errors import StoreDamagedError
from protocols.records import Command, EventRecord, EventType

FILE = "commands.db"

FLOOR = "floor"


class State(StrEnum):
    """Where a command is."""

    TAKEN = "taken"
    EXECUTING = "executing"
    ENDED = "ended"


class Entry(NamedTuple):
    """One command in the journal.

    Args:
        command: The command; one given at this gateway has number 0.
        state: Where it is.
        outcome: The last event of it: `done`, `failed`, `refused`, `unknown`; empty before its end.
        text: The same for people.
        ended_us: When it was over, or `None`.
    """

    command: Command
    state: State
    outcome: str
    text: str
    ended_us: int | None


class Journal(Store):
    """The file of commands; safe between threads.

    Args:
        connection: Fresh, made for use by several threads.
        gate: For the store's transactions.
    """

    what = "commands"
    version = 1
    schema = (
        """create table if not exists commands(
            no integer primary key autoincrement, nonce blob not null unique, issued integer not null,
            packed blob not null, state text not null, outcome text not null default '',
            text text not null default '', ended integer, told integer not null default 0,
            stage integer not null default 0, events text not null default '[]')""",
        "create index if not exists commands_state on commands(state)",
        "create index if not exists commands_told on commands(told)",
        "create index if not exists commands_stage on commands(stage)",
        "create table if not exists called_off(nonce blob primary key, time integer not null) without rowid",
        "create table if not exists facts(name text primary key, value) without rowid",
    )

    def __init__(self, connection: sqlite3.Connection, gate: Gate | None = None) -> None:
        super().__init__(connection, gate)
        self._lock = threading.RLock()

    @classmethod
    def begin_at(cls, path: Path, now_us: int) -> tuple[Journal, Path | None]:
        """Open the file, or set it aside and begin a new one that knows of nothing before now.

        Returns:
            The journal, and where a damaged file went.

        Raises:
            StoreError: The directory cannot be used, or a newer release wrote the file.
        """
        try:
            return cls.open(path), None
        except StoreDamagedError:
            aside = set_aside(path, now_us)
            journal = cls.open(path)
            with journal._lock, journal.transaction():
                journal.remember(FLOOR, now_us)
            return journal, aside

    @property
    def floor_us(self) -> int:
        """Commands given up to then that are not here may have been forgotten."""
        with self._lock:
            return self.fact(FLOOR) or 0

    def take(self, command: Command) -> None:
        """Write down a command that is to be carried out.

        Raises:
            StoreError: It is not written, and so must not be carried out.
        """
        self._add(command, State.TAKEN)

    def refuse(self, command: Command, records: Sequence[EventRecord], now_us: int) -> None:
        """Write down a command that is not carried out, and what is told of it."""
        with self._lock, self.transaction():
            self._add(command, State.TAKEN)
            self._end(command.nonce, records, now_us)

    def begin(self, nonce: bytes) -> None:
        """Write down that a command is begun: from now on it is never begun again."""
        with self._lock, self.transaction():
            self.execute("update commands set state = ? where nonce = ?", (State.EXECUTING, nonce))

    def end(self, nonce: bytes, records: Sequence[EventRecord], now_us: int) -> None:
        """Write down that a command is over, and what is told of it; its last event is the outcome."""
        with self._lock, self.transaction():
            self._end(nonce, records, now_us)

    def state(self, nonce: bytes) -> str | None:
        """What is known of a command: its state or, once it is over, its outcome."""
        with self._lock:
            row = self.row("select state, outcome from commands where nonce = ?", (nonce,))
        return None if row is None else row[1] or row[0]

    def find(self, nonce: bytes) -> Entry | None:
        """One command."""
        with self._lock:
            found = self.rows(f"{_SELECT} where nonce = ?", (nonce,))
        return _entry(found[0]) if found else None

    def in_state(self, state: State) -> list[Entry]:
        """Commands in the order in which they came."""
        with self._lock:
            return [_entry(row) for row in self.rows(f"{_SELECT} where state = ? order by no", (state,))]

    @property
    def busy(self) -> bool:
        """Whether a command waits or is under way."""
        with self._lock:
            return (
                self.row("select 1 from commands where state in ('taken', 'executing') limit 1") is not None
            )

    def latest(self, count: int) -> list[Entry]:
        """The newest, the newest first."""
        with self._lock:
            return [_entry(row) for row in self.rows(f"{_SELECT} order by no desc limit ?", (count,))]

    def call_off(self, nonce: bytes, now_us: int) -> None:
        """Remember that a command, which is not here, must not be carried out when it comes."""
        with self._lock, self.transaction():
            self.execute("insert or replace into called_off values (?, ?)", (nonce, now_us))

    def is_called_off(self, nonce: bytes) -> bool:
        """Whether a command was called off before it came."""
        with self._lock:
            return self.row("select 1 from called_off where nonce = ?", (nonce,)) is not None

    def forget_called_off(self, now_us: int) -> None:
        """Forget those that have expired for certain."""
        before_us = now_us - 2 * wire.COMMAND_LIFE_MAX_S * 1_000_000
        with self._lock, self.transaction():
            self.execute("delete from called_off where time < ?", (before_us,))

    def use(self, nonce: bytes) -> None:
        """Note that what a command selected is used up."""
        with self._lock, self.transaction():
            self.execute("update commands set outcome = 'used' where nonce = ?", (nonce,))

    def untold(self) -> list[tuple[bytes, list[EventRecord]]]:
        """(nonce, events) of those whose events are not known to be in the journal of events."""
        with self._lock:
            rows = self.rows(
                "select nonce, events from commands where told = 0 and state = 'ended' order by no"
            )
        return [(nonce, [_record(fields) for fields in json.loads(events)]) for nonce, events in rows]

    def told(self, nonce: bytes) -> None:
        """The events of a command are in the journal of events."""
        with self._lock, self.transaction():
            self.execute("update commands set told = 1, events = '[]' where nonce = ?", (nonce,))

    def unsaid(self) -> list[tuple[bytes, State]]:
        """(nonce, state) of commands from above whose state the way up does not know yet."""
        with self._lock:
            rows = self.rows(
                "select nonce, state from commands where stage < 3 and stage < "
                "case state when 'taken' then 1 when 'executing' then 2 else 3 end order by no limit 64"
            )
        return [(nonce, State(state)) for nonce, state in rows]

    def said(self, said: Sequence[tuple[bytes, State]]) -> None:
        """The way up knows the states of these commands."""
        with self._lock, self.transaction():
            for nonce, state in said:
                self.execute(
                    "update commands set stage = max(stage, ?) where nonce = ?",
                    (list(State).index(state) + 1, nonce),
                )

    def say_again(self, nonce: bytes) -> None:
        """The way up gave a command again: it does not know its state."""
        with self._lock, self.transaction():
            self.execute("update commands set stage = 0 where nonce = ?", (nonce,))

    def close(self) -> None:
        """Close the connection, once nobody is inside."""
        with self._lock:
            super().close()

    def _add(self, command: Command, state: State) -> None:
        with self._lock, self.transaction():
            self.execute(
                "insert into commands(nonce, issued, packed, state, stage) values (?, ?, ?, ?, ?)",
                (command.nonce, command.issued_us, command.pack(), state, 0 if command.number else 3),
            )
            self._forget()

    def _end(self, nonce: bytes, records: Sequence[EventRecord], now_us: int) -> None:
        last = records[-1]
        self.execute(
            "update commands set state = ?, outcome = ?, text = ?, ended = ?, events = ?, told = 0 "
            "where nonce = ?",
            (
                State.ENDED,
                last.transition,
                last.text,
                now_us,
                json.dumps([r.fields() for r in records]),
                nonce,
            ),
        )

    def _forget(self) -> None:
        """Forget the oldest beyond the bound, and remember up to when they were given."""
        gone = self.rows(
            "select no, issued from commands where told = 1 order by issued desc limit -1 offset ?",
            (limits.COMMANDS_KEPT,),
        )
        if gone:
            self.remember(FLOOR, max(self.floor_us, *(issued for _, issued in gone)))
            self.execute_each("delete from commands where no = ?", [(no,) for no, _ in gone])


_SELECT = "select packed, state, outcome, text, ended from commands"


def _entry(row: Sequence[Any]) -> Entry:
    packed, state, outcome, text, ended_us = row
    return Entry(Command.parse(packed), State(state), outcome, text, ended_us)


def _record(fields: dict[str, Any]) -> EventRecord:
    time_us, number = fields.pop("time"), fields.pop("no")
    return EventRecord(**{**fields, "time_us": time_us, "number": number, "type": EventType(fields["type"])})


def entry_fields(entry: Entry) -> dict[str, Any]:
    """A command in the journal, for a machine."""
    command = entry.command
    return {
        "command": command.nonce.hex(),
        "number": command.number,
        "verb": command.verb,
        "arguments": {name: _plain(value) for name, value in command.arguments.items()},
        "requester": command.requester,
        "issued_us": command.issued_us,
        "state": str(entry.state),
        "outcome": entry.outcome,
        "text": entry.text,
        "ended_us": entry.ended_us,
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
