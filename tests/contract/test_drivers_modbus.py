"""What only Modbus devices do to a driver: refusals, wrong answers, units behind a gateway."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from protocols.field.base import Driver, DriverContext, DriverEvent, DriverState, FieldPoint, FieldType, Group
from protocols.field.registry import create
from protocols.samples import (
    BAD,
    BAD_CONFIGURATION_ERROR,
    BAD_DECODING_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_NOT_SUPPORTED,
    BAD_RESOURCE_UNAVAILABLE,
    BAD_TIMEOUT,
)
from tests.contract.worlds import QUICK

Answer = Callable[[bytes], bytes]
"""From a request to what is sent back."""


def honest(request: bytes) -> bytes:
    """Registers that hold their own number."""
    transaction, _, _, unit, function, start, count = struct.unpack(">HHHBBHH", request)
    data = struct.pack(f">{count}H", *range(start, start + count))
    return struct.pack(">HHHBBB", transaction, 0, 3 + len(data), unit, function, len(data)) + data


def refused(request: bytes, code: int) -> bytes:
    return request[:4] + struct.pack(">HBBB", 3, request[6], request[7] | 0x80, code)


class Device:
    """A device that answers as `answer` says, and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[int, int, int]] = []
        self.at_once = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Device]:
        writers: list[asyncio.StreamWriter] = []
        tasks: list[asyncio.Task[None]] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            tasks.append(asyncio.create_task(self._serve(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in writers:
                writer.transport.abort()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            requests = [data[k : k + 12] for k in range(0, len(data), 12)]
            self.at_once = max(self.at_once, len(requests))
            for request in requests:
                unit, start, count = struct.unpack(">6xBxHH", request)
                self.asked.append((unit, start, count))
                writer.write(self.answer(request))
        writer.close()


@asynccontextmanager
async def collecting(
    answer: Answer, addresses: list[str], **settings: object
) -> AsyncIterator[tuple[Device, Driver, list[Group]]]:
    async with Device(answer).running() as device:
        given = {"host": "127.0.0.1", "port": device.port, **QUICK} | settings
        driver = create("modbus-tcp", given)
        try:
            await driver.connect()
            points = [FieldPoint(i, address, FieldType.UINT16) for i, address in enumerate(addresses)]
            yield device, driver, driver.plan(points)
        finally:
            await driver.close()


async def read(driver: Driver, groups: list[Group]) -> tuple[list[int], list[int]]:
    """Values and qualities in the order of the points' ids."""
    rows = []
    for group in groups:
        for block in await driver.read(group, 1_000_000):
            rows += list(zip(block.point.tolist(), block.value.tolist(), block.quality.tolist(), strict=True))
    rows.sort()
    return [value for _, value, _ in rows], [quality for *_, quality in rows]


@pytest.mark.parametrize(
    ("code", "quality"),
    (
        (1, BAD_NOT_SUPPORTED),
        (2, BAD_NODE_ID_UNKNOWN),
        (3, BAD_CONFIGURATION_ERROR),
        (4, BAD_DEVICE_FAILURE),
        (6, BAD_RESOURCE_UNAVAILABLE),
        (11, BAD_NO_COMMUNICATION),
        (99, BAD_DEVICE_FAILURE),
    ),
)
async def test_a_refusal_says_why_as_a_quality(code: int, quality: int) -> None:
    async with collecting(lambda request: refused(request, code), ["holding:0"]) as (_, driver, groups):
        assert await read(driver, groups) == ([0], [quality])
        assert driver.status.exceptions >= 1 and driver.status.state is DriverState.CONNECTED


async def test_bad_places_in_a_request_are_found_and_asked_for_alone_from_then_on() -> None:
    bad = {13, 14, 70}

    def answer(request: bytes) -> bytes:
        start, count = struct.unpack(">8xHH", request)
        return refused(request, 2) if bad & set(range(start, start + count)) else honest(request)

    addresses = [f"holding:{n}" for n in range(100)]
    async with collecting(answer, addresses) as (device, driver, groups):
        values, qualities = await read(driver, groups)
        assert values == [0 if n in bad else n for n in range(100)]
        assert [n for n in range(100) if qualities[n] >= BAD] == sorted(bad)
        device.asked.clear()
        assert await read(driver, groups) == (values, qualities)
        assert len(device.asked) == groups[0].requests < 20


async def test_a_device_that_refuses_everything_is_not_asked_for_each_place_at_every_scan() -> None:
    def refuse(request: bytes) -> bytes:
        return refused(request, 2)

    async with collecting(refuse, [f"holding:{n}" for n in range(100)]) as (device, driver, groups):
        await read(driver, groups)
        assert len(device.asked) < 40
        device.asked.clear()
        await read(driver, groups)
        assert len(device.asked) == 1
        device.answer = honest
        assert (await read(driver, groups))[0] == list(range(100))


async def test_an_answer_with_another_transaction_is_never_taken() -> None:
    def wrong(request: bytes) -> bytes:
        answer = bytearray(honest(request))
        answer[1] ^= 0x55
        return bytes(answer)

    async with collecting(wrong, ["holding:7"], timeout_s=0.1) as (device, driver, groups):
        assert await read(driver, groups) == ([0], [BAD_TIMEOUT])
        assert driver.status.unexpected >= 1
        device.answer = honest
        await asyncio.sleep(0.4)
        assert await read(driver, groups) == ([7], [0])


async def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    late: list[bytes] = []

    def answer(request: bytes) -> bytes:
        if not late:
            late.append(honest(request)[:-1] + b"\xff")
            return b""
        return late.pop() + honest(request) if late[0] else honest(request)

    async with collecting(answer, ["holding:7"], timeout_s=0.1) as (_, driver, groups):
        assert await read(driver, groups) == ([7], [0])
        assert (driver.status.retries, driver.status.unexpected) == (1, 1)


@pytest.mark.parametrize("spoil", ("unit", "function", "count", "short"))
async def test_an_answer_to_something_else_is_a_decoding_error(spoil: str) -> None:
    def wrong(request: bytes) -> bytes:
        answer = bytearray(honest(request))
        if spoil == "short":
            return bytes(answer[:4]) + struct.pack(">H", 4) + bytes(answer[6:10])
        answer[{"unit": 6, "function": 7, "count": 8}[spoil]] ^= 1
        return bytes(answer)

    async with collecting(wrong, ["holding:7"]) as (_, driver, groups):
        assert await read(driver, groups) == ([0], [BAD_DECODING_ERROR])
        assert driver.status.malformed == 1


@pytest.mark.parametrize("head", (b"\x00\x01\x00\x00\xff\xff\x01\x03", b"HTTP/1.1 400 Bad Request\r\n\r\n"))
async def test_a_stream_that_is_not_modbus_ends_the_connection_at_once(head: bytes) -> None:
    async with collecting(lambda _: head, ["holding:7"], timeout_s=5.0, retries=0) as (_, driver, groups):
        started = time.monotonic()
        assert await read(driver, groups) == ([0], [BAD_NO_COMMUNICATION])
        assert time.monotonic() - started < 1.0
        assert "not Modbus TCP" in driver.status.last_error


async def test_a_flood_of_answers_to_nothing_ends_the_connection() -> None:
    def flood(request: bytes) -> bytes:
        return b"".join(struct.pack(">HHHBBB", 999, 0, 3, 1, 0x83, 2) for _ in range(1000))

    async with collecting(flood, ["holding:7"], timeout_s=5.0, retries=0) as (_, driver, groups):
        assert await read(driver, groups) == ([0], [BAD_NO_COMMUNICATION])
        assert driver.status.unexpected < 100


async def test_a_silent_unit_does_not_take_the_others_along() -> None:
    def answer(request: bytes) -> bytes:
        return b"" if request[6] == 5 else honest(request)

    addresses = ["5!holding:1", "5!holding:500", "6!holding:7"]
    async with collecting(answer, addresses, timeout_s=0.1, retries=0) as (device, driver, groups):
        for _ in range(3):
            values, qualities = await read(driver, groups)
            assert values[2] == 7 and qualities[2] == 0
            assert all(quality >= BAD for quality in qualities[:2])
        assert len([unit for unit, *_ in device.asked if unit == 5]) <= 3
        assert driver.status.refused_fast >= 2 and driver.status.connects == 1


async def test_one_request_at_a_time_unless_told_otherwise() -> None:
    addresses = [f"holding:{n * 200}" for n in range(16)]
    expected = ([n * 200 for n in range(16)], [0] * 16)
    async with collecting(honest, addresses) as (device, driver, groups):
        assert await read(driver, groups) == expected
        assert device.at_once == 1
        assert [start for _, start, _ in device.asked] == expected[0]
    async with collecting(honest, addresses, pipeline_depth=8) as (device, driver, groups):
        assert await read(driver, groups) == expected
        assert device.at_once > 1


async def test_several_connections_share_the_requests() -> None:
    addresses = [f"holding:{n * 200}" for n in range(16)]
    async with collecting(honest, addresses, connections=3) as (_, driver, groups):
        for _ in range(50):
            if driver.status.connects == 3:
                break
            await asyncio.sleep(0.01)
        assert (await read(driver, groups))[1] == [0] * 16
        assert driver.status.connects == 3


async def test_a_gap_between_requests_is_kept() -> None:
    addresses = [f"holding:{n * 200}" for n in range(5)]
    async with collecting(honest, addresses, request_gap_ms=30) as (_, driver, groups):
        started = time.monotonic()
        await read(driver, groups)
        assert time.monotonic() - started >= 0.12


async def test_comings_and_goings_are_events() -> None:
    events: list[DriverEvent] = []
    async with Device(honest).running() as device:
        context = DriverContext(device="plc1", events=events.append)
        driver = create("modbus-tcp", {"host": "127.0.0.1", "port": device.port, **QUICK}, context)
        await driver.connect()
        device.answer = lambda _: b"nonsense"
        await read(driver, driver.plan([FieldPoint(1, "holding:1", FieldType.INT16)]))
        await driver.close()
    assert [event.name for event in events][:2] == ["device-connected", "device-lost"]
    assert events[0].fields["device"] == "plc1" and "not Modbus TCP" in str(events[1].fields["why"])
