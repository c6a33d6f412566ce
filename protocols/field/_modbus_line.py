"""The conversation with one Modbus TCP device: connections, requests in flight, time-outs.

Rules:
1. Requests leave in the order they were asked for, over whichever connection is free; a
   connection has at most `depth` unanswered ones.
2. An answer belongs to the request whose transaction id it carries. Any other is dropped.
3. A request that is not answered in time is repeated `retries` times (they are all reads),
   then its unit counts one failure and the rest of that exchange for the unit fails at once.
4. A unit that failed `degrade_failures` times in a row is asked once every `degrade_s`
   only. A connection on which as many requests in a row went unanswered is made anew.
5. A stream that is not Modbus TCP ends the connection. Nothing a device sends raises.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from protocols.errors import DeviceError
from protocols.field._modbus_plan import Block
from protocols.field.backoff import Backoff, CircuitBreaker
from protocols.field.base import DriverContext, DriverEvent, DriverState, DriverStatus
from protocols.samples import (
    BAD_CONFIGURATION_ERROR,
    BAD_DECODING_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_NOT_CONNECTED,
    BAD_TIMEOUT,
)
from protocols.wire import modbus as wire

BAD_RESOURCE_UNAVAILABLE = 0x8004_0000
BAD_NOT_SUPPORTED = 0x803D_0000

EXCEPTION_STATUS = {
    wire.ILLEGAL_FUNCTION: BAD_NOT_SUPPORTED,
    wire.ILLEGAL_ADDRESS: BAD_NODE_ID_UNKNOWN,
    wire.ILLEGAL_VALUE: BAD_CONFIGURATION_ERROR,
    wire.DEVICE_FAILURE: BAD_DEVICE_FAILURE,
    wire.ACKNOWLEDGE: BAD_RESOURCE_UNAVAILABLE,
    wire.DEVICE_BUSY: BAD_RESOURCE_UNAVAILABLE,
    wire.MEMORY_PARITY: BAD_DEVICE_FAILURE,
    wire.GATEWAY_PATH: BAD_NO_COMMUNICATION,
    wire.GATEWAY_TARGET: BAD_NO_COMMUNICATION,
}
"""What a device's refusal means (Modbus V1.1b3, 7; OPC UA Part 6, A.2); others are device failures."""

STRANGERS_MAX = 16
"""Frames in a row that answer nothing before a connection is given up: late answers are few."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How to talk to the device; times in seconds."""

    host: str
    port: int
    connections: int = 1
    depth: int = 1
    timeout_s: float = 1.0
    connect_timeout_s: float = 3.0
    retries: int = 1
    request_gap_s: float = 0.0
    degrade_failures: int = 3
    degrade_s: float = 5.0
    reconnect_first_s: float = 0.5
    reconnect_longest_s: float = 30.0


class _Exchange:
    """Requests that are asked for together, and what became of them."""

    __slots__ = ("blocks", "buffer", "done", "left", "offsets", "silent", "statuses")

    def __init__(
        self, blocks: Sequence[Block], offsets: Sequence[int], buffer: bytearray, done: asyncio.Future[None]
    ) -> None:
        self.blocks = blocks
        self.offsets = offsets
        self.buffer = buffer
        self.statuses = [BAD_NOT_CONNECTED] * len(blocks)
        self.left = len(blocks)
        self.silent: set[int] = set()
        self.done = done

    def settle(self, index: int, status: int) -> None:
        self.statuses[index] = status
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class _Request:
    """One block of an exchange, on its way."""

    __slots__ = ("attempts_left", "block", "deadline_s", "exchange", "index")

    def __init__(self, exchange: _Exchange, index: int, attempts: int) -> None:
        self.exchange = exchange
        self.index = index
        self.block = exchange.blocks[index]
        self.attempts_left = attempts
        self.deadline_s = 0.0

    def settle(self, status: int) -> None:
        self.exchange.settle(self.index, status)


