"""Read now, and the two steps of a granted write.

Rules:
1. A point is written only where the gateway's own configuration grants it, and so does the desired
   document of a gateway that has one, within the range of the grant, and never one that an app writes.
2. First it is *selected*: the gateway says what the point is now and what it would become,
   and writes nothing. Then it is *written*: the same requester names that selection, the same
   point and the same value, within `SELECT_LIFE_US`; a selection serves once.

Source: select before operate, as IEC 60870-5-101, 7.2.6.26, and IEC 61850-7-2, clause 20, have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from edge_runtime import limits
from edge_runtime.commands.executor import Act
from edge_runtime.commands.fieldwork import EndedError, FieldWork
from edge_runtime.commands.journal import Journal
from edge_runtime.commands.judge import Why
from edge_runtime.commands.outcome import (
    DONE,
    FAILED,
    READ,
    SELECTED,
    UNKNOWN,
    WRITTEN,
    Outcome,
    Part,
    RefusedError,
)
from edge_runtime.config import WriteGrant
from edge_runtime.rawvalues import held, meant
from edge_runtime.testread import Reading, quality_name
from protocols.points import Point
from protocols.records import Command
from protocols.records.events import Scalar
from protocols.tomlfile import suggest

SELECT_LIFE_US = 300 * 1_000_000
"""A selection serves for five minutes: long enough to read it twice, too short to be forgotten."""


class PointWork:
    """What commands may do with points.

    Args:
        points: Of the gateway, by name.
        grants: What may be written, by the point's name.
        owners: For each point id that an app writes, the app.
        field: Reads and writes.
        journal: Knows what was selected.
        now_us: Gateway time.
    """

    def __init__(
        self,
        points: Mapping[str, Point],
        grants: Mapping[str, WriteGrant],
        owners: Mapping[int, str],
        field: FieldWork,
        journal: Journal,
        now_us: Callable[[], int],
    ) -> None:
        self._points = points
        self._grants = grants
        self._owners = owners
        self._field = field
        self._journal = journal
        self._now_us = now_us

    @property
    def acts(self) -> dict[str, Act]:
        """By verb."""
        return {"read": self.read, "select": self.select, "write": self.write}

    def read(self, command: Command) -> Outcome:
        """Read points fresh from their devices."""
        names = command.arguments.get("points")
        if not isinstance(names, tuple) or not 0 < len(names) <= limits.COMMAND_POINTS_MAX:
            expected = f"expected points: a list of 1 to {limits.COMMAND_POINTS_MAX} names"
            raise RefusedError(Why.ARGUMENTS, expected)
        found = self._field.read([self._point(name) for name in dict.fromkeys(names)])
        bad = sum(not reading.good for reading in found)
        text = f"{len(found)} points read" + (f", {bad} of them not good" if bad else "")
        outcome = FAILED if bad == len(found) else DONE
        return Outcome(
            outcome, text, {"points": len(found), "bad": bad}, [_read_part(each) for each in found]
        )

    def select(self, command: Command) -> Outcome:
        """Say what a write would do."""
        point, grant, value, raw = self._admit(command)
        [reading] = self._field.read([point])
        becomes = meant(point, raw)
        shown = _shown(reading)
        unit = f" {point.unit}" if point.unit else ""
        text = (
            f"{point.name} ({point.device} {point.address}) is {shown}{unit}; it would become "
            f"{becomes:.10g}{unit} (granted: {grant.low:g} to {grant.high:g})"
        )
        detail: dict[str, Scalar] = {
            **_numbers(point, value, raw),
            "now": reading.value if not isinstance(reading.value, float) else _finite(reading.value),
            "becomes": becomes,
            "low": grant.low,
            "high": grant.high,
        }
        return Outcome(SELECTED, text, detail)

    def write(self, command: Command) -> Outcome:
        """Write what was selected."""
        point, _, value, raw = self._admit(command)
        self._use_selection(command)
        detail = _numbers(point, value, raw)
        try:
            error = self._field.write(point, meant(point, raw), raw)
        except EndedError as ended:
            return Outcome(UNKNOWN, f"{point.name}: {ended}", dict(detail))
        if error:
            return Outcome(FAILED, f"{point.name}: {error}", dict(detail))
        part = Part(WRITTEN, point.name, f"{point.name} = {meant(point, raw):.10g}", meant(point, raw))
        return Outcome(DONE, f"{point.name} was written: {meant(point, raw):.10g}", dict(detail), [part])

    def _admit(self, command: Command) -> tuple[Point, WriteGrant, float, float]:
        """(point, grant, value, raw value) of what a command wants written.

        Raises:
            RefusedError: It may not, or cannot.
        """
        name, value = command.arguments.get("point"), command.arguments.get("value")
        if not isinstance(name, str) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RefusedError(Why.ARGUMENTS, "expected point and value: a name and a finite number")
        point = self._point(name)
        grant = self._grants.get(name)
        if grant is None:
            raise RefusedError(
                Why.NOT_GRANTED,
                f"expected [[command_write]] for {name} in gateway.toml, and in the desired document of a "
                f"gateway that enrolled; nothing grants it",
            )
        owner = self._owners.get(point.id)
        if owner is not None:
            raise RefusedError(Why.NOT_GRANTED, f"app {owner} writes {name}; two must not")
        if not grant.low <= value <= grant.high:
            raise RefusedError(
                Why.NOT_GRANTED, f"expected {grant.low:g} to {grant.high:g} for {name}, got {value:g}"
            )
        raw = held(point, grant.low, grant.high, float(value))
        if raw is None:
            expected = f"expected a value that {point.type}, the type of {name}, can hold, got {value:g}"
            raise RefusedError(Why.ARGUMENTS, expected)
        return point, grant, float(value), raw

    def _use_selection(self, command: Command) -> None:
        selected = command.arguments.get("selected")
        try:
            nonce = bytes.fromhex(selected) if isinstance(selected, str) else b""
        except ValueError:
            nonce = b""
        entry = self._journal.find(nonce)
        if entry is None or entry.command.verb != "select" or entry.outcome != SELECTED:
            raise RefusedError(
                Why.NOT_SELECTED, "expected the write to be selected first, and each selection to serve once"
            )
        before = entry.command
        for key in ("point", "value"):
            if before.arguments.get(key) != command.arguments.get(key):
                raise RefusedError(
                    Why.NOT_SELECTED, f"expected the {key} that was selected: {before.arguments.get(key)}"
                )
        if before.requester != command.requester:
            raise RefusedError(Why.NOT_SELECTED, f"expected {before.requester}, who selected it")
        if entry.ended_us is None or not 0 <= self._now_us() - entry.ended_us <= SELECT_LIFE_US:
            raise RefusedError(
                Why.NOT_SELECTED,
                f"expected a selection of the last {SELECT_LIFE_US // 60_000_000} minutes; select it again",
            )
        self._journal.use(nonce)

    def _point(self, name: object) -> Point:
        point = self._points.get(name) if isinstance(name, str) else None
        if point is None:
            expected = f"expected the name of a point, got {name!r:.80}; {suggest(str(name), self._points)}"
            raise RefusedError(Why.ARGUMENTS, expected)
        return point


def _numbers(point: Point, value: float, raw: float) -> dict[str, Scalar]:
    return {
        "point": point.name,
        "device": point.device,
        "address": point.address,
        "value": value,
        "raw": raw,
    }


def _read_part(reading: Reading) -> Part:
    value, name = reading.value, reading.point.name
    unit = f" {reading.point.unit}" if reading.point.unit else ""
    text = f"{_shown(reading)}{unit}" + (f" ({reading.error})" if reading.error else "")
    number = None if value is None or isinstance(value, str) else float(value)
    detail: dict[str, Scalar] = {
        "quality": reading.quality,
        "time_us": reading.time_us,
        "text": value if isinstance(value, str) else None,
    }
    return Part(READ, name, text, number, min(reading.quality >> 30, 2), detail)


def _shown(reading: Reading) -> str:
    value = reading.value
    if value is None:
        return f"not readable, {quality_name(reading.quality)}"
    shown = f"{value:.10g}" if isinstance(value, float) else str(value)
    return shown if reading.good else f"{shown} ({quality_name(reading.quality)})"


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
