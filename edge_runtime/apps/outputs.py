"""From what an app computes to what is written to devices. Pure.

Rules:
1. `Gate.admit` is the one way to an order: it asks for a grant of the gateway's settings for
   this instance and output, for the manifest's permission, and for a finite value in the range
   of the grant. What is sent lies within the range after rounding to a whole number, too; a
   device that holds single precision rounds the last of its seven digits.
2. A value is written when it differs from the one last ordered, as the first one after the
   start, and when the device has connected anew since. After a failed write the value of the
   next scan is written.
3. A value that is not good is not written: the device keeps what it has.
4. A refused value, and a failed write, is told when it begins and when it is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_runtime.apps.installed import Grant, InstalledApp
from edge_runtime.devicewrites import Order, Result
from edge_runtime.rawvalues import held, meant
from protocols.points import Point

GOOD = 0


class Admitted(NamedTuple):
    """A value that may be written.

    Args:
        point: Where.
        value: In the point's unit, as the device will have it.
        raw: What the device is sent.
    """

    point: Point
    value: float
    raw: float


class Gate:
    """Decides which values of an app may go to devices.

    Args:
        app: As it is installed.
    """

    def __init__(self, app: InstalledApp) -> None:
        self._allowed = frozenset(app.built.package.manifest.permissions.write)
        self._grants = {(grant.instance, grant.output): grant for grant in app.grants}

    def admit(self, instance: str, output: str, value: float) -> Admitted | str:
        """What to write where, or why nothing is.

        Args:
            instance: Of the app.
            output: Of the instance.
            value: What the app computed.
        """
        grant = self._grants.get((instance, output))
        if grant is None or output not in self._allowed:
            return "nothing grants it"
        if not math.isfinite(value) or not grant.low <= value <= grant.high:
            return f"expected {grant.low:g} to {grant.high:g}, got {value:g}"
        raw = raw_value(grant, value)
        if raw is None:
            return f"expected a value that the point's type {grant.point.type} holds, got {value:g}"
        return Admitted(grant.point, meant(grant.point, raw), raw)


def raw_value(grant: Grant, value: float) -> float | None:
    """The raw value that means a value at the device, or `None` when its type has none.

    Whole numbers are rounded to the nearest one that the grant allows.

    Args:
        grant: Names the point and its range.
        value: Within the range.
    """
    return held(grant.point, grant.low, grant.high, value)


class Said(NamedTuple):
    """Something to tell about a grant.

    Args:
        grant: Which one.
        kind: `written`, `write-refused`, `write-allowed`, `write-failed` or `write-recovered`.
        text: In words.
        value: That it is about, in the point's unit.
        raw: What the device was sent; `None` where nothing was.
        time_us: Of the scan.
    """

    grant: Grant
    kind: str
    text: str
    value: float
    raw: float | None
    time_us: int


class Decision(NamedTuple):
    """What one scan leads to."""

    orders: list[Order]
    said: list[Said]


@dataclass(slots=True)
class Counters:
    """Of one app.

    Args:
        writes: Values that devices confirmed.
        refused: Values that scans gave and the grant does not allow.
        failed: Writes that failed.
    """

    writes: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Channel:
    """One grant at work.

    Args:
        grant: The grant.
        raw: What was ordered last, or `None`.
        number: Of that order.
        waiting: Whether its result is still to come.
        failed: Whether it failed.
        since_us: Since when the device had been connected when it was last written.
        refusing: Why values are refused now, or empty.
        failing: Why writes fail now, or empty.
    """

    grant: Grant
    raw: float | None = None
    number: int = 0
    waiting: bool = False
    failed: bool = False
    since_us: int | None = None
    refusing: str = ""
    failing: str = ""

    def wants(self, raw: float, since_us: int | None) -> bool:
        """Whether a value is to be ordered."""
        if raw != self.raw:
            return True
        anew = since_us is not None and since_us != self.since_us
        return not self.waiting and (self.failed or anew)


@dataclass(slots=True)
class Outputs:
    """The granted outputs of one app.

    Args:
        app: As it is installed.
        since_us: Tells since when a device is connected.
    """

    app: InstalledApp
    since_us: Callable[[str], int | None]
    counters: Counters = field(default_factory=Counters)
    _gate: Gate = field(init=False)
    _channels: dict[tuple[str, str], _Channel] = field(init=False)

    def __post_init__(self) -> None:
        self._gate = Gate(self.app)
        self._channels = {(grant.instance, grant.output): _Channel(grant) for grant in self.app.grants}

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Instance and output of each grant: what `scan` is to be given."""
        return tuple(self._channels)

    def troubles(self) -> list[tuple[Grant, str]]:
        """The grants whose newest value is not at the device, and why; any thread may call it."""
        found = [(each.grant, each.refusing or each.failing) for each in self._channels.values()]
        return [(grant, why) for grant, why in found if why]

    def scan(self, time_us: int, cells: Sequence[tuple[float, int]]) -> Decision:
        """Take what a scan gave.

        Args:
            time_us: The scan.
            cells: Value and quality (0 to 2) for each of `names`.
        """
        decision = Decision([], [])
        for channel, (value, quality) in zip(self._channels.values(), cells, strict=True):
            if quality == GOOD:
                self._decide(channel, time_us, value, decision)
        return decision

    def _decide(self, channel: _Channel, time_us: int, value: float, decision: Decision) -> None:
        grant = channel.grant
        admitted = self._gate.admit(grant.instance, grant.output, value)
        if isinstance(admitted, str):
            self.counters.refused += 1
            if not channel.refusing:
                channel.refusing = admitted
                decision.said.append(Said(grant, "write-refused", admitted, value, None, time_us))
            return
        if channel.refusing:
            channel.refusing = ""
            text = "its values are within the grant again"
            decision.said.append(Said(grant, "write-allowed", text, value, None, time_us))
        if channel.wants(admitted.raw, self.since_us(grant.point.device)):
            channel.raw, channel.waiting, channel.failed = admitted.raw, True, False
            channel.number += 1
            who = (self.app.id, grant.instance, grant.output)
            order = Order(who, admitted.point, admitted.value, admitted.raw, time_us, channel.number)
            decision.orders.append(order)

    def done(self, result: Result) -> list[Said]:
        """Take what became of an order."""
        order, error = result.order, result.error
        channel = self._channels[order.who[1:]]
        if order.number == channel.number:
            channel.waiting = False
            channel.failed = bool(error)

        def say(kind: str, text: str) -> Said:
            return Said(channel.grant, kind, text, order.value, order.raw, order.time_us)

        if error:
            self.counters.failed += 1
            if channel.failing:
                return []
            channel.failing = error
            return [say("write-failed", error)]
        self.counters.writes += 1
        channel.since_us = result.since_us
        said = [say("written", f"{order.point.name} = {order.value:g}")]
        if channel.failing:
            channel.failing = ""
            said.append(say("write-recovered", "it can be written again"))
        return said
