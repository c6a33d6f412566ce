"""Modbus TCP: collects coils, discrete inputs and registers by polling; writes coils and holding registers.

The client is our own (`docs/decisions/0011-modbus-client.md`); nothing beyond numpy is
needed at run time. Addresses: `protocols.field._modbus_address`.

>>> MODBUS_TCP.expect("holding:100", FieldType.F32) is None
True
>>> MODBUS_TCP.expect("holding:100", FieldType.BOOL)
"the bit of the register, 0 to 15, such as 'holding:100.3'"
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from protocols.addresses import is_host
from protocols.errors import DeviceError, InputError, Problem
from protocols.field._modbus_address import Order, Span, parse
from protocols.field._modbus_connection import EXCEPTION_STATUS, LineSettings
from protocols.field._modbus_line import Line
from protocols.field._modbus_plan import Block, Bounds, ModbusGroup, halves
from protocols.field._modbus_write import unwritable, write_block
from protocols.field.base import (
    BrowsedNode,
    Capabilities,
    DriverContext,
    DriverStatus,
    FieldPoint,
    FieldType,
    Group,
    NotificationSink,
    Subscription,
)
from protocols.field.settings import Form, Kind, Setting, Settings
from protocols.samples import SampleBlock
from protocols.wire import modbus as wire

SPLIT_AGAIN_S = 60.0
"""A device that refuses every part of a request (it may be starting) is not taken apart again sooner."""

SPLIT_ROUNDS_MAX = 4
"""Halvings of a refused request, to sixteenths, before it is taken that the device refuses them all."""

_REFUSED = EXCEPTION_STATUS[wire.ILLEGAL_ADDRESS]

SETTINGS = (
    Setting(
        "host",
        Kind.TEXT,
        "Host name or IP address of the device.",
        required=True,
        low=1,
        high=253,
        form=Form(is_host, "a host name or an IP address of at most 253 characters, such as '10.0.0.7'"),
    ),
    Setting("port", Kind.INTEGER, "TCP port.", 502, low=1, high=65535),
    Setting("unit", Kind.INTEGER, "Unit id where an address names none.", 1, low=0, high=255),
    Setting("timeout_s", Kind.NUMBER, "How long to wait for an answer.", 1.0, low=0.01, high=60, unit="s"),
    Setting(
        "connect_timeout_s",
        Kind.NUMBER,
        "How long to wait for a connection.",
        3.0,
        low=0.01,
        high=60,
        unit="s",
    ),
    Setting("retries", Kind.INTEGER, "How often an unanswered request is repeated.", 1, low=0, high=10),
    Setting(
        "request_gap_ms", Kind.NUMBER, "Least time between two requests.", 0.0, low=0, high=10_000, unit="ms"
    ),
    Setting(
        "max_registers", Kind.INTEGER, "Most registers in one request.", 125, low=4, high=wire.REGISTERS_MAX
    ),
    Setting(
        "max_bits",
        Kind.INTEGER,
        "Most coils or discrete inputs in one request.",
        2000,
        low=1,
        high=wire.BITS_MAX,
    ),
    Setting(
        "max_gap",
        Kind.INTEGER,
        "Most registers that are read though nobody wants them, to save a request (16 times as many bits).",
        16,
        low=0,
        high=wire.REGISTERS_MAX,
    ),
    Setting(
        "address_base",
        Kind.INTEGER,
        "What the first register is called: 0, or 1 as in many manuals.",
        0,
        low=0,
        high=1,
    ),
    Setting(
        "word_order",
        Kind.TEXT,
        "Byte order where an address names none; ABCD is big-endian, CDAB has the low register first.",
        "ABCD",
        choices=tuple(order.value for order in Order),
    ),
    Setting("text_encoding", Kind.TEXT, "Encoding of texts, such as utf-8 or gbk.", "utf-8", low=1, high=32),
    Setting("connections", Kind.INTEGER, "TCP connections to share the requests.", 1, low=1, high=16),
    Setting(
        "pipeline_depth",
        Kind.INTEGER,
        "Unanswered requests a connection; many devices allow only one.",
        1,
        low=1,
        high=16,
    ),
    Setting(
        "degrade_failures",
        Kind.INTEGER,
        "Failures in a row after which a unit counts as silent.",
        3,
        low=1,
        high=100,
    ),
    Setting(
        "degrade_s", Kind.NUMBER, "How often a silent unit is asked again.", 5.0, low=0, high=3600, unit="s"
    ),
    Setting(
        "reconnect_first_s",
        Kind.NUMBER,
        "Longest first wait before a new connection.",
        0.5,
        low=0.01,
        high=60,
        unit="s",
    ),
    Setting(
        "reconnect_longest_s",
        Kind.NUMBER,
        "Longest wait before a new connection.",
        30.0,
        low=0.01,
        high=3600,
        unit="s",
    ),
)


class ModbusDriver:
    """One Modbus TCP device; `protocols.field.base.Driver`.

    Args:
        line: The conversation with it.
        bounds: What one request may ask.
        unit: The unit where an address names none.
        base: What the first register is called.
        order: The byte order where an address names none.
        encoding: The encoding of texts.
    """

    def __init__(self, line: Line, bounds: Bounds, unit: int, base: int, order: Order, encoding: str) -> None:
        self._line = line
        self._bounds = bounds
        self._unit = unit
        self._base = base
        self._order = order
        self._encoding = encoding

    @property
    def status(self) -> DriverStatus:
        """State and counters."""
        return self._line.status

    @property
    def capabilities(self) -> Capabilities:
        """Modbus is polled and has nothing to browse."""
        return Capabilities()

    async def connect(self) -> None:
        """Begin, and wait for the first attempt.

        Raises:
            DeviceError: It failed; the driver goes on trying.
        """
        await self._line.open()

    def plan(self, points: Sequence[FieldPoint]) -> list[Group]:
        """One group a unit, so that a silent unit holds up no other.

        Raises:
            InputError: Addresses that make no sense, all of them.
        """
        problems: list[Problem] = []
        placed: list[tuple[FieldPoint, Span]] = []
        for point in points:
            try:
                span = parse(point.address, point.type, self._unit, self._base, self._order)
                if span.function >= wire.READ_HOLDING and span.count > self._bounds.registers:
                    raise ValueError(f"at most {self._bounds.registers} registers (max_registers)")
                placed.append((point, span))
            except ValueError as error:
                problems.append(Problem("", f"point {point.id}, column address", point.address, str(error)))
        if problems:
            raise InputError(problems)
        placed.sort(key=lambda pair: pair[1].unit)
        groups: list[Group] = []
        for _, same in groupby(placed, key=lambda pair: pair[1].unit):
            of_unit = list(same)
            groups.append(
                ModbusGroup([p for p, _ in of_unit], [s for _, s in of_unit], self._bounds, self._encoding)
            )
        return groups

    async def read(self, group: Group, instant_us: int) -> list[SampleBlock]:
        """Read a planned group: every point once, stamped `instant_us`."""
        assert isinstance(group, ModbusGroup)
        buffer = bytearray(group.buffer_bytes)
        statuses = await self._line.exchange(group.blocks, group.offsets, buffer)
        if _REFUSED in statuses and self._line.context.monotonic() >= group.split_again_s:
            refused = [b for b, s in zip(group.blocks, statuses, strict=True) if s == _REFUSED]
            if await self._take_apart(group, refused):
                buffer = bytearray(group.buffer_bytes)
                statuses = await self._line.exchange(group.blocks, group.offsets, buffer)
        return group.decode(buffer, statuses, instant_us)

    async def _take_apart(self, group: ModbusGroup, refused: Sequence[Block]) -> bool:
        """Find which places of refused requests are at fault, and ask for those alone from now on.

        Returns:
            Whether the group is now read by other requests.
        """
        kept = [block for block in group.blocks if block not in refused]
        changed = False
        for block in refused:
            parts = await self._bisect(group, block)
            kept += parts
            changed = changed or parts != [block]
        if changed:
            group.arrange(kept)
        group.split_again_s = self._line.context.monotonic() + SPLIT_AGAIN_S
        return changed

    async def _bisect(self, group: ModbusGroup, block: Block) -> list[Block]:
        """The requests that replace a refused one: the block itself where none would be answered."""
        settled: list[Block] = []
        refused = [block]
        readable = False
        rounds = 0
        while refused and (readable or rounds < SPLIT_ROUNDS_MAX):
            rounds += 1
            split = [halves(group.spans, part, group.bounds) for part in refused]
            settled += [parts[0] for parts in split if len(parts) == 1]
            asked = [part for parts in split if len(parts) > 1 for part in parts]
            statuses = await self._ask(asked)
            refused = [part for part, status in zip(asked, statuses, strict=True) if status == _REFUSED]
            settled += [part for part, status in zip(asked, statuses, strict=True) if status != _REFUSED]
            readable = readable or 0 in statuses
        return settled + refused if readable else [block]

    async def _ask(self, blocks: Sequence[Block]) -> list[int]:
        """Whether these requests are answered; what with does not matter."""
        room = max((wire.payload_bytes(block.function, block.count) for block in blocks), default=0)
        return await self._line.exchange(blocks, [0] * len(blocks), bytearray(room))

    async def write(self, point: FieldPoint, value: float) -> None:
        """Write one value, once.

        Raises:
            DeviceError: The device refused, did not confirm, or is not connected.
            ValueError: Such a value cannot be written there.
        """
        span = parse(point.address, point.type, self._unit, self._base, self._order)
        await self._line.write(write_block(span, point.type, value))

    async def subscribe(
        self, points: Sequence[FieldPoint], sink: NotificationSink, period_s: float = 1.0
    ) -> Subscription:
        """Modbus has no subscriptions.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError("Modbus has no subscriptions; read its points in groups")

    async def browse(self, limit: int = 10_000) -> list[BrowsedNode]:
        """Modbus has nothing to browse.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError("a Modbus device does not say what it has; see its manual")

    async def close(self) -> None:
        """End all connections."""
        await self._line.close()


class ModbusTcp:
    """The kind of driver; `protocols.field.base.DriverType`."""

    name = "modbus-tcp"
    title = "Modbus TCP"
    maturity = "peer-tested"
    settings = SETTINGS

    def expect(self, address: str, type: FieldType) -> str | None:
        """What was expected instead of this address, or `None` when it is right."""
        try:
            parse(address, type, 1, 0, Order.ABCD)
        except ValueError as error:
            return str(error)
        return None

    def writable(self, address: str, type: FieldType) -> str | None:
        """What was expected instead of this address to write to it, or `None`."""
        return unwritable(parse(address, type, 1, 0, Order.ABCD), type)

    def places(self, address: str, type: FieldType, settings: Settings) -> frozenset[str]:
        """The coil, or every bit of the registers, that a write changes."""
        order = Order(settings.text("word_order"))
        span = parse(address, type, settings.integer("unit"), settings.integer("address_base"), order)
        device = f"{settings.text('host')}:{settings.integer('port')} {span.unit}!{span.function}:"
        numbers = range(span.start, span.start + span.count)
        if span.function < wire.READ_HOLDING:
            return frozenset(f"{device}{number}" for number in numbers)
        bits = range(16) if span.bit is None else [span.bit]
        return frozenset(f"{device}{number}.{bit}" for number in numbers for bit in bits)

    def check(self, settings: Settings) -> list[tuple[str, str]]:
        """Settings that are right alone and wrong together: name, and what was expected."""
        wrong = []
        try:
            "x".encode(settings.text("text_encoding"))
        except (LookupError, UnicodeError):
            wrong.append(("text_encoding", "an encoding that Python knows, such as utf-8 or gbk"))
        if settings.number("reconnect_longest_s") < settings.number("reconnect_first_s"):
            wrong.append(("reconnect_longest_s", "at least reconnect_first_s"))
        return wrong

    def create(self, settings: Settings, context: DriverContext) -> ModbusDriver:
        """Make a driver."""
        line = LineSettings(
            host=settings.text("host"),
            port=settings.integer("port"),
            connections=settings.integer("connections"),
            depth=settings.integer("pipeline_depth"),
            timeout_s=settings.number("timeout_s"),
            connect_timeout_s=settings.number("connect_timeout_s"),
            retries=settings.integer("retries"),
            request_gap_s=settings.number("request_gap_ms") / 1000,
            degrade_failures=settings.integer("degrade_failures"),
            degrade_s=settings.number("degrade_s"),
            reconnect_first_s=settings.number("reconnect_first_s"),
            reconnect_longest_s=settings.number("reconnect_longest_s"),
        )
        bounds = Bounds(
            settings.integer("max_registers"), settings.integer("max_bits"), settings.integer("max_gap")
        )
        return ModbusDriver(
            Line(line, DriverStatus(), context),
            bounds,
            settings.integer("unit"),
            settings.integer("address_base"),
            Order(settings.text("word_order")),
            settings.text("text_encoding"),
        )


MODBUS_TCP = ModbusTcp()
