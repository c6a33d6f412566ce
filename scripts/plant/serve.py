"""One server process: ticks on the wall clock, orders from a file, until it is told to stop.

Rules:
1. Values change at `k * period + period / 2` of the wall clock, half a period away from the
   instants at which a gateway with the same period scans: in normal operation no scan sees
   two ticks.
2. A process that is late skips ticks and never makes them up: the log has what was served.
3. The address is in `address.json` as soon as the server answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from scripts.plant.layout import Protocol, places
from scripts.plant.log import LogWriter
from scripts.plant.modbus import Encoder, ModbusServer
from scripts.plant.model import Source
from scripts.plant.opcua import OpcuaServer
from scripts.plant.orders import FILE, Orders

HOST = "127.0.0.1"
ADDRESS = "address.json"


async def serve(
    source: Source, protocol: Protocol, directory: Path, period_s: float, pace: float, port: int
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        source: The plant.
        protocol: Which server.
        directory: The log; also `address.json` and `orders.jsonl`.
        period_s: Seconds between ticks.
        pace: Seconds of the plant's life in one second of ours.
        port: TCP port, 0 to have one chosen.
    """
    period_us = round(period_s * 1e6)
    log = LogWriter(directory, protocol, source.points, period_us)
    shell = _shell(source, protocol, log)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await shell.tick(_now_us())
    orders = Orders(directory / FILE)
    _announce(directory, protocol, await shell.start(port))
    while not stopping.is_set():
        due = next_tick(_now_us(), period_us)
        try:
            await asyncio.wait_for(stopping.wait(), (due - _now_us()) / 1e6)
        except TimeoutError:
            for order in orders.take():
                shell.order(order)
            source.step(period_s * pace)
            await shell.tick(due)
    await shell.stop()
    log.close()


def next_tick(now_us: int, period_us: int) -> int:
    """The first `k * period + period / 2` after now."""
    offset = period_us // 2
    return (now_us - offset) // period_us * period_us + period_us + offset


class _ModbusShell:
    def __init__(self, source: Source, log: LogWriter) -> None:
        self._source, self._log = source, log
        self._encoder = Encoder(source.points, places(source.points))
        self._server = ModbusServer(log.reads)

    async def start(self, port: int) -> dict[str, Any]:
        return {"host": HOST, "port": await self._server.start(HOST, port)}

    async def tick(self, time_us: int) -> None:
        held, texts = self._source.held(), self._source.texts()
        banks = self._encoder.encode(held, texts)
        number = self._log.tick(time_us, _now_us(), held, texts, np.zeros(0, np.uint32))
        self._server.show(banks, number)

    def order(self, order: dict[str, Any]) -> None:
        if order["name"] == "silent":
            self._server.silence(order["seconds"])
        elif order["name"] == "drop":
            self._server.drop()
        else:
            _pass_on(self._source, order)

    async def stop(self) -> None:
        await self._server.stop()


class _OpcuaShell:
    def __init__(self, source: Source, log: LogWriter) -> None:
        self._source, self._log = source, log
        self._server = OpcuaServer(source.points, log.reads)
        self._serving = False

    async def start(self, port: int) -> dict[str, Any]:
        chosen = port or _free_port()
        await self._server.start(HOST, chosen)
        self._serving = True
        await self._show(_now_us())
        return {"host": HOST, "port": chosen, "endpoint": f"opc.tcp://{HOST}:{chosen}/plant"}

    async def tick(self, time_us: int) -> None:
        if self._serving:
            await self._show(time_us)

    async def _show(self, time_us: int) -> None:
        held, texts, status = self._source.held(), self._source.texts(), self._source.status()
        number = self._log.tick(time_us, _now_us(), held, texts, status)
        await self._server.show(held, texts, status, time_us, number)

    def order(self, order: dict[str, Any]) -> None:
        _pass_on(self._source, order)

    async def stop(self) -> None:
        await self._server.stop()


def _shell(source: Source, protocol: Protocol, log: LogWriter) -> _ModbusShell | _OpcuaShell:
    return _ModbusShell(source, log) if protocol is Protocol.MODBUS else _OpcuaShell(source, log)


def _pass_on(source: Source, order: dict[str, Any]) -> None:
    try:
        source.order(order["name"], order["block"], order["seconds"], order["point"])
    except ValueError as error:
        print(f"plant: order not carried out: {error}", flush=True)


def _announce(directory: Path, protocol: Protocol, where: dict[str, Any]) -> None:
    text = json.dumps({"protocol": str(protocol), "pid": os.getpid(), **where})
    temporary = directory / f"{ADDRESS}.new"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(directory / ADDRESS)
    print(text, flush=True)


def _free_port() -> int:
    """A port that is free now; asyncua would publish port 0 in its endpoint."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _now_us() -> int:
    return time.time_ns() // 1000
