"""`catchment-edge console`: a gateway's provisioning console on a serial port, a process of its own.

It works while the gateway runs and while it does not, with a home that is bare or full. The line is
served here; calls are executed one after the other on a thread beside, so that a host knows all the
time that somebody is there.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.provision import console_config, console_reset
from edge_runtime.provision.console_calls import Console, Slots
from edge_runtime.provision.console_clock import SystemClock
from edge_runtime.provision.port import Line, LineError, SerialLine
from protocols.console.calls import Call, pack_answer, parse_call
from protocols.console.gateway import GatewayEnd
from protocols.daemon import EXIT_OK, EventLog, Stop
from protocols.errors import InputError, MalformedError

READ_S = 0.2
REOPEN_S = 0.5
"""From a port that is not there to looking for it again."""

CALLS_WAITING_MAX = 4
"""A host makes one call at a time; another host that took its place may find it under way."""


class Worker:
    """Executes calls on a thread of its own.

    Args:
        console: The calls.
        log: Told what was done.
    """

    def __init__(self, console: Console, log: EventLog) -> None:
        self._console = console
        self._log = log
        self._waiting: queue.Queue[tuple[int, Call]] = queue.Queue(CALLS_WAITING_MAX)
        self._done: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="calls", daemon=True).start()

    def take(self, session: int, message: bytes) -> None:
        """Queue a call; what is none, or too many, is dropped: its host will ask again."""
        try:
            self._waiting.put_nowait((session, parse_call(message)))
        except MalformedError as error:
            self._log.warning("console-call-refused", reason=str(error))
        except queue.Full:
            self._log.warning("console-call-refused", reason="too many calls at once")

    def answers(self) -> list[tuple[int, bytes]]:
        """Answers since the last call, each with its session."""
        found = []
        while True:
            try:
                found.append(self._done.get_nowait())
            except queue.Empty:
                return found

    def _run(self) -> None:
        while True:
            session, call = self._waiting.get()
            answer = self._console.answer(call)
            if not answer.ok:
                self._log.warning("console-call-refused", call=call.name, reason=str(answer.result))
            elif call.name not in ("piece", "read"):
                self._log.info("console-call-done", call=call.name)
            self._done.put((session, pack_answer(answer)))


def serve(open_line: Callable[[], Line], worker: Worker, log: EventLog, stop: Stop) -> None:
    """Serve a port, opened again whenever it goes away, until a stop is asked for."""
    end = GatewayEnd()
    said = ""
    while not stop.asked:
        try:
            line = open_line()
        except LineError as error:
            if str(error) != said:
                said = str(error)
                log.warning("console-port-away", reason=said)
            stop.wait(REOPEN_S)
            continue
        said = ""
        log.info("console-port-open")
        try:
            _serve_line(line, end, worker, stop)
        except LineError as error:
            log.warning("console-port-away", reason=str(error))
        finally:
            line.close()


def _serve_line(line: Line, end: GatewayEnd, worker: Worker, stop: Stop) -> None:
    while not stop.asked:
        data = line.read(READ_S)
        for session, packed in worker.answers():
            end.send(session, packed)
        answer = end.receive(data, time.monotonic()) if data else b""
        for message in end.messages():
            worker.take(end.session, message)
        if answer:
            line.write(answer)


def run(device: str, baud: int, home: Path, root: Path | None, *, may_set_clock: bool) -> int:
    """Serve a gateway's serial port until SIGTERM or Ctrl-C. Returns the exit code.

    Raises:
        StoreError: The disk failed.
        InputError: A reset was cut and cannot be finished, because the gateway runs.
    """
    home.mkdir(parents=True, exist_ok=True)
    log = EventLog()
    finish_what_was_cut(home, log)
    console = Console(home, SystemClock(may_set_clock), _slots(root) if root else None)
    stop = Stop()
    stop.on_signals()
    log.info("console-started", device=device, baud=baud, home=str(home))
    serve(lambda: SerialLine(device, baud), Worker(console, log), log, stop)
    log.info("console-stopped")
    return EXIT_OK


def finish_what_was_cut(home: Path, log: EventLog) -> None:
    """Do what a power cut left half done."""
    try:
        if console_reset.finish(home):
            log.info("console-reset-finished")
        elif console_config.finish(home):
            log.info("console-config-finished")
    except InputError as error:
        log.warning("console-reset-waits", reason=str(error))


def _slots(root: Path) -> Slots:
    """The machine's slots; imported only where there are some."""
    from edge_runtime import slots
    from edge_runtime.slots.show import fields

    def install(image: Path) -> dict[str, Any]:
        installed = slots.install(root, image)
        return {"slot": installed.slot, "firmware": installed.firmware.name, "good": installed.good}

    return Slots(install, lambda: fields(root, slots.state(root)))
