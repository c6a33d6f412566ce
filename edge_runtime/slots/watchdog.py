"""The machine's hardware watchdog, and the service manager's.

Rules:
1. The hardware watchdog is fed by the supervisor's own loop, so that it bites when the machine or
   the supervisor stands still; a program that stands still is the supervisor's to judge.
2. It is opened only where it was asked for: from then on a supervisor that dies resets the machine.
3. At a clean stop it is disarmed, where the driver allows (`V`, magic close).

Source: Linux kernel, Documentation/watchdog/watchdog-api; sd_notify(3).
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

FEED_S = 2.0
"""How often it is fed; drivers commonly bite after 10 to 60 seconds."""

_GET_BOOT_STATUS = 0x80045702
"""WDIOC_GETBOOTSTATUS: why the machine was reset last."""

_CARD_RESET = 0x0020
"""WDIOF_CARDRESET: the watchdog did it."""


class Watchdog:
    """A watchdog device, or none.

    Args:
        device: Such as /dev/watchdog; `None`, or one that is not there, is fed in vain.
    """

    def __init__(self, device: Path | None) -> None:
        self._descriptor: int | None = None
        self._fed_at = float("-inf")
        self.reset_the_machine = False
        """Whether the hardware says that its watchdog made the last reset."""
        self.trouble = ""
        """Why it cannot be used; empty when it can, or when there is none."""
        if device is None or not device.exists():
            return
        try:
            self._descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            self.trouble = f"{device}: {error.strerror}; stop what else feeds it, or run as a user that may"
            return
        with suppress(OSError):  # not every driver tells
            answer = fcntl.ioctl(self._descriptor, _GET_BOOT_STATUS, bytes(4))
            self.reset_the_machine = bool(int.from_bytes(answer, "little") & _CARD_RESET)

    @property
    def armed(self) -> bool:
        """Whether there is one to feed."""
        return self._descriptor is not None

    def feed(self, now: float) -> None:
        """Feed it, if it is time."""
        if self._descriptor is not None and now - self._fed_at >= FEED_S:
            self._fed_at = now
            with suppress(OSError):  # one that fails bites
                os.write(self._descriptor, b"\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disarm it after a clean end; after another one it is left to bite."""
        if self._descriptor is not None:
            if kind is None:
                with suppress(OSError):
                    os.write(self._descriptor, b"V")
            os.close(self._descriptor)
            self._descriptor = None


class Manager:
    """The service manager, when it listens.

    Args:
        environment: Usually `os.environ`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._fed_at = float("-inf")

    def tell(self, message: str) -> None:
        """Tell something, such as READY=1; nothing happens where nobody listens."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message.encode(), self._address)

    def feed(self, now: float, status: str) -> None:
        """Say that all is alive, if it is time."""
        if now - self._fed_at >= FEED_S:
            self._fed_at = now
            self.tell(f"WATCHDOG=1\nSTATUS={status}")
