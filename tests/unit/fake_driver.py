"""A driver without a device: its readings are the instants they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from protocols.errors import DeviceError
from protocols.field.base import (
    BrowsedNode,
    Capabilities,
    DriverStatus,
    FieldPoint,
    Group,
    NotificationSink,
    Subscription,
)
from protocols.samples import BAD_NO_COMMUNICATION, UNCERTAIN, SampleBlock, ValueType

S = 1_000_000


@dataclass
class FakeGroup:
    points: tuple[FieldPoint, ...]
    requests: int = 1


@dataclass
class FakeDriver:
    """A device whose readings are the instants they were asked for."""

    before: Callable[[int], Awaitable[None]] | None = None
    per_group: int = 100
    unreachable: bool = False
    subscribes: bool = False
    first_values: bool = True
    sink: NotificationSink | None = None
    status: DriverStatus = field(default_factory=DriverStatus)
    closed: int = 0
    written: list[tuple[int, float]] = field(default_factory=list)
    refuses: str = ""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(subscribe=self.subscribes)

    async def connect(self) -> None:
        if self.unreachable:
            await asyncio.sleep(20.0)
            raise DeviceError("nobody answers")

    def plan(self, points: Sequence[FieldPoint]) -> list[Group]:
        return [
            FakeGroup(tuple(points[i : i + self.per_group])) for i in range(0, len(points), self.per_group)
        ]

    async def read(self, group: Group, instant_us: int) -> list[SampleBlock]:
        if self.before is not None:
            await self.before(instant_us)
        ids = [point.id for point in group.points]
        if self.unreachable:
            return [
                SampleBlock.make(ValueType.F64, ids, [instant_us] * len(ids), [float("nan")] * len(ids),
                                 [BAD_NO_COMMUNICATION] * len(ids))
            ]  # fmt: skip
        return [SampleBlock.make(ValueType.F64, ids, [instant_us] * len(ids), [instant_us / S] * len(ids))]

    async def write(self, point: FieldPoint, value: float) -> None:
        if self.refuses:
            raise DeviceError(self.refuses)
        self.written.append((point.id, value))

    async def subscribe(
        self, points: Sequence[FieldPoint], sink: NotificationSink, period_s: float = 1.0
    ) -> Subscription:
        assert period_s == 1.0
        self.sink = sink
        if self.first_values:
            ids = [point.id for point in points]
            values = [0.0] * len(ids)
            sink.put([SampleBlock.make(ValueType.F64, ids, [0] * len(ids), values, [UNCERTAIN] * len(ids))])
        return FakeSubscription(tuple(points))

    async def browse(self, limit: int = 10_000) -> list[BrowsedNode]:
        return []

    async def close(self) -> None:
        self.closed += 1


@dataclass
class FakeSubscription:
    points: tuple[FieldPoint, ...]

    async def close(self) -> None:
        pass
