"""The way out through a one-way isolator: what the buffer holds, as files in a directory.

It takes the uplink's place. Nothing comes back, so nothing is acknowledged: each batch is
written several times (see `protocols.exporter`) and leaves the buffer after the last.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.buffer import Buffer
from edge_runtime.config import ExportConfig
from edge_runtime.uplink import UplinkStatus
from protocols.daemon import EventLog
from protocols.errors import StoreDamagedError, StoreError
from protocols.exporter import Exporter, write_file
from protocols.identity import Identity
from protocols.session.events import Stored

STEP_S = 0.2
"""Longest that a new batch waits to be looked at."""

FILE_EVERY_S = 1.0
"""Files are made at most this often: isolators count files rather than bytes."""

RETRY_S = 5.0
"""Pause after a file that could not be written."""

CLOSE_S = 10.0
"""At a clean stop, how long to go on writing."""


class Export:
    """Writes files; `step` is called by one thread, again and again.

    Args:
        config: Where to, and how often again.
        identity: The gateway's keys.
        buffer: This thread's buffer; its batches leave when they have been written for the last time.
        log: For events.
        now_us: Time of day.
        monotonic: Seconds that never jump.
        sleep: Waits.
    """

    def __init__(
        self,
        config: ExportConfig,
        identity: Identity,
        buffer: Buffer,
        log: EventLog,
        now_us: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._directory = config.directory
        self._buffer = buffer
        self._log = log
        self._now_us = now_us
        self._monotonic = monotonic
        self._sleep = sleep
        self._next_at = 0.0
        self._stored: list[Stored] = []
        self._exporter = Exporter(
            identity.id,
            identity.signing,
            buffer,
            first_number=buffer.files,
            repeat_after_s=config.repeat_after_s,
        )
        self.status = UplinkStatus(str(config.directory), connected=True)

    def step(self) -> None:
        """Write the next file if it is time and there is anything to write; else wait a little.

        Raises:
            StoreDamagedError: The buffer's file must be set aside.
        """
        now = self._monotonic()
        if now < self._next_at:
            self._sleep(min(STEP_S, self._next_at - now))
        elif not self._write(now):
            self._sleep(STEP_S)

    def close(self) -> None:
        """Write what was not written yet, for some seconds; the rest is for the next start."""
        end = self._monotonic() + CLOSE_S
        while self._monotonic() < end and self._buffer.backlog().unsent and self._write(self._monotonic()):
            pass

    def _write(self, now: float) -> bool:
        """Write one file; returns whether there was one and it could be written."""
        try:
            self._let_go()
            file = self._exporter.next_file(now, self._now_us())
            if file is None:
                return False
            # Counted first: after a crash in between a number is left out, and never given twice.
            self._buffer.count_file(file.number + 1)
            write_file(self._directory, file)
            self._stored += self._exporter.written(now)
            self._let_go()
        except StoreDamagedError:
            raise
        except StoreError as error:
            self._failed(error, now)
            return False
        self._next_at = now + FILE_EVERY_S
        self.status.connected = True
        self.status.bytes_sent += len(file.data)
        self.status.batches_sent += file.batches
        return True

    def _let_go(self) -> None:
        """Let the buffer let go of what has been written for the last time; on a full disk later."""
        while self._stored:
            self._buffer.on_stored(self._stored[0].chain, self._stored[0].next)
            del self._stored[0]

    def _failed(self, error: StoreError, now: float) -> None:
        if self.status.connected:
            self._log.error("file-not-written", error=str(error), retry_s=RETRY_S)
        self.status.connected, self.status.last_error = False, str(error)
        self._next_at = now + RETRY_S
        self._exporter.give_up()
