"""The alarms inside a running gateway: their file, their manager, and the door for commands.

A file that cannot be read is set aside and a new one is begun with the states in memory;
whatever happens to it, the gateway goes on collecting.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from edge_runtime.alarms.commands import alarm_commands
from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.alarms.store import ALARMS, AlarmStore
from edge_runtime.buffer import Buffer
from edge_runtime.buffer.opening import set_aside
from edge_runtime.control import Command, Door
from edge_runtime.events import EventQueue
from protocols.daemon import EventLog
from protocols.errors import StoreDamagedError, StoreError


class AlarmService:
    """Alarms of one session of the gateway.

    Args:
        data: The gateway's data directory.
        buffer: The writing thread's buffer, before that thread has begun.
        queue: Takes the records to send.
        now_us: Gateway time.
        log: For what goes wrong.
        commands: Further commands for the door.

    Raises:
        StoreError: The file cannot be made, or a newer release wrote it.
    """

    def __init__(
        self,
        data: Path,
        buffer: Buffer,
        queue: EventQueue,
        now_us: Callable[[], int],
        log: EventLog,
        commands: Mapping[str, Command] | None = None,
    ) -> None:
        self._path = data / ALARMS
        self._now_us = now_us
        self._log = log
        self._store = self._open()
        self._in_use = True
        """Whether the file is open, and not set aside with none in its place."""
        noted = buffer.events_noted
        self.manager = AlarmManager(self._store, queue.put, noted or 0)
        if noted is None:  # a new buffer: what the one before it held is not sent twice
            buffer.note_events(self._store.last_number())
        else:
            self.manager.send_again(noted)
        self._door: Door | None = None
        try:
            self._door = Door(data, {**alarm_commands(self.manager, now_us), **(commands or {})}, self._bug)
        except StoreError as error:
            log.error("control-closed", why=str(error))

    def add(self, commands: Mapping[str, Command]) -> None:
        """Let the door know further commands; before it is started."""
        if self._door is not None:
            self._door.commands.update(commands)

    def start(self) -> None:
        """Take commands from now on."""
        if self._door is not None:
            self._door.start()

    def step(self) -> None:
        """What is due by the clock; about once a second."""
        self.manager.step(self._now_us())
        if self.manager.damaged:
            why = self.manager.trouble
            with suppress(StoreError, OSError):  # no room for a new file now: the next step tries again
                self.manager.replace_store(lambda: self._replace_file(why))

    def stop(self) -> None:
        """Take no more commands."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def close(self) -> None:
        """Let go of everything; the manager is of no more use."""
        self.stop()
        self._store.close()

    def _open(self) -> AlarmStore:
        try:
            return AlarmStore.open(self._path)
        except StoreDamagedError as error:
            return self._begin_anew(str(error))

    def _replace_file(self, why: str) -> AlarmStore:
        if self._in_use:
            self._store.close()  # before it is renamed: closing removes the WAL by its name
            self._in_use = False
            self._set_aside(why)
        self._store = self._open()
        self._in_use = True
        return self._store

    def _begin_anew(self, why: str) -> AlarmStore:
        self._set_aside(why)
        return AlarmStore.open(self._path)

    def _set_aside(self, why: str) -> None:
        aside = set_aside(self._path, self._now_us())
        self._log.error("alarms-set-aside", file=str(aside), why=why)

    def _bug(self, error: BaseException) -> None:
        self._log.error("control-bug", error="".join(traceback.format_exception(error)))
