"""What commands fetched, on its way up: files under `data/outgoing/`, named by their hash.

The signed result names hash and size; the bytes follow beside the chains, in pieces that anybody
on the way can count and nobody can change.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from protocols.blobs import Blobs
from protocols.calls import CallRefusedError, Calls
from protocols.commandcalls import bring
from protocols.durable import write_bytes_durably

DIRECTORY = "outgoing"

KEEP_S = 7 * 86_400
"""What nobody took for a week is removed."""

FILES_MAX = 8


class Outbox:
    """Files that are to be brought up.

    Args:
        data: The gateway's data directory.
        gateway: Its name.
    """

    def __init__(self, data: Path, gateway: str) -> None:
        self._folder = data / DIRECTORY / gateway
        self._blobs = Blobs(data / DIRECTORY)
        self._gateway = gateway

    def put(self, data: bytes) -> bytes:
        """Keep a file until it is up there; the oldest of many goes. Returns its hash.

        Raises:
            StoreError: The disk failed.
        """
        sha256 = hashlib.sha256(data).digest()
        write_bytes_durably(self._folder / sha256.hex(), data, 0o600)
        whole = [path for _, _, path in self._blobs.whole()]
        for path in whole[: max(0, len(whole) - FILES_MAX)]:
            path.unlink(missing_ok=True)
        return sha256

    def find(self, sha256: bytes) -> Path | None:
        """A file that is still here."""
        return self._blobs.find(self._gateway, sha256)

    @property
    def waiting(self) -> bool:
        """Whether there is something to bring up."""
        return next(self._blobs.whole(), None) is not None

    def step(self, upward: Calls, budget_s: float) -> None:
        """Bring up what there is, for so long.

        Raises:
            CallTimeoutError, MalformedError: Nobody answers, or nothing that makes sense.
        """
        end = time.monotonic() + budget_s
        for owner, sha256, path in self._blobs.whole():
            try:
                if bring(upward, owner, sha256, path.read_bytes(), lambda: time.monotonic() > end):
                    path.unlink(missing_ok=True)
            except CallRefusedError:
                path.touch()  # no room there now: it is the others' turn
                return
            if time.monotonic() > end:
                return

    def sweep(self) -> None:
        """Remove what nobody took."""
        self._blobs.sweep(KEEP_S)
