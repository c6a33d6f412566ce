"""One TCP connection to a Modbus device, and the requests that travel on it.

`_modbus_line` decides what is sent, and where to go on when an answer is late or lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from protocols.field._modbus_plan import Block
from protocols.field._modbus_write import WriteBlock
from protocols.field.backoff import Backoff
from protocols.field.base import DriverStatus
from protocols.samples import (
    BAD_CONFIGURATION_ERROR,
    BAD_DECODING_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_NOT_CONNECTED,
    BAD_NOT_SUPPORTED,
    BAD_RESOURCE_UNAVAILABLE,
)
from protocols.wire import modbus as wire

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


Asked = Block | WriteBlock
"""What one request asks for."""


class Exchange:
    """Requests that are asked for together, and what became of them."""

    __slots__ = ("blocks", "buffer", "done", "left", "offsets", "silent", "statuses")

    def __init__(
        self, blocks: Sequence[Asked], offsets: Sequence[int], buffer: bytearray, done: asyncio.Future[None]
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


class Request:
    """One block of an exchange, on its way."""

    __slots__ = ("attempts_left", "block", "deadline_s", "exchange", "index")

    def __init__(self, exchange: Exchange, index: int, attempts: int) -> None:
        self.exchange = exchange
        self.index = index
        self.block = exchange.blocks[index]
        self.attempts_left = attempts
        self.deadline_s = 0.0

    def settle(self, status: int) -> None:
        self.exchange.settle(self.index, status)


class RequestSource(Protocol):
    """What a connection works for: the line, as far as its connections see it."""

    settings: LineSettings
    status: DriverStatus

    def joined(self, connection: Connection) -> None: ...
    def left(self, connection: Connection, why: str) -> None: ...
    def next_request(self) -> Request | None: ...
    def again(self, request: Request) -> bool: ...
    def silent(self, request: Request) -> None: ...
    def answered(self, unit: int) -> None: ...


class Connection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, line: RequestSource, loop: asyncio.AbstractEventLoop, backoff: Backoff) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = loop.create_future()
        self._line = line
        self._loop = loop
        self._backoff = backoff
        self._frames = wire.FrameReader()
        self._in_flight: dict[int, Request] = {}
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
        """Called by asyncio: try again what was under way, where that is allowed, or say it is bad."""
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
            line.status.bytes_sent += sum(map(len, packets))

    def _pack(self, request: Request) -> bytes:
        transaction = self._transaction = (self._transaction + 1) & 0xFFFF
        request.attempts_left -= 1
        request.deadline_s = self._loop.time() + self._line.settings.timeout_s
        self._in_flight[transaction] = request
        if self._timer is None:
            self._timer = self._loop.call_at(request.deadline_s, self._expire)
        return request.block.pack(transaction)

    def _gap_over(self) -> None:
        self._gap = None
        self.pump()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: settle the requests that these bytes answer."""
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

    def _take(self, request: Request, frame: bytes) -> None:
        line, block = self._line, request.block
        line.status.responses += 1
        self._strangers = self._unanswered = 0
        try:
            payload = block.payload(frame)
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
            request.exchange.buffer[offset : offset + len(payload)] = payload
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
