"""What a field driver is: the interface, and the words it shares with the gateway.

Rules every driver keeps, checked by one contract suite (`tests/contract/test_drivers.py`):

1. `read` gives every point of its group exactly once, stamped with the instant it was
   asked for. Device trouble is a quality, never an exception.
2. The blocks of a group, and their rows, have the same points in the same order each time,
   so that a caller may lay out its own columns once.
3. What fails, fails alone: a refused register or an unknown node marks only the points
   that needed it.
4. A silent device costs a bounded wait, then answers at once with bad quality until it
   comes back. Reconnecting, with jittered back-off, is the driver's own work.
5. Only a read is ever repeated by itself. A write is sent once or never: who wants it again asks again.
6. `close` may be called at any time and any number of times.

A driver runs in one asyncio loop. Clocks and randomness are handed in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from protocols.field.settings import Setting, Settings
from protocols.samples import SampleBlock, ValueType


class FieldType(StrEnum):
    """A point's type at the device, as the point table spells it."""

    BOOL = "bool"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    F32 = "f32"
    F64 = "f64"
    STRING = "string"

    @property
    def value_type(self) -> ValueType:
        """What a driver delivers for it: the raw value, unscaled.

        >>> FieldType.UINT16.value_type.name, FieldType.F32.value_type.name
        ('I64', 'F32')
        """
        return _VALUE_TYPES.get(self, ValueType.I64)


_VALUE_TYPES = {
    FieldType.BOOL: ValueType.BOOL,
    FieldType.F32: ValueType.F32,
    FieldType.F64: ValueType.F64,
    FieldType.STRING: ValueType.TEXT,
}


@dataclass(frozen=True, slots=True)
class FieldPoint:
    """One value at a device.

    Args:
        id: Local point id.
        address: Where it is, in the driver's notation.
        type: What it is there.
    """

    id: int
    address: str
    type: FieldType

    @property
    def value_type(self) -> ValueType:
        """The type of the block that its samples come in."""
        return self.type.value_type


class Group(Protocol):
    """Points that `plan` put together, to be read in one call."""

    @property
    def points(self) -> tuple[FieldPoint, ...]:
        """Every point of the group, in the order they were given to `plan`."""
        ...

    @property
    def requests(self) -> int:
        """Requests that one read of the group costs when all goes well."""
        ...


class DriverState(StrEnum):
    """Where a driver stands with its device."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(slots=True)
class DriverStatus:
    """A driver's state and counters since it was made; read it, do not write it.

    Args:
        state: Where it stands with its device.
        connected_since_us: Since when it is connected, or `None`.
        last_error: The last trouble, as a sentence; empty when there was none.
        connects: Connections that were made, the first included.
        disconnects: Connections that ended without being asked to.
        requests: Requests sent, repeats included.
        responses: Responses matched with a request, exceptions included.
        retries: Requests that repeat an earlier one.
        timeouts: Requests that were not answered in time.
        exceptions: Requests that the device refused.
        malformed: Frames or messages that made no sense.
        unexpected: Answers that no request was waiting for, such as late ones.
        refused_fast: Requests not sent, because the device is known to be silent.
        notifications: Values that came by subscription.
        writes: Values that the device confirmed to have taken.
        writes_failed: Values that it refused or did not confirm, or that could not be sent.
        bytes_sent: Bytes written to the device.
        bytes_received: Bytes read from the device.
    """

    state: DriverState = DriverState.IDLE
    connected_since_us: int | None = None
    last_error: str = ""
    connects: int = 0
    disconnects: int = 0
    requests: int = 0
    responses: int = 0
    retries: int = 0
    timeouts: int = 0
    exceptions: int = 0
    malformed: int = 0
    unexpected: int = 0
    refused_fast: int = 0
    notifications: int = 0
    writes: int = 0
    writes_failed: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Capabilities(NamedTuple):
    """What a driver, with the settings it was given, is to be used for.

    Args:
        subscribe: Values come by `subscribe`; call `read` only for a test.
        browse: `browse` works.
    """

    subscribe: bool = False
    browse: bool = False


class Lost(NamedTuple):
    """An interval in which changes of some points may have been lost.

    Args:
        points: Local point ids concerned.
        from_us: Last moment known to be complete, gateway time.
        to_us: Moment from which it is complete again, exclusive.
        why: One sentence for people.
    """

    points: tuple[int, ...]
    from_us: int
    to_us: int
    why: str


class NotificationSink(Protocol):
    """Who takes what a subscription delivers; `protocols.field.notifications` has one."""

    def put(self, blocks: Sequence[SampleBlock]) -> None:
        """Take notified values; `time` is when they arrived, `source_time` is the device's."""
        ...

    def down(self, at_us: int, quality: int) -> None:
        """No value can be trusted from `at_us` on, until it is notified anew."""
        ...

    def lost(self, lost: Lost) -> None:
        """Changes may be missing; called when the end of the interval is known."""
        ...


