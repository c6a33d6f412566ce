"""Commands inside a running gateway: joins the journal, what can be done, and the ways in.

What is used only when a command comes, or when there is an upstream to ask, is imported then: a
gateway that waits takes half a megabyte less.

The ways in are the upstream (`CommandLink`), the control door and the status page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.clock import GatewayClock
from edge_runtime.commands.alarmwork import alarm_acts
from edge_runtime.commands.executor import Act, Executor
from edge_runtime.commands.fieldwork import FieldWork
from edge_runtime.commands.hqtime import Clocks, HeadquartersTime
from edge_runtime.commands.journal import FILE, Journal, entry_fields
from edge_runtime.commands.judge import Why
from edge_runtime.commands.loglines import log_lines
from edge_runtime.commands.outcome import DONE, Outcome, Part, RefusedError
from edge_runtime.config import GatewayConfig
from edge_runtime.control import Command as DoorCommand
from edge_runtime.devicewrites import DeviceWrites, Result
from protocols.calls import Calls
from protocols.daemon import EventLog
from protocols.errors import MalformedError
from protocols.field.base import Driver
from protocols.identity import VerifyKey
from protocols.records import Command
from protocols.records.commands import Argument

if TYPE_CHECKING:
    from edge_runtime.commands.filework import FileWork
    from edge_runtime.commands.link import CommandLink
    from edge_runtime.commands.outbox import Outbox
    from edge_runtime.commands.pointwork import PointWork

DOOR_WAIT_S = 2.0
"""How long a client of the door waits for an outcome at once: others wait behind it."""


class Surroundings(NamedTuple):
    """What of the gateway commands reach into.

    Args:
        drivers: By device.
        devices: Takes orders to write.
        owners: For each point id that an app writes, the app.
        manager: The alarms, and the journal of events.
        status: What the gateway says of itself now.
        begin_anew: Ends the session so that another begins.
        refresh: Asks for a newer desired state now; `None` where a gateway has none.
    """

    drivers: Mapping[str, Driver]
    devices: DeviceWrites
    owners: Mapping[int, str]
    manager: AlarmManager
    status: Callable[[], dict[str, Any]]
    begin_anew: Callable[[str], None]
    refresh: Callable[[], None] | None = None


class CommandService:
    """The commands of one session of the gateway.

    Args:
        config: The gateway's.
        around: What they reach into.
        clock: Gateway time.
        log: For what goes wrong; its newest lines can be fetched.

    Raises:
        StoreError: The journal cannot be opened.
    """

    def __init__(
        self, config: GatewayConfig, around: Surroundings, clock: GatewayClock, log: EventLog
    ) -> None:
        self._config = config
        self._around = around
        self._log = log
        self._journal, aside = Journal.begin_at(config.data / FILE, clock.now_us())
        if aside is not None:
            log.error("commands-set-aside", file=str(aside))
        headquarters = config.headquarters
        verifier = None if headquarters is None else VerifyKey(headquarters.signing)
        self._time = HeadquartersTime(Clocks(clock.stamp, clock.now_us, clock.monotonic_us), verifier)
        self._now_us = clock.now_us
        self._field = FieldWork(around.drivers, around.devices, clock.now_us)
        self.executor = Executor(
            config.id,
            self._journal,
            around.manager,
            self._acts(),
            verifier,
            self._time.now,
            clock.now_us,
            log,
        )
        self.link: CommandLink | None = None
        self.executor.recover()

    def make_link(self, upward: Calls, wait: Callable[[float], object]) -> CommandLink:
        """What fetches commands from an upstream; a thread steps it."""
        from edge_runtime.commands.link import CommandLink

        self._outbox.sweep()
        self.link = CommandLink(
            upward, self.executor, self._journal, self._outbox, self._time, self._log, wait
        )
        return self.link

    def start(self) -> None:
        """Begin, in the loop in which the drivers run."""
        self._field.start()

    def wrote(self, result: Result) -> None:
        """Take what became of an order of ours."""
        self._field.wrote(result)

    def stop(self) -> None:
        """Let nothing wait any longer for devices."""
        self._field.stop()
        self.executor.wake()

    def close(self) -> None:
        """Close the journal; nothing else is called then."""
        self._journal.close()

    def status(self) -> dict[str, Any]:
        """For the status of the gateway."""
        return {
            "link": None if self.link is None else asdict(self.link.status),
            "trouble": self.executor.trouble,
            "latest": [entry_fields(entry) for entry in self.executor.latest(5)],
        }

    def log_lines(self) -> list[str]:
        """The gateway's log, the oldest line first."""
        return log_lines(self._config.log.directory, self._log.kept)

    # -- what can be done ----------------------------------------------------------------------

    def _acts(self) -> dict[str, Act]:
        return {
            **alarm_acts(self._around.manager, self._now_us),
            **{verb: self._with_points(verb) for verb in ("read", "select", "write")},
            **{verb: self._with_files(verb) for verb in ("logs", "diagnostics")},
            "restart": self._restart,
            "refresh": self._refresh,
            "cancel": self._cancel,
        }

    def _with_points(self, verb: str) -> Act:
        def act(command: Command) -> Outcome:
            return self._points.acts[verb](command)

        return act

    def _with_files(self, verb: str) -> Act:
        def act(command: Command) -> Outcome:
            return self._files.acts[verb](command)

        return act

    @cached_property
    def _points(self) -> PointWork:
        from edge_runtime.commands.pointwork import PointWork

        config = self._config
        return PointWork(
            {point.name: point for point in config.points},
            {grant.point: grant for grant in config.command_writes},
            self._around.owners,
            self._field,
            self._journal,
            self._now_us,
        )

    @cached_property
    def _files(self) -> FileWork:
        from edge_runtime.commands.filework import FileWork

        around = self._around
        return FileWork(
            self._config.home, self._outbox, self.log_lines, around.status, around.manager, self._journal
        )

    @cached_property
    def _outbox(self) -> Outbox:
        from edge_runtime.commands.outbox import Outbox

        return Outbox(self._config.data, self._config.id)

    def _restart(self, command: Command) -> Outcome:
        why = f"restart asked for by {command.requester}"
        return Outcome(DONE, "a new session begins", then=lambda: self._around.begin_anew(why))

    def _refresh(self, command: Command) -> Outcome:
        if self._around.refresh is None:
            raise RefusedError(Why.NOT_POSSIBLE, "this gateway has no desired state to fetch")
        self._around.refresh()
        return Outcome(DONE, "the desired state is asked for now; its own report tells what comes of it")

    def _cancel(self, command: Command) -> Outcome:
        which = command.arguments.get("command")
        try:
            nonce = bytes.fromhex(which) if isinstance(which, str) else b""
        except ValueError:
            nonce = b""
        if not nonce:
            raise RefusedError(Why.ARGUMENTS, "expected command: the hexadecimal name of one")
        return self.executor.call_off(nonce)

    # -- the control door ----------------------------------------------------------------------

    @property
    def door(self) -> dict[str, DoorCommand]:
        """Commands of the control door."""
        return {"command.give": self._give, "command.outcome": self._ask, "command.list": self._list}

    def _give(self, arguments: Mapping[str, Any]) -> object:
        verb, given, operator = (arguments.get(key) for key in ("verb", "arguments", "operator"))
        if not isinstance(verb, str) or not isinstance(given, dict):
            raise MalformedError("expected verb and arguments")
        if not isinstance(operator, str) or not operator.strip():
            raise MalformedError("expected operator: who does it")
        nonce = self.executor.give_here(verb, _tuples(given), operator)
        return self._outcome(nonce)

    def _ask(self, arguments: Mapping[str, Any]) -> object:
        try:
            nonce = bytes.fromhex(str(arguments.get("command", "")))
        except ValueError as error:
            raise MalformedError("expected command: the hexadecimal name of one") from error
        return self._outcome(nonce)

    def _list(self, arguments: Mapping[str, Any]) -> object:
        count = arguments.get("count", 50)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= 10_000:
            raise MalformedError("expected count: a number from 1 to 10000")
        return {"commands": [entry_fields(entry) for entry in self.executor.latest(count)]}

    def _outcome(self, nonce: bytes) -> dict[str, Any]:
        outcome = self.executor.outcome_here(nonce, DOOR_WAIT_S)
        if outcome is None:
            return {"command": nonce.hex(), "outcome": None}
        return outcome_fields(nonce, outcome)


def outcome_fields(nonce: bytes, outcome: Outcome) -> dict[str, Any]:
    """An outcome, for a machine."""
    return {
        "command": nonce.hex(),
        "outcome": outcome.outcome,
        "good": outcome.good,
        "text": outcome.text,
        "detail": dict(outcome.detail),
        "parts": [_part(part) for part in outcome.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    value = part.value
    return {
        "what": part.transition,
        "source": part.source,
        "text": part.text,
        "value": value if value is None or value - value == 0 else str(value),
        "detail": dict(part.detail),
    }


def _tuples(given: Mapping[str, Any]) -> dict[str, Argument]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
