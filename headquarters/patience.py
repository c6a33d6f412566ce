"""HTTP connections that are waited for so long, and no longer.

uvicorn bounds how long a connection may be idle between requests. It does not bound how long one
takes to send its first line and headers: a few thousand that send a byte now and then hold all
places, and nobody else is served ("slowloris").

Rules:
1. A connection whose next request is not there with all its headers `HEAD_S` after its first byte, or
   after it was opened, is closed. Bodies are bounded by `headquarters.api.headers`.
2. While a request is answered, however long, nothing is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0
"""A link of 9.6 kbit/s sends 16 kB of headers in it (Apache's mod_reqtimeout has 20 s as well)."""


class PatientProtocol(H11Protocol):
    """uvicorn's protocol over h11, with a bound for the head of a request."""

    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, or stop to."""
        if self._waits is None and not self._is_busy():
            self._wait()
        super().data_received(data)
        if self._is_busy():
            self._stop_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._stop_to_wait()
        super().connection_lost(exc)

    def _is_busy(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        self._waits = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_to_wait(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
