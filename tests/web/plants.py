"""Two plants of two tenants: `unit-1` of plant-a and `unit-2` of plant-b, with samples, alarms and a gap."""

from __future__ import annotations

from pathlib import Path

from headquarters.lake.rollup import RollUps
from headquarters.tenancy.scope import Scope
from headquarters.views.sources import Sources
from protocols.batch import Stream
from protocols.records import EventRecord, Gap, GapCause, PointDefinition
from protocols.records.events import EventType
from protocols.samples import SampleBlock, ValueType
from tests.lake_parts import NOW, SECOND, T0, HandGateway, Headquarters

ALL = Scope(None)
PLANT_A = Scope(frozenset({"plant-a"}))
PLANT_B = Scope(frozenset({"plant-b"}))
NOTHING = Scope(frozenset())

BAD = 0x80000000
UNCERTAIN = 0x40000000

DEFINITIONS = (
    PointDefinition(1, "10LBA10CT001", ValueType.F64, "Cel", 1000, 0.0, 0.0, 600.0, "Live steam temperature"),
    PointDefinition(2, "10LBA10CP001", ValueType.F64, "bar", 1000, 0.0, 0.0, 200.0, "Live steam pressure"),
    PointDefinition(3, "10LBA10AA001", ValueType.TEXT, "", 1000, 0.0, None, None, "Valve position"),
)


def alarm(
    number: int, at_us: int, transition: str, state: str, source: str = "high", **more: object
) -> EventRecord:
    """One entry of an alarm's journal."""
    return EventRecord(
        at_us,
        EventType.ALARM,
        "steam",
        "unit",
        source,
        "Steam too hot",
        priority=1 if source == "high" else 3,
        transition=transition,
        state=state,
        value=601.5,
        number=number,
        **more,  # type: ignore[arg-type]
    )


def course(seconds: range, point: int = 1, period_us: int = SECOND) -> SampleBlock:
    """A saw-tooth with one spike, a sample each second."""
    values = [float(second % 100) for second in seconds]
    if 77 in seconds:
        values[seconds.index(77)] = 999.0
    times = [T0 + second * period_us for second in seconds]
    return SampleBlock.make(ValueType.F64, [point] * len(values), times, values)


class Plants:
    """A headquarters without a process, and the views' sources over it."""

    def __init__(self, folder: Path) -> None:
        self.one, self.two = HandGateway("unit-1", "plant-a"), HandGateway("unit-2", "plant-b")
        self.hq = Headquarters(folder / "hq", self.one, self.two)
        self.hq.now_us = NOW
        for gateway in (self.one, self.two):
            self.hq.take(
                gateway.meta(DEFINITIONS),
                gateway.open(),
                gateway.open(Stream.EVENT),
                gateway.data(course(range(10)), course(range(10), 2)),
            )
        self.hq.take(
            self.one.events(
                alarm(1, T0, "raised", "unacknowledged"),
                alarm(2, T0 + 1, "acknowledged", "acknowledged", operator="li", comment="seen"),
                alarm(3, T0 + 2, "raised", "unacknowledged", "low"),
                alarm(4, T0 + 3, "raised", "unacknowledged", "gone"),
                alarm(5, T0 + 4, "returned", "returned-unacknowledged", "gone"),
                alarm(6, T0 + 5, "acknowledged", "normal", "gone"),
            ),
            self.one.gaps(
                Gap(GapCause.PROCESS_DOWN, T0 + 20 * SECOND, T0 + 30 * SECOND, samples=20, detail="restart")
            ),
            self.two.events(alarm(1, T0, "raised", "unacknowledged")),
        )
        self.hq.take(self.one.data(course(range(30, 60))))
        self.sources = Sources(self.hq.settings, lambda: self.hq.now_us)

    def roll_up(self) -> None:
        """Bring the roll-ups up to the samples."""
        rolls = RollUps(self.hq.lake)
        while rolls.step():
            pass

    def series(self, name: str) -> int:
        """The number of a series, as `unit-1/NAME`."""
        gateway, _, point = name.partition("/")
        return next(
            found.series
            for found in self.sources.points().points
            if (found.gateway, found.name) == (gateway, point)
        )

    def close(self) -> None:
        """Let go of the lake."""
        self.sources.close()
