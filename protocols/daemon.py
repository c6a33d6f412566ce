"""What every long-running node does alike: be alone, log events, show its status, stop when asked.

Rules:
1. A log line is one JSON object: `time`, `level`, `event`, then the fields of the event.
   Events have stable names; what varies is in the fields.
2. A status file is replaced whole, so that a reader never sees half of one.
3. SIGTERM and SIGINT ask for a clean stop; a second one is left to the system.
4. One process writes to a node's data; its lock ends with it, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from protocols.errors import CatchmentError, InputError, PeerError, StoreError
from protocols.logfile import LogConfig, LogFile

EXIT_OK = 0
EXIT_FAULT = 1
"""The command ran and found a fault."""
EXIT_INPUT = 2
"""Wrong usage, or wrong input."""
EXIT_UNREACHABLE = 3
"""A peer or a service is not there."""
EXIT_STORE = 4
"""The local store failed."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells count it."""

LEVELS = ("debug", "info", "warning", "error")


def exit_code(error: CatchmentError) -> int:
    """The exit code of a command that ended with this error.

    >>> exit_code(StoreError("no room"))
    4
    """
    if isinstance(error, InputError):
        return EXIT_INPUT
    if isinstance(error, StoreError):
        return EXIT_STORE
    return EXIT_UNREACHABLE if isinstance(error, PeerError) else EXIT_FAULT


class EventLog:
    """A log of events as JSON lines; safe between threads.

    Args:
        level: Events below it are not written: one of `LEVELS`.
        stream: Where lines go; standard error by default, `None` for nowhere.
        file: Also written there, if given.
        file_bytes_max: Size at which the file is closed and a new one begun.
        file_age_s: Age at which that happens as well; 0 for any.
        files_max: Closed files kept.
        clock: Seconds since 1970.
        keep: So many of the newest lines stay in memory, in `kept`.

    >>> EventLog(stream=sys.stdout, clock=lambda: 0.0).info("stored", batches=3)
    {"time": "1970-01-01T00:00:00.000Z", "level": "info", "event": "stored", "batches": 3}
    """

    def __init__(
        self,
        level: str = "info",
        *,
        stream: TextIO | None = sys.stderr,
        file: Path | None = None,
        file_bytes_max: int = 10 << 20,
        file_age_s: float = 0.0,
        files_max: int = 5,
        clock: Callable[[], float] = time.time,
        keep: int = 0,
    ) -> None:
        self._least = LEVELS.index(level)
        self.kept: deque[str] = deque(maxlen=keep)
        self._clock = clock
        self._handlers: list[logging.Handler] = []
        if stream is not None:
            self._handlers.append(logging.StreamHandler(stream))
        if file is not None:
            self._handlers.append(LogFile(file, file_bytes_max, file_age_s, files_max, clock))

    @classmethod
    def of(cls, config: LogConfig, name: str, keep: int = 0) -> EventLog:
        """The log of a node's process.

        Args:
            config: `[log]` of the node.
            name: Of its log file, if there is one.
            keep: So many of the newest lines stay in memory.
        """
        return cls(
            config.level,
            file=config.file(name),
            file_bytes_max=config.file_bytes_max,
            file_age_s=config.file_age_s,
            files_max=config.files_max,
            keep=keep,
        )

    def debug(self, event: str, **fields: object) -> None:
        """Log what only a developer asks for."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Log what happened as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what an operator should look at when there is time."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log what an operator should look at now."""
        self._write("error", event, fields)

    def close(self) -> None:
        """Close the file; lines logged later are lost."""
        for handler in self._handlers:
            handler.close()
        self._handlers.clear()

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        if LEVELS.index(level) < self._least:
            return
        line = {"time": iso_time(self._clock()), "level": level, "event": event, **fields}
        text = json.dumps(line, ensure_ascii=False, default=str)
        self.kept.append(text)
        record = logging.LogRecord("catchment", logging.INFO, "", 0, text, None, None)
        for handler in self._handlers:
            handler.handle(record)


def iso_time(seconds: float) -> str:
    """UTC with milliseconds, as ISO 8601 writes it.

    >>> iso_time(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def write_status(path: Path, status: Mapping[str, Any]) -> None:
    """Replace a status file by another at once.

    A status is worth nothing after a power cut, so it is not flushed to the disk.

    Raises:
        StoreError: It cannot be written.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_text(json.dumps(status, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; free disk space") from error


def read_status(path: Path) -> dict[str, Any] | None:
    """What a running node last said of itself; `None` when there is none, or one of nothing."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) and status else None


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Keep every other process away from a node's data directory meanwhile.

    Raises:
        StoreError: Another one is there, or the directory cannot be written.
    """
    lock = data / "lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"cannot write {lock}: {error.strerror}; fix its permissions") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                f"expected to be alone in {data}, another process runs there; stop the other one"
            ) from error
        yield
    finally:
        os.close(descriptor)


class Stop:
    """Whether the process was asked to stop.

    >>> stop = Stop()
    >>> stop.asked
    False
    >>> stop.ask()
    >>> stop.asked
    True
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int | None = None

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def ask(self) -> None:
        """Ask for a stop, from any thread."""
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until a stop is asked for, or the time is over; returns whether it was."""
        return self._event.wait(timeout_s)

    def on_signals(self) -> None:
        """Take SIGTERM and SIGINT as a request; only in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._event.set()
        signal.signal(number, signal.SIG_DFL)
