"""A MicroPython board: the unix port behind a pseudo-terminal, with a disk that outlasts its power."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
import time
import tty
from pathlib import Path

INTERPRETER = Path(sys.executable).with_name("micropython")
INTERRUPT = b"\x03"
INTERRUPTS_S = 0.1
DEVICE = Path(__file__).with_name("device.py")


class BoardProcess:
    """Power is a process: it can be cut.

    Args:
        disk: The file with the board's disk.
    """

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self.pid = 0
        self.master = -1
        self.power_on()

    def __enter__(self) -> BoardProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()

    def power_on(self) -> None:
        """Start the board; `master` is the far end of its line."""
        self._told, tells = os.pipe()
        os.set_blocking(self._told, False)
        self._busy = False
        self._interrupted = 0.0
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            tty.setraw(0)
            os.dup2(tells, 3)
            os.execv(INTERPRETER, [str(INTERPRETER), "-X", "heapsize=512k", str(DEVICE), str(self._disk)])
        os.close(tells)
        os.set_blocking(self.master, False)

    def power_off(self) -> None:
        """Cut its power, whatever it does."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
            os.close(self.master)
            os.close(self._told)

    def cycle(self) -> None:
        """Off and on."""
        self.power_off()
        self.power_on()

    def take(self, data: bytes) -> None:
        """Bytes that come over its line. Ctrl-C interrupts what it executes."""
        if INTERRUPT in data:
            with contextlib.suppress(BlockingIOError):
                while said := os.read(self._told, 64):
                    self._busy = said.endswith(b"B")
            # A second signal before the first was taken would end the interpreter.
            if self._busy and time.monotonic() > self._interrupted + INTERRUPTS_S:
                self._interrupted = time.monotonic()
                os.kill(self.pid, signal.SIGINT)
        os.write(self.master, data)
