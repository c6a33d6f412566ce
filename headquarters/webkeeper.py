"""Keeps the web process running beside headquarters.

Rules:
1. One that ends is started again: at once the first time, then after pauses that double up to a
   minute; one that has run for a minute counts as well.
2. It ends with headquarters, however that ends: its standard input is ours, and ends with us.
3. What the web process does or does not do changes nothing of the data path.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from protocols.daemon import EventLog, Stop

PAUSE_S_MAX = 60.0
WELL_S = 60.0
LOOK_S = 0.5
END_S = 10.0
"""How long it may take to stop; streams end within a second, requests within five."""


class Pauses:
    """How long to wait before the next start. Pure.

    >>> pauses = Pauses()
    >>> [pauses.after(ran_s) for ran_s in (0.1, 0.1, 0.1, 100.0, 0.1)]
    [0.0, 1.0, 2.0, 0.0, 1.0]
    """

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, ran_s: float) -> float:
        """The pause after a run.

        Args:
            ran_s: How long it ran.
        """
        if ran_s >= WELL_S:
            self._next = 0.0
        pause, self._next = self._next, min(PAUSE_S_MAX, max(1.0, 2 * self._next))
        return pause


class WebKeeper(threading.Thread):
    """Starts and watches it.

    Args:
        home: The home of headquarters.
        level: Of this platform.
        stop: Asked, it ends.
        log: Told of starts and ends.
    """

    def __init__(self, home: Path, level: int, stop: Stop, log: EventLog) -> None:
        super().__init__(name="web")
        self._command = [
            sys.executable, "-m", "headquarters.cli", "--level", str(level),
            "serve", "--home", str(home.absolute()), "--until-eof",
        ]  # fmt: skip
        self._stop_asked = stop
        self._log = log
        self._pid: int | None = None
        self._starts = 0

    def describe(self) -> dict[str, Any]:
        """For the status."""
        return {"pid": self._pid, "starts": self._starts}

    def run(self) -> None:
        """Keep it running until a stop is asked for."""
        pauses = Pauses()
        while not self._stop_asked.asked:
            began = time.monotonic()
            code = self._once()
            pause_s = pauses.after(time.monotonic() - began)
            if not self._stop_asked.wait(0.0):
                self._log.error("web-ended", code=code, again_s=pause_s)
                self._stop_asked.wait(pause_s)

    def _once(self) -> int | None:
        """One run of it; its exit code, `None` when it could not be started."""
        try:
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE)  # noqa: S603 - our own command
        except OSError as error:
            self._log.error("web-not-started", error=str(error))
            return None
        self._pid, self._starts = process.pid, self._starts + 1
        try:
            while process.poll() is None and not self._stop_asked.wait(LOOK_S):
                pass
            if process.poll() is None:
                process.terminate()
            return process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self._pid = None
            if process.stdin is not None:
                process.stdin.close()
