"""A gateway's commands without a gateway: real files, a clock in the hand, acts that count."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.alarms.store import ALARMS, AlarmStore
from edge_runtime.commands.executor import Act, Executor
from edge_runtime.commands.journal import FILE, Journal
from edge_runtime.commands.judge import Span
from edge_runtime.commands.outcome import DONE, Outcome
from protocols.daemon import EventLog
from protocols.identity import SigningKey, VerifyKey
from protocols.records import Command, EventRecord, EventType, sign_record

KEY = SigningKey(b"q" * 32)
S = 1_000_000
START_US = 1_000_000 * S


class Kill(BaseException):
    """The process dies here."""


class Desk:
    """Commands of gateway `unit-1` over files in a directory; made again after a kill."""

    def __init__(
        self, directory: Path, acts: Mapping[str, Act] | None = None, now_us: int = START_US + 10 * S
    ) -> None:
        self.now_us = now_us
        self.time: Span | None = Span(now_us, now_us)
        self.done: list[str] = []
        self.sent: list[EventRecord] = []
        self.log = io.StringIO()
        self._alarms = AlarmStore.open(directory / ALARMS)
        self.manager = AlarmManager(self._alarms, self.sent.extend)
        self.journal, _ = Journal.begin_at(directory / FILE, now_us)
        self.executor = Executor(
            "unit-1",
            self.journal,
            self.manager,
            {"count": self._count, **(acts or {})},
            VerifyKey(KEY.public),
            lambda: self.time,
            lambda: self.now_us,
            EventLog(stream=self.log),
        )

    def _count(self, command: Command) -> Outcome:
        self.done.append(command.nonce.hex())
        return Outcome(DONE, "counted")

    def step(self) -> None:
        """Carry out what waits, at once."""
        self.executor.wake()
        self.executor.step()

    def told(self) -> list[EventRecord]:
        """Every event of commands in the journal of events."""
        return [record for record in self._alarms.journal() if record.type is EventType.COMMAND]

    def whys(self) -> list[Any]:
        """Why commands were refused, as told."""
        return [record.detail.get("why") for record in self.told() if record.transition == "refused"]

    def close(self) -> None:
        """As a process that ends, in order or not: what is not committed is gone."""
        self.journal.close()
        self._alarms.close()


def signed(verb: str = "count", number: int = 1, *, key: SigningKey = KEY, **changed: Any) -> bytes:
    """A command that headquarters signed."""
    values: dict[str, Any] = {
        "number": number,
        "nonce": number.to_bytes(16),
        "target": "unit-1",
        "issued_us": START_US,
        "expires_us": START_US + 3600 * S,
        "requester": "li@hq",
        "verb": verb,
        "arguments": {},
    }
    return sign_record(Command(**{**values, **changed}), key)
