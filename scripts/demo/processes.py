"""Child processes that never outlive the demo.

Rules:
1. Each has a process group and a log file of its own; Ctrl-C reaches the demo alone.
2. When the demo dies, however it dies, the kernel kills them (PR_SET_PDEATHSIG).
3. `close` ends all of them, the last one started first.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

POLL_S = 0.05
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class DemoError(Exception):
    """The demo cannot go on; the message says why and where to look."""


class Child:
    """One process that may be killed and started again.

    Args:
        name: For people.
        command: Arguments, the program first.
        log: Its output is appended there.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: minus the signal that killed it; `None` before that."""
        return None if self._process is None else self._process.poll()

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, or start it again; `environment` is added to our own."""
        assert not self.running, self.name
        parent = os.getpid()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509 - the demo has one thread
            )
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL, as a power cut of the process would be."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def ask_to_stop(self) -> None:
        """SIGTERM; does not wait."""
        if self.running:
            assert self._process is not None
            self._process.terminate()

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return its exit code.

        Raises:
            DemoError: It does not end in time.
        """
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"{self.name} did not stop within {timeout_s:g} s; see {self.log}") from error

    def check(self) -> None:
        """See that it runs.

        Raises:
            DemoError: It ended; the message has the end of its log.
        """
        if self._process is not None and not self.running:
            raise DemoError(f"{self.name} ended with exit code {self._process.returncode}:\n{self.tail()}")

    def tail(self, lines: int = 8) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Children:
    """All processes of a demo, as a context that leaves none behind."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._all: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._all):
            if child.running:
                child.kill()

    def add(self, name: str, command: Sequence[str]) -> Child:
        """A process that is not started yet."""
        child = Child(name, command, self._logs / f"{name}.log")
        self._all.append(child)
        return child

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a process."""
        child = self.add(name, command)
        child.start()
        return child

    def describe(self) -> Mapping[str, dict[str, Any]]:
        """For `demo.json`."""
        return {
            child.name: {"pid": child.pid, "log": str(child.log), "command": list(child.command)}
            for child in self._all
        }


def wait_for(
    what: str,
    ready: Callable[[], bool],
    timeout_s: float,
    children: Sequence[Child] = (),
    every_s: float = POLL_S,
) -> None:
    """Wait until something is so.

    Args:
        what: For people.
        ready: Whether it is.
        timeout_s: Longest wait.
        children: Processes that must go on meanwhile.
        every_s: The pause between two looks; longer where a look takes long itself.

    Raises:
        DemoError: It does not come true in time, or one of the children ended.
    """
    give_up = time.monotonic() + timeout_s
    while not ready():
        for child in children:
            child.check()
        if time.monotonic() > give_up:
            tails = "\n".join(f"{child.name}:\n{child.tail()}" for child in children)
            raise DemoError(f"expected {what} within {timeout_s:g} s; the logs end so:\n{tails}")
        time.sleep(every_s)


def run(command: Sequence[str]) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        DemoError: It did not end with exit code 0.
    """
    return finish(command, (0,))[1]


def finish(command: Sequence[str], codes: Sequence[int]) -> tuple[int, str]:
    """Run a command to its end; returns its exit code and what it printed.

    Raises:
        DemoError: Another exit code than one of `codes`.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        shown = " ".join(command)
        raise DemoError(f"`{shown}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode, done.stdout


def program(name: str) -> str:
    """A command of this installation, `catchment-edge` for example.

    Raises:
        DemoError: It is not installed beside this Python.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise DemoError(f"expected {name} at {path}; run: make setup")
    return str(path)


def _die_with(parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)
