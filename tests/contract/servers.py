"""The servers of the drivers' own libraries, as processes: `python -m tests.contract.servers KIND PORT`.

They serve what the foreign servers of tests/peers serve, so that one suite holds for all;
after the port, OPC UA takes the number of ramps and their period in ms. Each prints one
line when it serves, and ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from typing import Any

ENTRIES = 10_000


def word(register: int) -> int:
    """What a holding register holds; an input register holds 65535 minus that."""
    return (register * 40503 + 7) % 65536


def bit(number: int) -> bool:
    """What a coil holds; a discrete input holds the opposite."""
    return bool((number * 11) >> 3 & 1)


CONSTANTS: dict[str, Any] = {
    "Boolean": True,
    "SByte": -128,
    "Byte": 255,
    "Int16": -32768,
    "UInt16": 65535,
    "Int32": -(2**31),
    "UInt32": 2**32 - 1,
    "Int64": -(2**63),
    "UInt64": 2**64 - 1,
    "Float": 0.1,
    "Double": -0.1,
    "String": "锅炉 boiler",
    "DateTime": datetime(2026, 1, 2, 3, 4, 5, 678_000),  # noqa: DTZ001 - the library wants it so
}
POINTS = 100
PERIOD_MS = 50


async def serve_modbus(port: int) -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    def block(values: list[Any], kind: DataType) -> list[SimData]:
        return [SimData(0, values=values, datatype=kind)]

    image = (
        block([bit(c) for c in range(ENTRIES)], DataType.BITS),
        block([not bit(c) for c in range(ENTRIES)], DataType.BITS),
        block([word(r) for r in range(ENTRIES)], DataType.REGISTERS),
        block([65535 - word(r) for r in range(ENTRIES)], DataType.REGISTERS),
    )
    devices = [SimDevice(unit, simdata=image) for unit in (1, 2)]
    server = ModbusTcpServer(devices, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    print(f"ready {port}", flush=True)
    await _stopped()
    await server.shutdown()  # type: ignore[no-untyped-call]


async def serve_opcua(port: int, points: int = POINTS, period_ms: int = PERIOD_MS) -> None:
    from asyncua import Server, ua

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/UA")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace("urn:catchment:contract")
    plant = await server.nodes.objects.add_folder(
        ua.NodeId("Plant", namespace), ua.QualifiedName("Plant", namespace)
    )
    for name, value in CONSTANTS.items():
        constant = await plant.add_variable(
            ua.NodeId(name, namespace), ua.QualifiedName(name, namespace), value, ua.VariantType[name]
        )
        await constant.set_writable()
    ramps = [
        await plant.add_variable(
            ua.NodeId(f"Ramp{i}", namespace), ua.QualifiedName(f"Ramp{i}", namespace), i / 2
        )
        for i in range(points)
    ]
    codes = {1: ua.StatusCodes.UncertainLastUsableValue, 2: ua.StatusCodes.BadSensorFailure}
    async with server:
        print(json.dumps({"endpoint": server.endpoint.geturl(), "namespace": namespace}), flush=True)
        stop = asyncio.create_task(_stopped())
        k = 0
        while not stop.done():
            k += 1
            at = datetime.now(UTC).replace(tzinfo=None)
            for i, node in enumerate(ramps):
                status = ua.StatusCode(codes.get(i, ua.StatusCodes.Good))
                value = ua.DataValue(ua.Variant(i / 2 + k, ua.VariantType.Double), status, at)
                await server.iserver.write_attribute_value(node.nodeid, value)
            await asyncio.wait([stop], timeout=period_ms / 1000)


async def _stopped() -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    await done.wait()


if __name__ == "__main__":
    asyncio.run({"modbus": serve_modbus, "opcua": serve_opcua}[sys.argv[1]](*map(int, sys.argv[2:])))
