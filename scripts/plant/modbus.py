"""A Modbus TCP server that knows what it said: values swap in one go, every answer is logged.

Only reading is served; every other function is refused with exception 1.

Rules:
1. All values change at once, between two answers: no answer mixes two ticks.
2. An answer is in the log before it is on the wire.

Source: MODBUS Application Protocol 1.1b3; MODBUS Messaging on TCP/IP 1.0b.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from scripts.plant.catalogue import Kind, PlantPoint
from scripts.plant.layout import TEXT_BYTES, Place, Table
from scripts.plant.model import RANGE_OF_KIND
from scripts.plant.unit import Array

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
REGISTERS_MAX = 125
BITS_MAX = 2000
_HEADER = struct.Struct(">HHHB")
_REQUEST = struct.Struct(">BHH")
_READ = struct.Struct("<qIBBHHH")
"""One record of `log.MODBUS_READ`."""

_WIRE = {
    Kind.F32: ">f4",
    Kind.F64: ">f8",
    Kind.INT32: ">i4",
    Kind.UINT32: ">u4",
    Kind.INT16: ">i2",
    Kind.UINT16: ">u2",
}

Banks = Mapping[tuple[int, int], bytes]
"""Per unit id and table: registers big-endian, or one byte a bit."""


class Encoder:
    """Turns held values into banks, a numpy assignment a kind and bank.

    Args:
        points: Numeric points first, then texts.
        where: Their places.
    """

    def __init__(self, points: Sequence[PlantPoint], where: Sequence[Place]) -> None:
        self._sizes: dict[tuple[int, Table], int] = {}
        rows: dict[tuple[tuple[int, Table], Kind], list[int]] = {}
        for index, (point, place) in enumerate(zip(points, where, strict=True)):
            bank = (place.unit, place.table)
            self._sizes[bank] = max(self._sizes.get(bank, 0), place.address + place.words)
            rows.setdefault((bank, point.kind), []).append(index)
        self._texts = sum(point.kind is Kind.STRING for point in points)
        self._numeric = len(points) - self._texts
        self._moves = [
            (bank, kind, np.array(indexes), np.array([where[i].address for i in indexes]))
            for (bank, kind), indexes in rows.items()
        ]

    def encode(self, held: Array, texts: Sequence[str]) -> Banks:
        """All banks as they are served from now on."""
        banks = {
            bank: np.zeros(size, np.uint8 if bank[1] in (Table.COIL, Table.DISCRETE) else np.dtype(">u2"))
            for bank, size in self._sizes.items()
        }
        for bank, kind, indexes, addresses in self._moves:
            if kind is Kind.BOOL:
                banks[bank][addresses] = held[indexes] != 0
                continue
            words = (
                _words(kind, held[indexes]) if kind is not Kind.STRING else self._text_words(indexes, texts)
            )
            banks[bank][addresses[:, None] + np.arange(words.shape[1])] = words
        return {(unit, int(table)): bank.tobytes() for (unit, table), bank in banks.items()}

    def _text_words(self, indexes: npt.NDArray[np.intp], texts: Sequence[str]) -> npt.NDArray[np.uint16]:
        padded = [texts[i - self._numeric].encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0") for i in indexes]
        return np.frombuffer(b"".join(padded), ">u2").reshape(len(indexes), -1)


def _words(kind: Kind, values: Array) -> npt.NDArray[np.uint16]:
    if kind in RANGE_OF_KIND:
        values = np.clip(values, *RANGE_OF_KIND[kind])
    return values.astype(_WIRE[kind]).view(">u2").reshape(len(values), -1)


def answer(banks: Banks, unit: int, pdu: bytes) -> tuple[bytes, tuple[int, int, int] | None]:
    """Answer one request.

    Returns:
        The response PDU and, when values were read, (table, address, count).
    """
    function = pdu[0]
    if function not in tuple(Table):
        return bytes((function | 0x80, ILLEGAL_FUNCTION)), None
    bits = function in (Table.COIL, Table.DISCRETE)
    if len(pdu) != _REQUEST.size:
        return bytes((function | 0x80, ILLEGAL_VALUE)), None
    _, address, count = _REQUEST.unpack(pdu)
    if not 1 <= count <= (BITS_MAX if bits else REGISTERS_MAX):
        return bytes((function | 0x80, ILLEGAL_VALUE)), None
    bank = banks.get((unit, function), b"")
    if (address + count) * (1 if bits else 2) > len(bank):
        return bytes((function | 0x80, ILLEGAL_ADDRESS)), None
    if bits:
        data = np.packbits(np.frombuffer(bank, np.uint8, count, address), bitorder="little").tobytes()
    else:
        data = bank[2 * address : 2 * (address + count)]
    return bytes((function, len(data))) + data, (function, address, count)


class ModbusServer:
    """Serves banks on one TCP port.

    Args:
        log_reads: Takes records of `log.MODBUS_READ`.
        now_us: Wall clock, microseconds.
    """

    def __init__(
        self, log_reads: Callable[[bytes], None], now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._log_reads = log_reads
        self.now_us = now_us
        self._banks: Banks = {}
        self._tick = 0
        self._silent_until_us = 0
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chose when `port` is 0."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, self._connections), host, port)
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    def show(self, banks: Banks, tick: int) -> None:
        """Serve these values from now on; `tick` is their number in the log."""
        self._banks, self._tick = banks, tick

    def silence(self, seconds: float) -> None:
        """Take requests and answer none for so long, as a hung device does."""
        self._silent_until_us = self.now_us() + int(seconds * 1e6)

    def drop(self) -> None:
        """Close every connection."""
        for connection in list(self._connections):
            connection.close()

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
            self.drop()
            await self._server.wait_closed()

    def respond(self, frame: bytes, client: int) -> bytes:
        """Answer one whole frame, and log what was read; nothing while silent."""
        transaction, _, _, unit = _HEADER.unpack_from(frame)
        now = self.now_us()
        if now < self._silent_until_us:
            return b""
        pdu, read = answer(self._banks, unit, frame[_HEADER.size :])
        if read is not None:
            table, address, count = read
            self._log_reads(_READ.pack(now, self._tick, unit, table, address, count, client))
        return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


class _Connection(asyncio.Protocol):
    def __init__(self, server: ModbusServer, connections: set[_Connection]) -> None:
        self._server = server
        self._connections = connections
        self._buffer = b""
        self._client = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._client = transport.get_extra_info("peername")[1]
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            _, protocol, length, _ = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 2 <= length <= 254:
                self._transport.close()
                return
            if len(self._buffer) < 6 + length:
                return
            frame, self._buffer = self._buffer[: 6 + length], self._buffer[6 + length :]
            self._transport.write(self._server.respond(frame, self._client))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
