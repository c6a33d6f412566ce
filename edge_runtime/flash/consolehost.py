"""The host's side of a gateway's serial console: calls that outlast damaged bytes and pulled cables.

Rules:
1. A call is made until it is answered, or until nobody was heard of for the patience given.
2. A file goes on where the gateway has it, if the hash of what it has is that of ours; so does
   what is fetched.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

from edge_runtime.provision.port import Line, LineError
from protocols import limits
from protocols.console.calls import Call, pack_call, parse_answer
from protocols.console.host import HostEnd
from protocols.daemon import iso_time
from protocols.errors import DeviceError, IntegrityError, MalformedError, PeerError

PATIENCE_S = 30.0
"""Without a whole frame for so long, nobody is there."""

REOPEN_S = 0.25

REFUSALS_MAX = 3
"""Of a file's pieces in a row: more have a cause that taking it up again does not remove."""

Progress = Callable[[int, int], None]
"""Told of bytes done and bytes in all."""


def nothing(done: int, size: int) -> None:
    """For who does not want to be told."""


class RefusedError(PeerError):
    """The gateway refused a call; it says why."""


class SilentError(DeviceError):
    """Nobody answers on the line."""


class ConsoleHost:
    """A gateway at the other end of a cable.

    Args:
        open_line: Opens the port.
        baud: Its bits a second.
        patience_s: How long to wait without hearing of the gateway.
        device: The port's name, for messages.
    """

    def __init__(
        self, open_line: Callable[[], Line], baud: int, patience_s: float = PATIENCE_S, device: str = "port"
    ) -> None:
        self._open_line = open_line
        self._line: Line | None = None
        self._end = HostEnd(lambda: secrets.randbelow((1 << 32) - 1) + 1, baud / 10)
        self._patience_s = patience_s
        self._device = device
        self._number = secrets.randbelow(1 << 31)
        self.reconnected = 0
        """How often the port was opened anew."""

    def close(self) -> None:
        """Let the port go."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def call(self, name: str, **arguments: Any) -> Any:
        """Have the gateway do something.

        Returns:
            What it gives.

        Raises:
            RefusedError: It refused.
            SilentError: Nobody answers.
            LineError: There is no such port, or it did not come back.
            MalformedError: It speaks another version.
        """
        self._number = (self._number + 1) % (1 << 32)
        call = pack_call(Call(self._number, name, arguments))
        self._end.send(call, time.monotonic())
        heard = time.monotonic()
        while True:
            heard = max(heard, self._end.heard or 0.0)
            messages = self._turn(heard)
            if self._end.lost:
                self._end.lost = False
                self._end.send(call, time.monotonic())
            for message in messages:
                answer = parse_answer(message)
                if answer.number == self._number:
                    self._end.done()
                    if not answer.ok:
                        raise RefusedError(str(answer.result))
                    return answer.result

    def _turn(self, heard: float) -> list[bytes]:
        """Send what is to be sent, wait for what comes."""
        now = time.monotonic()
        if now - heard > self._patience_s:
            expected = "a gateway with catchment-edge console on its port; check cable, port and --baud"
            raise SilentError(
                f"{self._device}: nobody answered for {self._patience_s:g} s; expected {expected}"
            )
        line = self._line
        if line is None:
            line = self._opened(heard)
            if line is None:
                return []
        try:
            self._end.tick(now)
            data = self._end.outgoing()
            if data:
                line.write(data)
            due = self._end.due
            came = line.read(0.05 if due is None else min(max(due - time.monotonic(), 0.0), 0.05))
        except LineError:
            self.close()
            return []
        return self._end.receive(came, time.monotonic()) if came else []

    def _opened(self, heard: float) -> Line | None:
        try:
            self._line = self._open_line()
        except LineError:
            # A cable that was pulled comes back; a port that was never there does not.
            if self._end.heard is None or time.monotonic() - heard > self._patience_s - REOPEN_S:
                raise
            time.sleep(REOPEN_S)
            return None
        self.reconnected += self._end.heard is not None
        return self._line

    # -- files -------------------------------------------------------------------------------

    def send_file(self, stream: BufferedReader, progress: Progress = nothing) -> bytes:
        """Bring a file to the gateway, going on where it was left.

        Returns:
            Its SHA-256, by which the gateway knows it.

        Raises:
            RefusedError, SilentError, LineError: As `call`.
        """
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").digest()
        size = stream.seek(0, os.SEEK_END)
        held = self._held(stream, sha256, size)
        refused = 0
        while held < size:
            progress(held, size)
            stream.seek(held)
            data = stream.read(limits.CONSOLE_CHUNK_BYTES)
            try:
                held = int(self.call("piece", sha256=sha256, offset=held, data=data)["held"])
                refused = 0
            except RefusedError:
                # A piece that came twice, a gateway started anew, a file that came damaged: take it up again.
                refused += 1
                if refused > REFUSALS_MAX:
                    raise
                held = self._held(stream, sha256, size)
        progress(size, size)
        return sha256

    def _held(self, stream: BufferedReader, sha256: bytes, size: int) -> int:
        """How much of ours the gateway has; 0 if what it has is not ours."""
        answer = self.call("begin", sha256=sha256, size=size)
        held, hashed = answer["held"], answer["sha256"]
        stream.seek(0)
        ours = hashlib.sha256()
        left = held
        while left > 0 and (data := stream.read(min(left, 1 << 20))):
            ours.update(data)
            left -= len(data)
        return held if left == 0 and hashed == ours.digest() else 0

    def fetch(self, sha256: bytes, size: int, progress: Progress = nothing) -> bytes:
        """Bring what the gateway has made here.

        Raises:
            RefusedError, SilentError, LineError: As `call`.
            IntegrityError: It is not what was announced.
        """
        data = b""
        while len(data) < size:
            progress(len(data), size)
            data += self.call("read", sha256=sha256, offset=len(data), size=limits.CONSOLE_CHUNK_BYTES)[
                "data"
            ]
        if hashlib.sha256(data).digest() != sha256:
            raise IntegrityError("expected what the gateway announced, got other bytes; fetch it again")
        progress(size, size)
        return data

    # -- what takes more than one call -----------------------------------------------------------

    def set_time(self, utc_us: Callable[[], int]) -> dict[str, Any]:
        """Set the gateway's clock to ours.

        Args:
            utc_us: Our clock, microseconds since 1970.

        Returns:
            What the gateway says, and `uncertain_us`: half the time of the round trip.
        """
        before = utc_us()
        theirs = self.call("time")
        after = utc_us()
        zero_us = (before + after) // 2 - theirs["monotonic_us"]
        told: dict[str, Any] = self.call("set-time", zero_us=zero_us, boot=theirs["boot"])
        return {**told, "uncertain_us": (after - before) // 2, "utc": iso_time(told["utc_us"] / 1e6)}

    def configure(self, files: dict[str, Path], progress: Progress = nothing) -> dict[str, Any]:
        """Bring a configuration; it is checked there before it replaces anything."""
        hashes = {}
        for name, path in files.items():
            with path.open("rb") as stream:
                hashes[name] = self.send_file(stream, progress)
        return _table(self.call("config", files=hashes))

    def install(self, image: Path, progress: Progress = nothing) -> dict[str, Any]:
        """Bring a firmware image, and have it installed into the idle slot."""
        with image.open("rb") as stream:
            sha256 = self.send_file(stream, progress)
        return _table(self.call("image", sha256=sha256))

    def diagnostics(self, target: Path, progress: Progress = nothing) -> dict[str, Any]:
        """Fetch diagnostics into a file."""
        made = self.call("diagnostics")
        target.write_bytes(self.fetch(made["sha256"], made["size"], progress))
        return {"file": str(target), "size": made["size"], "names": made["names"]}


def _table(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise MalformedError(f"expected a table as answer, got {type(answer).__name__}")
    return answer
