"""The field drivers against the libraries' own clients, on the same servers in the same run.

    python -m benchmarks.field_clients            # a table
    python -m benchmarks.field_clients --json     # one JSON array of rows as the last line

Client CPU is this process's own; servers run beside it. A C compiler is needed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.frame import Measurement, Row, Setting, command
from protocols.field.base import Driver, FieldPoint, FieldType, Lost
from protocols.field.registry import create
from protocols.samples import SampleBlock
from tests.peers.foreign import ROOT, ForeignServer, free_port

FLOATS = 62
"""Single-precision values in one request: 124 registers."""


class Cost(NamedTuple):
    """What some values cost: elapsed seconds, seconds of this process, and how many they were."""

    elapsed_s: float
    cpu_s: float
    values: int

    @property
    def cpu_us(self) -> float:
        """Microseconds of this process a value."""
        return self.cpu_s / self.values * 1e6

    @property
    def polls_per_s(self) -> float:
        """Requests of `FLOATS` values a second."""
        return self.values / FLOATS / self.elapsed_s


async def cost(work: Callable[[float], Awaitable[int]], seconds: float) -> Cost:
    """Run `work` until a deadline (`time.perf_counter`); it returns how many values it had."""
    elapsed, cpu = time.perf_counter(), time.process_time()
    values = await work(elapsed + seconds)
    return Cost(time.perf_counter() - elapsed, time.process_time() - cpu, values)


def best(rounds: int, *runs: Callable[[], Cost]) -> list[tuple[float, float]]:
    """The most polls a second and the least CPU a value of each run, tried in turn.

    In turn, so that a busy machine disturbs all alike; the best, as disturbance only adds.
    """
    costs = [[run() for run in runs] for _ in range(rounds)]
    return [
        (max(each.polls_per_s for each in own), min(each.cpu_us for each in own))
        for own in zip(*costs, strict=True)
    ]


# -- Modbus --------------------------------------------------------------------------------


@contextmanager
def responder(kind: str) -> Iterator[int]:
    """A server; gives its port."""
    port = free_port()
    if kind == "C responder":
        program = ROOT / "build" / "fast_modbus"
        program.parent.mkdir(exist_ok=True)
        source = Path(__file__).with_name("fast_modbus.c")
        subprocess.run(["gcc", "-O2", "-o", program, source], check=True)
        command = [str(program), str(port)]
    else:
        command = [sys.executable, "-m", "tests.contract.servers", "modbus", str(port)]
    with ForeignServer(command, ROOT):
        yield port


async def ours(port: int, seconds: float, connections: int) -> Cost:
    """Our driver: planned reads into sample blocks, each connection a device."""
    points = [FieldPoint(i, f"holding:{2 * i}", FieldType.F32) for i in range(FLOATS)]
    drivers = [create("modbus-tcp", {"host": "127.0.0.1", "port": port}) for _ in range(connections)]
    for driver in drivers:
        await driver.connect()

    async def poll(driver: Driver, end: float) -> int:
        [group] = driver.plan(points)
        values = 0
        while time.perf_counter() < end:
            [block] = await driver.read(group, 0)
            assert not block.quality.any()
            values += len(block)
        return values

    async def all_of_them(end: float) -> int:
        return sum(await asyncio.gather(*(poll(driver, end) for driver in drivers)))

    result = await cost(all_of_them, seconds)
    for driver in drivers:
        await driver.close()
    return result


async def pymodbus(port: int, seconds: float, connections: int) -> Cost:
    """pymodbus's client as its documentation uses it, decoded with numpy, which is its best."""
    from pymodbus.client import AsyncModbusTcpClient

    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(connections)]
    for client in clients:
        await client.connect()

    async def poll(client: Any, end: float) -> int:
        values = 0
        while time.perf_counter() < end:
            answer = await client.read_holding_registers(0, count=2 * FLOATS, device_id=1)
            assert not answer.isError() and len(answer.registers) == 2 * FLOATS
            values += len(np.array(answer.registers, ">u2").view(">f4"))
        return values

    async def all_of_them(end: float) -> int:
        return sum(await asyncio.gather(*(poll(client, end) for client in clients)))

    result = await cost(all_of_them, seconds)
    for client in clients:
        client.close()
    return result


