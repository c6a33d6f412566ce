"""The program of a slot as a process: started, watched, asked to stop, killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edge_runtime.slots.machine import interpreter
from edge_runtime.slots.run import SUPERVISOR


def command(slot: Path, python: str, arguments: Sequence[str]) -> list[str]:
    """How a program of a slot is called."""
    program = interpreter(python) or f"python{python[2]}.{python[3:]}"
    return [program, "-I", "-S", "-B", str(slot / "run.py"), *arguments]


def environment() -> dict[str, str]:
    """What it finds set: what we find, and that it ends with us."""
    own = {
        name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")
    }
    return {**own, SUPERVISOR: str(os.getpid())}


class Child:
    """A running program.

    Args:
        slot: Its slot's name, for who asks.
        command: What to run.
        directory: Where it runs.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, slot: str, command: Sequence[str], directory: Path) -> None:
        self.slot = slot
        self._process = subprocess.Popen(  # noqa: S603 - the interpreter and a launcher of our own
            command, cwd=directory, env=environment(), stdin=subprocess.DEVNULL, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ended(self) -> str:
        """How it ended, in words; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        return f"exit code {code}" if code >= 0 else f"{signal.Signals(-code).name}"

    def ask(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it, with all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            self._process.kill()

    def memory_bytes(self) -> int:
        """What it has in RAM; 0 where `/proc` does not say."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGESIZE")
