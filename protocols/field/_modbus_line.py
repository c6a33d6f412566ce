"""The conversation with one Modbus TCP device: connections, requests in flight, time-outs.

Rules:
1. Requests leave in the order they were asked for, over whichever connection is free; a
   connection has at most `depth` unanswered ones.
2. An answer belongs to the request whose transaction id it carries. Any other is dropped.
3. A read that is not answered in time is repeated `retries` times, then its unit counts one
   failure and the rest of that exchange for the unit fails at once. A write is sent once, and
   before the reads that wait.
4. A unit that failed `degrade_failures` times in a row is asked once every `degrade_s`
   only. A connection on which as many requests in a row went unanswered is made anew.
5. A stream that is not Modbus TCP ends the connection. Nothing a device sends raises.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

from protocols.errors import DeviceError
from protocols.field._modbus_connection import Asked, Connection, Exchange, LineSettings, Request
from protocols.field._modbus_write import WriteBlock
from protocols.field.backoff import Backoff, CircuitBreaker
from protocols.field.base import DriverContext, DriverEvent, DriverState, DriverStatus
from protocols.samples import BAD_NO_COMMUNICATION, BAD_NOT_CONNECTED, BAD_TIMEOUT


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
        self._queue: deque[Request] = deque()
        self._connections: list[Connection] = []
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
            connection = Connection(self, loop, backoff)
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

    def joined(self, connection: Connection) -> None:
        """A connection is up."""
        self.status.connects += 1
        if not self._connections:
            self.status.state = DriverState.CONNECTED
            self.status.connected_since_us = self.context.now_us()
            self.context.events(
                DriverEvent("device-connected", {"device": self.context.device, "peer": self._peer})
            )
        self._connections.append(connection)

    def left(self, connection: Connection, why: str) -> None:
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

    async def write(self, block: WriteBlock) -> None:
        """Send a request to write, once, and wait for what becomes of it.

        Raises:
            DeviceError: The device refused, did not confirm, or is not connected.
        """
        [status] = await self.exchange([block], [0], bytearray())
        if status == 0:
            self.status.writes += 1
            return
        self.status.writes_failed += 1
        if block.refused:
            raise DeviceError(f"{self._peer}: unit {block.unit} refused: {block.refused}")
        why = self.status.last_error or "not connected"
        if block.sent:
            raise DeviceError(f"{self._peer}: not confirmed, and perhaps written all the same: {why}")
        raise DeviceError(f"{self._peer}: not sent: {why}")

    async def exchange(self, blocks: Sequence[Asked], offsets: Sequence[int], buffer: bytearray) -> list[int]:
        """Ask for blocks; their data lands in `buffer` at `offsets`.

        Returns:
            A StatusCode for each block; 0 where its data arrived.
        """
        exchange = Exchange(blocks, offsets, buffer, asyncio.get_running_loop().create_future())
        if not blocks:
            return []
        if not self._connections:
            self.status.refused_fast += len(blocks)
            known = self.status.state in (DriverState.LOST, DriverState.CONNECTING)
            return [BAD_NO_COMMUNICATION if known else BAD_NOT_CONNECTED] * len(blocks)
        for index, block in enumerate(blocks):
            if isinstance(block, WriteBlock):
                self._queue.appendleft(Request(exchange, index, 1))
            else:
                self._queue.append(Request(exchange, index, 1 + self.settings.retries))
        for connection in list(self._connections):
            connection.pump()
        await exchange.done
        return exchange.statuses

    def next_request(self) -> Request | None:
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

    def again(self, request: Request) -> bool:
        """Queue a request once more, first of all, if it has an attempt left."""
        if request.attempts_left < 1 or request.exchange.done.done():
            return False
        self.status.retries += 1
        self._queue.appendleft(request)
        return True

    def silent(self, request: Request) -> None:
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


def _same(connection: Connection) -> Connection:
    return connection
