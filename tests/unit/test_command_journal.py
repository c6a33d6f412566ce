"""What a gateway remembers of commands, and what it refuses when it has forgotten."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime import limits
from edge_runtime.commands.journal import FILE, Journal, State
from edge_runtime.commands.outcome import Outcome, events
from protocols.records import Command

COMMAND = Command(7, b"7" * 16, "unit-1", 1000, 2000, "li@hq", "restart")


def numbered(number: int, issued_us: int) -> Command:
    return replace(COMMAND, number=number, nonce=number.to_bytes(16), issued_us=issued_us, expires_us=10**9)


@pytest.fixture
def journal() -> Journal:
    made = Journal(sqlite3.connect(":memory:", check_same_thread=False))
    made.prepare()
    return made


def end(journal: Journal, command: Command) -> None:
    journal.begin(command.nonce)
    journal.end(command.nonce, events(command, Outcome("done", "ok"), 5), 5)


def test_each_state_is_known_until_the_outcome_is(journal: Journal) -> None:
    assert journal.state(COMMAND.nonce) is None
    journal.take(COMMAND)
    assert journal.state(COMMAND.nonce) == State.TAKEN and journal.busy
    journal.begin(COMMAND.nonce)
    assert journal.state(COMMAND.nonce) == State.EXECUTING
    end(journal, COMMAND)
    assert journal.state(COMMAND.nonce) == "done" and not journal.busy
    [(nonce, [record])] = journal.untold()
    assert (nonce, record.transition, record.operator) == (COMMAND.nonce, "done", "li@hq")
    journal.told(nonce)
    assert journal.untold() == []


def test_the_way_up_is_told_of_each_state_once_and_again_when_it_asks(journal: Journal) -> None:
    journal.take(COMMAND)
    assert journal.unsaid() == [(COMMAND.nonce, State.TAKEN)]
    journal.said(journal.unsaid())
    assert journal.unsaid() == []
    end(journal, COMMAND)
    journal.said([(COMMAND.nonce, State.TAKEN)])  # an answer that was under way
    assert journal.unsaid() == [(COMMAND.nonce, State.ENDED)]
    journal.said(journal.unsaid())
    journal.say_again(COMMAND.nonce)
    assert journal.unsaid() == [(COMMAND.nonce, State.ENDED)]


def test_of_a_command_given_here_nobody_above_is_told(journal: Journal) -> None:
    journal.take(replace(COMMAND, number=0))
    assert journal.unsaid() == []


def test_beyond_the_bound_the_oldest_are_forgotten_and_what_is_older_than_they_is_refused(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMANDS_KEPT", 3)
    for number in range(1, 7):
        command = numbered(number, issued_us=number * 10)
        journal.take(command)
        end(journal, command)
        journal.told(command.nonce)
    journal.take(numbered(9, issued_us=90))
    assert journal.floor_us == 30
    assert [entry.command.number for entry in journal.latest(10)] == [9, 6, 5, 4]


def test_what_is_not_told_yet_is_never_forgotten(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMMANDS_KEPT", 1)
    for number in range(1, 5):
        journal.take(numbered(number, number))
        end(journal, numbered(number, number))
    assert len(journal.untold()) == 4 and journal.floor_us == 0


def test_a_file_that_cannot_be_read_is_set_aside_and_nothing_from_before_is_carried_out(
    tmp_path: Path,
) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database, and long enough to be looked at" * 100)
    journal, aside = Journal.begin_at(tmp_path / FILE, now_us=77_000_000)
    assert aside is not None and aside.exists()
    assert journal.floor_us == 77_000_000
    journal.close()
    again, none = Journal.begin_at(tmp_path / FILE, now_us=99_000_000)
    assert none is None and again.floor_us == 77_000_000
    again.close()