class Line:
    """All connections to one device, and the queue they serve.

    Args:
        settings: How to talk to it.
        status: The counters to keep.
        context: Name, clocks, randomness and the taker of events.
    """

    def __init__(self, settings: LineSettings, status: DriverStatus, context: DriverContext) -> None:
        self.settings = settings
        self.status = status
        self.context = context
        self._queue: deque[_Request] = deque()
        self._connections: list[_Connection] = []
        self._breakers: dict[int, CircuitBreaker] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._first: asyncio.Future[None] | None = None

    # -- connections -----------------------------------------------------------------

    async def open(self) -> None:
        """Begin to keep connections, and wait for the first attempt.

        Raises:
            DeviceError: It failed; further attempts follow.
        """
        if self.status.state is DriverState.CLOSED:
            raise DeviceError(f"{self._peer}: the driver is closed")
        if self._first is None:
            self.status.state = DriverState.CONNECTING
            self._first = asyncio.get_running_loop().create_future()
            self._keepers = [
                asyncio.create_task(self._keep(), name=f"modbus {self.context.device} {number}")
                for number in range(self.settings.connections)
            ]
        await asyncio.wait([self._first])
        if not self._connections:
            raise DeviceError(f"{self._peer}: {self.status.last_error or 'not connected'}")

    async def close(self) -> None:
        """End all connections; whoever waits gets bad quality."""
        self.status.state = DriverState.CLOSED
        self.status.connected_since_us = None
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers = []
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        ending = list(self._connections)
        for connection in ending:
            connection.abort("closed")
        if ending:
            await asyncio.wait([connection.lost for connection in ending])
        self._fail_queue(BAD_NOT_CONNECTED)

    async def _keep(self) -> None:
        """Keep one connection up."""
        settings = self.settings
        loop = asyncio.get_running_loop()
        backoff = Backoff(settings.reconnect_first_s, settings.reconnect_longest_s, self.context.random)
        while True:
            connection = _Connection(self, loop, backoff)
            try:
                async with asyncio.timeout(settings.connect_timeout_s):
                    await loop.create_connection(partial(_same, connection), settings.host, settings.port)
            except OSError as error:  # TimeoutError is one
                self.status.last_error = f"no connection: {str(error) or type(error).__name__}"
            if self._first is not None and not self._first.done():
                self._first.set_result(None)
            if connection.transport is not None:
                await asyncio.wait([connection.lost])
            await asyncio.sleep(backoff.next_s())

    @property
    def _peer(self) -> str:
        return f"{self.settings.host}:{self.settings.port}"

    def joined(self, connection: _Connection) -> None:
        """A connection is up."""
        self.status.connects += 1
        if not self._connections:
            self.status.state = DriverState.CONNECTED
            self.status.connected_since_us = self.context.now_us()
            self.context.events(
                DriverEvent("device-connected", {"device": self.context.device, "peer": self._peer})
            )
        self._connections.append(connection)

    def left(self, connection: _Connection, why: str) -> None:
        """A connection is gone, and with it the requests it had in flight."""
        if connection in self._connections:
            self._connections.remove(connection)
        if self.status.state is DriverState.CLOSED:
            self._fail_queue(BAD_NOT_CONNECTED)
            return
        self.status.disconnects += 1
        self.status.last_error = why
        if not self._connections:
            self.status.state = DriverState.LOST
            self.status.connected_since_us = None
            self._fail_queue(BAD_NO_COMMUNICATION)
            fields = {"device": self.context.device, "peer": self._peer, "why": why}
            self.context.events(DriverEvent("device-lost", fields))

    def _fail_queue(self, status: int) -> None:
        while self._queue:
            self._queue.popleft().settle(status)

    # -- requests --------------------------------------------------------------------

    async def exchange(self, blocks: Sequence[Block], offsets: Sequence[int], buffer: bytearray) -> list[int]:
        """Ask for blocks; their data lands in `buffer` at `offsets`.

        Returns:
            A StatusCode for each block; 0 where its data arrived.
        """
        exchange = _Exchange(blocks, offsets, buffer, asyncio.get_running_loop().create_future())
        if not blocks:
            return []
        if not self._connections:
            self.status.refused_fast += len(blocks)
            known = self.status.state in (DriverState.LOST, DriverState.CONNECTING)
            return [BAD_NO_COMMUNICATION if known else BAD_NOT_CONNECTED] * len(blocks)
        attempts = 1 + self.settings.retries
        self._queue.extend(_Request(exchange, index, attempts) for index in range(len(blocks)))
        for connection in list(self._connections):
            connection.pump()
        await exchange.done
        return exchange.statuses

    def next_request(self) -> _Request | None:
        """The next request that is worth sending, if any."""
        queue, now_s = self._queue, self.context.monotonic()
        while queue:
            request = queue.popleft()
            exchange, unit = request.exchange, request.block.unit
            if exchange.done.done():
                continue
            if unit in exchange.silent:
                self.status.refused_fast += 1
                request.settle(BAD_TIMEOUT)
                continue
            breaker = self._breakers.get(unit)
            if breaker is None or breaker.is_closed:
                return request
            if breaker.allows(now_s):
                request.attempts_left = 1
                return request
            self.status.refused_fast += 1
            request.settle(BAD_NO_COMMUNICATION)
        return None

    def answered(self, unit: int) -> None:
        """A unit said something that made sense."""
        breaker = self._breakers.get(unit)
        if breaker is not None:
            breaker.succeeded()

    def again(self, request: _Request) -> bool:
        """Queue a request once more, first of all, if it has an attempt left."""
        if request.attempts_left < 1 or request.exchange.done.done():
            return False
        self.status.retries += 1
        self._queue.appendleft(request)
        return True

    def silent(self, request: _Request) -> None:
        """A request was not answered at any attempt."""
        unit = request.block.unit
        settings = self.settings
        breaker = self._breakers.get(unit)
        if breaker is None:
            breaker = self._breakers[unit] = CircuitBreaker(settings.degrade_failures, settings.degrade_s)
        breaker.failed(self.context.monotonic())
        self.status.last_error = f"unit {unit} did not answer within {settings.timeout_s:g} s"
        request.exchange.silent.add(unit)
        request.settle(BAD_TIMEOUT)