class Subscription(Protocol):
    """A live subscription; it survives reconnects until it is closed."""

    @property
    def points(self) -> tuple[FieldPoint, ...]:
        """What is subscribed."""
        ...

    async def close(self) -> None:
        """End it; may be called at any time and any number of times."""
        ...


class BrowsedNode(NamedTuple):
    """One variable that a device offers.

    Args:
        address: What to write in a point table to collect it.
        path: Names from the root down, joined by `/`.
        type: Its type, or `None` when it is none that can be collected.
        description: The device's own words, possibly empty.
    """

    address: str
    path: str
    type: FieldType | None
    description: str


class Driver(Protocol):
    """A connection to one device."""

    @property
    def status(self) -> DriverStatus:
        """State and counters."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What to use it for."""
        ...

    async def connect(self) -> None:
        """Begin, and wait for the first attempt; from then on connections are kept up.

        Raises:
            DeviceError: The first attempt failed. The driver goes on trying until `close`.
        """
        ...

    def plan(self, points: Sequence[FieldPoint]) -> list[Group]:
        """Arrange points into groups that are read with as few requests as allowed.

        Raises:
            InputError: Addresses that make no sense, all of them.
        """
        ...

    async def read(self, group: Group, instant_us: int) -> list[SampleBlock]:
        """Read a planned group: every point once, stamped `instant_us`."""
        ...

    async def write(self, point: FieldPoint, value: float) -> None:
        """Write one value, once, and wait a bounded time until the device has confirmed it.

        Writes to one device are asked for one after the other.

        Args:
            point: Where; `DriverType.writable` finds nothing wrong with it.
            value: A raw value (bool, int or float) that `protocols.field.writing.fault` lets pass.

        Raises:
            DeviceError: The device refused, is not connected, or did not confirm: the message says
                so where the value may have been written all the same.
            ValueError: Such a value cannot be written there.
        """
        ...

    async def subscribe(
        self, points: Sequence[FieldPoint], sink: NotificationSink, period_s: float = 1.0
    ) -> Subscription:
        """Have changes of these points delivered to `sink` until the subscription is closed.

        Returns at once, connected or not: `sink` is told how things stand.

        Args:
            points: What to subscribe.
            sink: Takes what comes.
            period_s: The scan period; the default where settings name no sampling interval.

        Raises:
            InputError: Addresses that make no sense, all of them.
            DeviceError: The driver cannot subscribe (`capabilities.subscribe` is false).
        """
        ...

    async def browse(self, limit: int = 10_000) -> list[BrowsedNode]:
        """List the variables of the device, at most `limit`.

        Raises:
            DeviceError: The device did not answer, or the driver cannot browse.
        """
        ...

    async def close(self) -> None:
        """End it and free what it holds."""
        ...


class DriverEvent(NamedTuple):
    """Something worth a log line.

    Args:
        name: A stable name: `device-connected`, `device-lost`, `device-certificate-made`.
        fields: What happened, ready to be logged; never a secret.
    """

    name: str
    fields: Mapping[str, object]


def _nobody(event: DriverEvent) -> None:
    """Take an event that nobody asked for."""


def _now_us() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class DriverContext:
    """What a driver is handed by its gateway.

    Args:
        device: The device's name in the configuration.
        gateway: The gateway's name, which also names its certificates.
        keys: Directory for private keys, or `None` where none may be kept.
        events: Takes log events.
        now_us: Gateway time, microseconds UTC.
        monotonic: Seconds that never jump.
        random: Numbers from 0 to 1, for jitter.
    """

    device: str = "device"
    gateway: str = "gateway"
    keys: Path | None = None
    events: Callable[[DriverEvent], None] = _nobody
    now_us: Callable[[], int] = _now_us
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = field(default_factory=lambda: random.Random().random)


class DriverType(Protocol):
    """A kind of driver: what the registry holds under a name."""

    @property
    def name(self) -> str:
        """The name in the configuration, such as `modbus-tcp`."""
        ...

    @property
    def title(self) -> str:
        """A short title for people."""
        ...

    @property
    def maturity(self) -> str:
        """`simulated`, `peer-tested` or `hardware-tested`."""
        ...

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What may be set in `[device.NAME]`."""
        ...

    def expect(self, address: str, type: FieldType) -> str | None:
        """What was expected instead of this address, or `None` when it is right."""
        ...

    def writable(self, address: str, type: FieldType) -> str | None:
        """What was expected instead of this address, which is right, to write to it; `None` if it may work.

        What only the device knows shows when it is written.
        """
        ...

    def places(self, address: str, type: FieldType, settings: Settings) -> frozenset[str]:
        """What a write to this address, which is right, changes: two that have a place in common collide.

        Args:
            address: As the operator wrote it.
            type: The point's type.
            settings: Of its device, complete.
        """
        ...

    def check(self, settings: Settings) -> list[tuple[str, str]]:
        """Settings that are right alone and wrong together: name, and what was expected."""
        ...

    def create(self, settings: Settings, context: DriverContext) -> Driver:
        """Make a driver from settings in which `registry.validate` found no problem."""
        ...