def measure_modbus(setting: Setting) -> Iterable[Row]:
    """Polls a second and CPU a value of both clients, on both servers."""
    rounds, seconds = (2, 0.4) if setting.quick else (6, 1.0)
    for kind in ("C responder", "pymodbus server"):
        with responder(kind) as port:
            for connections in (1, 10):
                (polls, cpu), (peer_polls, peer_cpu) = best(
                    rounds,
                    *(
                        partial(_run, partial(client, connections=connections), port, seconds)
                        for client in (ours, pymodbus)
                    ),
                )
                where = f"{kind}, {connections} connection{'s' if connections > 1 else ''}"
                yield Row.of(f"modbus polls, {where}", polls, "polls/s", "pymodbus", peer_polls)
                yield Row.of(f"modbus client CPU, {where}", cpu, "us/value", "pymodbus", peer_cpu)


DEVICES, POINTS = 100, 1000


async def scans_by_us(port: int, scans: int) -> float:
    """Processor seconds a scan of 100 devices with 1,000 single-precision points each."""
    drivers = [create("modbus-tcp", {"host": "127.0.0.1", "port": port}) for _ in range(DEVICES)]
    table = [FieldPoint(i, f"holding:{2 * i}", FieldType.F32) for i in range(POINTS)]
    groups = []
    for driver in drivers:
        await driver.connect()
        groups.append(driver.plan(table)[0])
    started = time.process_time()
    for instant in range(scans):
        reads = (driver.read(group, instant) for driver, group in zip(drivers, groups, strict=True))
        for [block] in await asyncio.gather(*reads):
            assert len(block) == POINTS and not block.quality.any()
    used = (time.process_time() - started) / scans
    for driver in drivers:
        await driver.close()
    return used


async def scans_by_pymodbus(port: int, scans: int) -> float:
    """The same with pymodbus's client."""
    from pymodbus.client import AsyncModbusTcpClient

    async def scan(client: Any) -> int:
        registers: list[int] = []
        for start in range(0, 2 * POINTS, 2 * FLOATS):
            count = min(2 * FLOATS, 2 * POINTS - start)
            answer = await client.read_holding_registers(start, count=count, device_id=1)
            assert not answer.isError() and len(answer.registers) == count
            registers += answer.registers
        return len(np.array(registers, ">u2").view(">f4"))

    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(DEVICES)]
    for client in clients:
        await client.connect()
    started = time.process_time()
    for _ in range(scans):
        assert await asyncio.gather(*map(scan, clients)) == [POINTS] * DEVICES
    used = (time.process_time() - started) / scans
    for client in clients:
        client.close()
    return used


def measure_hundred_thousand(setting: Setting) -> Iterable[Row]:
    """The share of a core that reading 100,000 points each second takes."""
    rounds, scans = (2, 2) if setting.quick else (4, 5)
    with responder("C responder") as port:
        used = [
            (asyncio.run(scans_by_us(port, scans)), asyncio.run(scans_by_pymodbus(port, scans)))
            for _ in range(rounds)
        ]
    mine, peer = (min(each) for each in zip(*used, strict=True))
    yield Row.of("modbus, 100,000 points each second", mine, "cores", "one core", 1.0, "<= 1")
    yield Row.of("modbus, 100,000 points each second", mine, "cores", "pymodbus", peer)


# -- OPC UA ----------------------------------------------------------------------------------


class _Count:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.values = 0

    def put(self, blocks: Iterable[SampleBlock]) -> None:
        self.values += sum(len(block) for block in blocks)

    def down(self, at_us: int, quality: int) -> None:
        raise AssertionError("the connection was lost")

    def lost(self, lost: Lost) -> None:
        raise AssertionError(lost.why)