def _same(connection: _Connection) -> _Connection:
    return connection


class _Connection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop, backoff: Backoff) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = loop.create_future()
        self._line = line
        self._loop = loop
        self._backoff = backoff
        self._frames = wire.FrameReader()
        self._in_flight: dict[int, _Request] = {}
        self._transaction = 0
        self._timer: asyncio.TimerHandle | None = None
        self._gap: asyncio.TimerHandle | None = None
        self._unanswered = 0
        self._strangers = 0
        self._why = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._line.joined(self)
        self.pump()

    def abort(self, why: str) -> None:
        """Give the connection up; `connection_lost` follows."""
        self._why = self._why or why
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        for timer in (self._timer, self._gap):
            if timer is not None:
                timer.cancel()
        requests = list(self._in_flight.values())
        self._in_flight.clear()
        for request in reversed(requests):
            if not self._line.again(request):
                request.settle(BAD_NO_COMMUNICATION)
        self._line.left(self, self._why or str(error or "the device closed the connection"))
        if not self.lost.done():
            self.lost.set_result(None)

    def pump(self) -> None:
        """Send what may be sent now."""
        line, transport = self._line, self.transport
        if self._gap is not None or transport is None or transport.is_closing():
            return
        packets = []
        while len(self._in_flight) < line.settings.depth:
            request = line.next_request()
            if request is None:
                break
            packets.append(self._pack(request))
            if line.settings.request_gap_s:
                self._gap = self._loop.call_later(line.settings.request_gap_s, self._gap_over)
                break
        if packets:
            transport.write(b"".join(packets))
            line.status.requests += len(packets)
            line.status.bytes_sent += 12 * len(packets)

    def _pack(self, request: _Request) -> bytes:
        transaction = self._transaction = (self._transaction + 1) & 0xFFFF
        request.attempts_left -= 1
        request.deadline_s = self._loop.time() + self._line.settings.timeout_s
        self._in_flight[transaction] = request
        if self._timer is None:
            self._timer = self._loop.call_at(request.deadline_s, self._expire)
        block = request.block
        return wire.read_request(transaction, block.unit, block.function, block.start, block.count)

    def _gap_over(self) -> None:
        self._gap = None
        self.pump()

    def data_received(self, data: bytes) -> None:
        line = self._line
        line.status.bytes_received += len(data)
        try:
            frames = self._frames.feed(data)
        except wire.FrameError as error:
            line.status.malformed += 1
            self.abort(f"not Modbus TCP: {error}")
            return
        for frame in frames:
            request = self._in_flight.pop(wire.transaction_of(frame), None)
            if request is not None:
                self._take(request, frame)
                continue
            line.status.unexpected += 1
            self._strangers += 1
            if self._strangers >= STRANGERS_MAX:
                self.abort(f"{STRANGERS_MAX} answers in a row to requests that were not made")
                return
        self.pump()

    def _take(self, request: _Request, frame: bytes) -> None:
        line, block = self._line, request.block
        line.status.responses += 1
        self._strangers = self._unanswered = 0
        try:
            start = wire.payload_start(frame, block.unit, block.function, block.count)
        except wire.RefusedError as refused:
            line.status.exceptions += 1
            request.settle(EXCEPTION_STATUS.get(refused.code, BAD_DEVICE_FAILURE))
        except wire.FrameError as error:
            line.status.malformed += 1
            line.status.last_error = f"unit {block.unit}: {error}"
            request.settle(BAD_DECODING_ERROR)
            return
        else:
            offset = request.exchange.offsets[request.index]
            request.exchange.buffer[offset : offset + len(frame) - start] = frame[start:]
            request.settle(0)
        self._backoff.reset()
        line.answered(block.unit)

    def _expire(self) -> None:
        """Deal with requests that are due; they are in the order they were sent."""
        self._timer = None
        now_s, line = self._loop.time(), self._line
        for transaction, request in list(self._in_flight.items()):
            if request.deadline_s > now_s:
                self._timer = self._loop.call_at(request.deadline_s, self._expire)
                break
            del self._in_flight[transaction]
            line.status.timeouts += 1
            if not line.again(request):
                self._unanswered += 1
                line.silent(request)
        if self._unanswered >= line.settings.degrade_failures:
            self.abort(f"{self._unanswered} requests in a row were not answered")
        else:
            self.pump()
