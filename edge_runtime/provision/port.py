"""A serial port, opened again after its cable was pulled; the one place that needs pyserial."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

import serial

from protocols.errors import DeviceError, InputError, Problem

BAUD = 115_200
BAUDS = (9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)

READ_BYTES_MAX = 4096


class LineError(DeviceError):
    """The port is not there, or went away."""


class Line(Protocol):
    """Bytes both ways."""

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes at most so long; give what is there.

        Raises:
            LineError: The port went away.
        """

    def write(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            LineError: The port went away, or takes nothing.
        """

    def close(self) -> None:
        """Let others have it."""


class SerialLine:
    """A port of this machine.

    Args:
        device: Its name, such as `/dev/ttyUSB0` or `COM3`.
        baud: Bits a second.

    Raises:
        LineError: It cannot be opened.
    """

    def __init__(self, device: str, baud: int = BAUD) -> None:
        self.device = device
        try:
            self._port = serial.Serial(device, baud, timeout=0, write_timeout=10, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            reason = getattr(error, "strerror", None) or str(error)
            raise LineError(
                f"{device}: {reason}; expected a serial port that this user may open and nobody else has"
            ) from error

    def read(self, timeout_s: float) -> bytes:
        """See `Line`."""
        try:
            self._port.timeout = max(0.0, timeout_s)
            first: bytes = self._port.read(1)
            if not first:
                # Some systems tell of a cable that was pulled only by the node's absence.
                if os.name == "posix" and not Path(self.device).exists():
                    raise LineError(f"{self.device}: the port went away")
                return b""
            self._port.timeout = 0
            rest: bytes = self._port.read(READ_BYTES_MAX)
        except OSError as error:
            raise LineError(f"{self.device}: the port went away ({error})") from error
        return first + rest

    def write(self, data: bytes) -> None:
        """See `Line`."""
        try:
            self._port.write(data)
        except OSError as error:
            raise LineError(f"{self.device}: the port takes nothing ({error})") from error

    def close(self) -> None:
        """See `Line`."""
        with contextlib.suppress(OSError):
            self._port.close()


def check_baud(baud: int) -> int:
    """A baud rate that ports know.

    Raises:
        InputError: Another one.
    """
    if baud not in BAUDS:
        known = ", ".join(str(each) for each in BAUDS)
        raise InputError([Problem("command line", "--baud", str(baud), f"one of {known}")])
    return baud
