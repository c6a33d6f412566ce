"""Real servers with known contents, one kind of driver each."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols.field.base import FieldPoint, FieldType
from protocols.samples import BAD_OUT_OF_RANGE, BAD_SENSOR_FAILURE, UNCERTAIN_LAST_USABLE_VALUE
from tests.contract.servers import CONSTANTS, bit, word
from tests.peers.foreign import ROOT, ForeignServer, free_port

QUICK: dict[str, object] = {
    "timeout_s": 0.3,
    "connect_timeout_s": 2.0,
    "degrade_failures": 2,
    "degrade_s": 0.3,
    "reconnect_first_s": 0.05,
    "reconnect_longest_s": 0.2,
}
"""Time-outs that keep a test short."""

ANYTHING = object()
"""Stands for a value that changes."""


@dataclass(frozen=True)
class World:
    """A running server, and what a driver must find there.

    Args:
        driver: The driver's name.
        port: The server's port on loopback.
        settings: The driver's settings for a port, as the operator would write them.
        points: What to collect.
        values: What each point is, by id: value and quality.
        missing: A point at an address that the server does not have.
        wrong: An address that makes no sense.
        writes: Points that can be written, a new value for each, and the one to put back.
        refused: Points that the server does not let anyone write.
        unwritable: A point that the driver knows to be for reading only.
    """

    driver: str
    port: int
    settings: Callable[[int], dict[str, object]]
    points: tuple[FieldPoint, ...]
    values: dict[int, tuple[Any, int]]
    missing: FieldPoint
    wrong: str
    writes: tuple[tuple[FieldPoint, float, float], ...]
    refused: tuple[FieldPoint, ...]
    unwritable: FieldPoint


def same(got: Any, expected: Any, type: FieldType) -> bool:
    """Bit for bit."""
    if expected is ANYTHING:
        return True
    if type is FieldType.F32:
        return struct.pack("f", got) == struct.pack("f", expected)
    return struct.pack("d", got) == struct.pack("d", expected) if type is FieldType.F64 else got == expected


# -- Modbus ------------------------------------------------------------------------------

_FORMS = {
    FieldType.INT16: ">h",
    FieldType.UINT16: ">H",
    FieldType.INT32: ">i",
    FieldType.UINT32: ">I",
    FieldType.F32: ">f",
    FieldType.INT64: ">q",
    FieldType.UINT64: ">Q",
    FieldType.F64: ">d",
}


def naive(words: list[int], order: str, type: FieldType) -> Any:
    """An obvious decoder: put the bytes in order, then read them big-endian."""
    data = [struct.pack(">H", each) for each in words]
    if order in ("CDAB", "DCBA"):
        data.reverse()
    if order in ("BADC", "DCBA"):
        data = [each[::-1] for each in data]
    return struct.unpack(_FORMS[type], b"".join(data))[0]


def modbus_world(port: int) -> World:
    """What the pymodbus server of this package and the libmodbus server of tests/peers serve."""
    points: list[FieldPoint] = []
    values: dict[int, tuple[Any, int]] = {}

    def add(address: str, type: FieldType, value: Any) -> None:
        points.append(FieldPoint(len(points) + 1, address, type))
        whole = isinstance(value, int) and value >= 2**63
        values[len(points)] = (0, BAD_OUT_OF_RANGE) if whole else (value, 0)

    at = 3
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        for kind, form in _FORMS.items():
            for table, invert in (("holding", 0), ("input", 65535)):
                words = [abs(invert - word(at + k)) for k in range(struct.calcsize(form) // 2)]
                value = naive(words, order, kind)
                if not (isinstance(value, float) and math.isnan(value)):
                    add(f"{table}:{at}#{order}", kind, value)
            at += 11
    for number in (0, 1, 7, 8, 500, 9999):
        add(f"coil:{number}", FieldType.BOOL, bit(number))
        add(f"discrete:{number}", FieldType.BOOL, not bit(number))
        add(f"holding:{number}.{number % 16}", FieldType.BOOL, bool(word(number) >> number % 16 & 1))
    add("1!40101#LL", FieldType.UINT32, naive([word(100), word(101)], "ABCD", FieldType.UINT32))
    add("1!400101#B", FieldType.UINT16, naive([word(100)], "DCBA", FieldType.UINT16))
    points += [FieldPoint(1000 + k, f"holding:{2000 + k}", FieldType.UINT16) for k in range(400)]
    values |= {1000 + k: (word(2000 + k), 0) for k in range(400)}

    def settings(port: int) -> dict[str, object]:
        return {"host": "127.0.0.1", "port": port, **QUICK}

    missing = FieldPoint(9000, "holding:10000", FieldType.UINT16)
    return World(
        "modbus-tcp",
        port,
        settings,
        tuple(points),
        values,
        missing,
        "holding:x",
        _modbus_writes(),
        (missing, FieldPoint(9001, "coil:10000", FieldType.BOOL)),
        FieldPoint(9002, "input:5", FieldType.UINT16),
    )


def _modbus_writes() -> tuple[tuple[FieldPoint, float, float], ...]:
    """Places that nobody reads: every type in every order, a coil, and a bit among others."""
    ends: dict[FieldType, tuple[float, float]] = {
        FieldType.INT16: (-(2**15), -2),
        FieldType.UINT16: (2**16 - 1, 258),
        FieldType.INT32: (-(2**31), 0x01020304),
        FieldType.UINT32: (2**32 - 1, 0x01020304),
        FieldType.F32: (struct.unpack("f", struct.pack("f", 0.1))[0], -2.5),
        FieldType.INT64: (-(2**63), 0x0102030405060708),
        FieldType.UINT64: (2**63 - 1, 0x0102030405060708),
        FieldType.F64: (0.1, -1e300),
    }
    writes: list[tuple[FieldPoint, float, float]] = []
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        for kind, (new, old) in ends.items():
            at = 6000 + 4 * len(writes)
            writes.append((FieldPoint(5000 + len(writes), f"holding:{at}#{order}", kind), new, old))
    writes.append((FieldPoint(5100, "coil:6000", FieldType.BOOL), True, False))
    writes.append((FieldPoint(5101, "holding:6900.15", FieldType.BOOL), True, False))
    writes.append((FieldPoint(5102, "holding:6900.0", FieldType.BOOL), True, False))
    return tuple(writes)


def start_modbus(folder: Path) -> tuple[ForeignServer, World]:
    """pymodbus's own server."""
    port = free_port()
    return ForeignServer(
        [sys.executable, "-m", "tests.contract.servers", "modbus", str(port)], ROOT
    ), modbus_world(port)


