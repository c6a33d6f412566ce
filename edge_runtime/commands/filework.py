"""Fetch logs and diagnostics: the file goes up beside the chains, its hash in the signed result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.commands.executor import Act
from edge_runtime.commands.journal import Journal, entry_fields
from edge_runtime.commands.judge import Why
from edge_runtime.commands.outbox import Outbox
from edge_runtime.commands.outcome import DONE, Outcome, RefusedError
from protocols.durable import write_bytes_durably
from protocols.records import Command
from protocols.records.events import Scalar

FETCHED = "fetched"
"""Under `data/`: what was fetched by somebody at the gateway; the newest of each kind."""

JOURNAL_LINES = 1000
COMMAND_LINES = 200
LINES_MAX = 1_000_000


class FileWork:
    """What commands may fetch.

    Args:
        home: The gateway's home directory.
        outbox: Brings files up.
        lines: Of the log, the oldest first.
        status: What the gateway says of itself now.
        manager: Has the journal of events.
        journal: Has the commands.
    """

    def __init__(
        self,
        home: Path,
        outbox: Outbox,
        lines: Callable[[], list[str]],
        status: Callable[[], dict[str, Any]],
        manager: AlarmManager,
        journal: Journal,
    ) -> None:
        self._home = home
        self._outbox = outbox
        self._lines = lines
        self._status = status
        self._manager = manager
        self._journal = journal

    @property
    def acts(self) -> dict[str, Act]:
        """By verb."""
        return {"logs": self.logs, "diagnostics": self.diagnostics}

    def logs(self, command: Command) -> Outcome:
        """Fetch the newest log lines."""
        from edge_runtime.commands.bundle import log_bundle  # zipfile is not needed before

        count = command.arguments.get("lines", LINES_MAX)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= LINES_MAX:
            raise RefusedError(Why.ARGUMENTS, f"expected lines: a number from 1 to {LINES_MAX}")
        lines = self._lines()[-count:]
        return self._fetched(command, log_bundle(lines), "logs", f"{len(lines)} log lines")

    def diagnostics(self, command: Command) -> Outcome:
        """Fetch configuration without secrets, status, journal and log."""
        from edge_runtime.commands.bundle import diagnostics_bundle

        records = [record.fields() for record in self._manager.latest(JOURNAL_LINES)]
        commands = [entry_fields(entry) for entry in self._journal.latest(COMMAND_LINES)]
        data = diagnostics_bundle(self._home, self._status(), self._lines(), records, commands)
        return self._fetched(command, data, "diagnostics", "diagnostics")

    def _fetched(self, command: Command, data: bytes, kind: str, what: str) -> Outcome:
        name = f"{command.target}-{kind}.zip"
        if command.number:
            sha256, where = self._outbox.put(data), ""
        else:
            sha256, path = hashlib.sha256(data).digest(), self._home / "data" / FETCHED / name
            write_bytes_durably(path, data, 0o600)
            where = str(path)
        detail: dict[str, Scalar] = {"sha256": sha256.hex(), "bytes": len(data), "file": name, "path": where}
        return Outcome(DONE, f"{what}, {len(data):,} bytes, sha256 {sha256.hex()}", detail)