RAMPS, PERIOD_MS = 1000, 250


@asynccontextmanager
async def our_opcua(port: int) -> AsyncIterator[Driver]:
    """Our driver, connected."""
    driver = create(
        "opcua", {"endpoint": f"opc.tcp://127.0.0.1:{port}/UA", "publishing_ms": 100, "sampling_ms": 10}
    )
    await driver.connect()
    yield driver
    await driver.close()


def nodes() -> list[str]:
    """Addresses of the server's ramps."""
    return [f"ns=2;s=Ramp{i}" for i in range(RAMPS)]


async def subscribed_by_us(port: int, seconds: float) -> Cost:
    """Changes into sample blocks."""
    async with our_opcua(port) as driver:
        sink = _Count()
        points = [FieldPoint(i, address, FieldType.F64) for i, address in enumerate(nodes())]
        await driver.subscribe(points, sink)

        async def wait(end: float) -> int:
            before = sink.values
            await asyncio.sleep(end - time.perf_counter())
            return sink.values - before

        return await cost(wait, seconds)


async def subscribed_by_asyncua(port: int, seconds: float) -> Cost:
    """Changes into a handler that counts."""
    from asyncua import Client

    class Handler:
        values = 0

        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            self.values += 1

    async with Client(f"opc.tcp://127.0.0.1:{port}/UA") as client:
        handler = Handler()
        subscription = await client.create_subscription(100, handler)
        await subscription.subscribe_data_change([client.get_node(name) for name in nodes()], queuesize=10)

        async def wait(end: float) -> int:
            before = handler.values
            await asyncio.sleep(end - time.perf_counter())
            return handler.values - before

        return await cost(wait, seconds)


async def read_by_us(port: int, seconds: float) -> Cost:
    """Reads into sample blocks."""
    async with our_opcua(port) as driver:
        points = [FieldPoint(i, address, FieldType.F64) for i, address in enumerate(nodes())]
        [group] = driver.plan(points)

        async def poll(end: float) -> int:
            values = 0
            while time.perf_counter() < end:
                [block] = await driver.read(group, 0)
                values += len(block)
            return values

        return await cost(poll, seconds)


async def read_by_asyncua(port: int, seconds: float) -> Cost:
    """Reads into the library's own objects."""
    from asyncua import Client, ua

    async with Client(f"opc.tcp://127.0.0.1:{port}/UA") as client:
        ids = [client.get_node(name).nodeid for name in nodes()]

        async def poll(end: float) -> int:
            values = 0
            while time.perf_counter() < end:
                values += len(await client.uaclient.read_attributes(ids, ua.AttributeIds.Value))
            return values

        return await cost(poll, seconds)


def measure_opcua(setting: Setting) -> Iterable[Row]:
    """CPU a value of both clients, subscribed and read."""
    rounds, seconds = (2, 0.8) if setting.quick else (4, 3.0)
    port = free_port()
    server = [sys.executable, "-m", "tests.contract.servers", "opcua", *map(str, (port, RAMPS, PERIOD_MS))]
    with ForeignServer(server, ROOT):
        for name, mine, peer in (
            ("subscribed", subscribed_by_us, subscribed_by_asyncua),
            ("read, 1,000 a request", read_by_us, read_by_asyncua),
        ):
            runs = [partial(_run, client, port, seconds) for client in (mine, peer)]
            (_, cpu), (_, peer_cpu) = best(rounds, *runs)
            yield Row.of(f"opcua client CPU, {name}", cpu, "us/value", "asyncua", peer_cpu)


def _run(client: Callable[[int, float], Coroutine[Any, Any, Cost]], port: int, seconds: float) -> Cost:
    return asyncio.run(client(port, seconds))


MEASUREMENTS = (
    Measurement("modbus", measure_modbus),
    Measurement("modbus-100k", measure_hundred_thousand),
    Measurement("opcua", measure_opcua),
)

main = command("Measure the field drivers against the libraries' own clients.", MEASUREMENTS)

if __name__ == "__main__":
    main()