# -- OPC UA -------------------------------------------------------------------------------

_TYPES = {
    "Boolean": FieldType.BOOL,
    "SByte": FieldType.INT16,
    "Byte": FieldType.UINT16,
    "Int16": FieldType.INT16,
    "UInt16": FieldType.UINT16,
    "Int32": FieldType.INT32,
    "UInt32": FieldType.UINT32,
    "Int64": FieldType.INT64,
    "UInt64": FieldType.UINT64,
    "Float": FieldType.F32,
    "Double": FieldType.F64,
    "String": FieldType.STRING,
}


def opcua_world(port: int, namespace: int, ramps: int = 100) -> World:
    """What the asyncua server of this package and the node-opcua server of tests/peers serve."""
    points: list[FieldPoint] = []
    values: dict[int, tuple[Any, int]] = {}
    for name, kind in _TYPES.items():
        points.append(FieldPoint(len(points) + 1, f"ns={namespace};s={name}", kind))
        values[len(points)] = (0, BAD_OUT_OF_RANGE) if name == "UInt64" else (CONSTANTS[name], 0)
    points.append(FieldPoint(20, f"/{namespace}:Plant/{namespace}:Int32", FieldType.INT32))
    values[20] = (CONSTANTS["Int32"], 0)
    points.append(FieldPoint(21, f"ns={namespace};s=Int16", FieldType.F64))
    values[21] = (float(CONSTANTS["Int16"]), 0)
    quality = {1: UNCERTAIN_LAST_USABLE_VALUE, 2: BAD_SENSOR_FAILURE}
    for i in range(ramps):
        points.append(FieldPoint(100 + i, f"ns={namespace};s=Ramp{i}", FieldType.F64))
        values[100 + i] = (ANYTHING, quality.get(i, 0))

    def settings(port: int) -> dict[str, object]:
        return {
            "endpoint": f"opc.tcp://127.0.0.1:{port}/UA",
            "publishing_ms": 50,
            "sampling_ms": 10,
            "keep_alive_s": 0.3,
            **QUICK,
            "timeout_s": 0.6,
        }

    missing = FieldPoint(9000, f"ns={namespace};s=Nothing", FieldType.F64)
    return World(
        "opcua",
        port,
        settings,
        tuple(points),
        values,
        missing,
        "Boiler",
        _opcua_writes(namespace),
        (
            missing,
            FieldPoint(9001, f"ns={namespace};s=DateTime", FieldType.INT64),
            FieldPoint(9002, "i=2259", FieldType.INT32),
        ),
        FieldPoint(9003, f"ns={namespace};s=String", FieldType.STRING),
    )


def _opcua_writes(namespace: int) -> tuple[tuple[FieldPoint, float, float], ...]:
    """The constants that can be put back, one through its path and one as a wider type."""
    new: dict[str, float] = {
        "Boolean": False, "SByte": 127, "Byte": 0, "Int16": 32767, "UInt16": 0, "Int32": 2**31 - 1,
        "UInt32": 0, "Int64": 2**63 - 1, "Float": -2.5, "Double": 1e300,
    }  # fmt: skip
    return (
        *(
            (FieldPoint(5000 + n, f"ns={namespace};s={name}", _TYPES[name]), value, CONSTANTS[name])
            for n, (name, value) in enumerate(new.items())
        ),
        (FieldPoint(5100, f"/{namespace}:Plant/{namespace}:Int32", FieldType.INT32), 7, CONSTANTS["Int32"]),
        (FieldPoint(5101, f"ns={namespace};s=Int16", FieldType.F64), -5.0, float(CONSTANTS["Int16"])),
    )


def start_opcua(folder: Path) -> tuple[ForeignServer, World]:
    """asyncua's own server."""
    port = free_port()
    server = ForeignServer([sys.executable, "-m", "tests.contract.servers", "opcua", str(port)], ROOT)
    return server, opcua_world(port, json.loads(server.ready)["namespace"])
