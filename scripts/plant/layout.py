"""Where each point is on the servers, and the point tables that tell a gateway so.

Modbus: each block (a unit, or a replayed table) is a unit id of its own, counted from 1.
16-bit integers are input registers, everything else in registers is holding registers,
big-endian, most significant register first; switches are discrete inputs, every fourth one
a coil. OPC UA: namespace 2, the tag is the node's string identifier.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path

from scripts.plant.catalogue import Kind, PlantPoint

TEXT_BYTES = 32
"""Size of every text on Modbus and in the log, UTF-8, padded with zeros."""
NAMESPACE = 2
UNITS_MAX = 247
"""Modbus unit ids end at 247 (Modbus over Serial Line 1.02, 2.2)."""
TABLE_SIZE = 65_536


class Protocol(StrEnum):
    """How a point is served."""

    MODBUS = "modbus"
    OPCUA = "opcua"


PREFIXES = {Protocol.MODBUS: "mb.", Protocol.OPCUA: "ua."}
"""Put before the names of replayed columns: both servers serve the whole table."""


class Table(IntEnum):
    """Modbus tables, by the function code that reads them."""

    COIL = 1
    DISCRETE = 2
    HOLDING = 3
    INPUT = 4


TABLE_NAMES = {Table.COIL: "coil", Table.DISCRETE: "discrete", Table.HOLDING: "holding", Table.INPUT: "input"}
"""As the gateway's point table spells them."""

WORDS = {
    Kind.BOOL: 1,
    Kind.INT16: 1,
    Kind.UINT16: 1,
    Kind.INT32: 2,
    Kind.UINT32: 2,
    Kind.F32: 2,
    Kind.F64: 4,
    Kind.STRING: TEXT_BYTES // 2,
}
"""Registers, or bits, that a value takes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a point is on a Modbus server.

    Args:
        unit: Unit id.
        table: Which table.
        address: First register or bit, counted from 0.
        words: Registers or bits it takes.
    """

    unit: int
    table: Table
    address: int
    words: int

    def notation(self, kind: Kind) -> str:
        """The address in the gateway's notation: `1!holding:40`, `2!holding:8.32` for a text."""
        length = f".{TEXT_BYTES}" if kind is Kind.STRING else ""
        return f"{self.unit}!{TABLE_NAMES[self.table]}:{self.address}{length}"


def places(points: Sequence[PlantPoint]) -> list[Place]:
    """Lay points out on a Modbus server, in their order.

    Raises:
        ValueError: They do not fit; a block has 65,536 registers and there are 247 blocks.
    """
    next_free: dict[tuple[int, Table], int] = {}
    switches = 0
    found: list[Place] = []
    for point in points:
        unit, words = point.block + 1, WORDS[point.kind]
        table = Table.HOLDING
        if point.kind in (Kind.INT16, Kind.UINT16):
            table = Table.INPUT
        elif point.kind is Kind.BOOL:
            table = Table.COIL if switches % 4 == 3 else Table.DISCRETE
            switches += 1
        address = next_free.get((unit, table), 0)
        if unit > UNITS_MAX or address + words > TABLE_SIZE:
            raise ValueError(
                f"expected {UNITS_MAX} units of {TABLE_SIZE} registers at most; ask for fewer points"
            )
        next_free[unit, table] = address + words
        found.append(Place(unit, table, address, words))
    return found


def node_id(point: PlantPoint) -> str:
    """The point's node, as OPC UA writes it (Part 6, 5.3.1.10)."""
    return f"ns={NAMESPACE};s={point.name}"


_SYSTEM = re.compile(r"\d+([A-Z]{3}\d\d)")
TOGETHER = {
    "CYQ10": Protocol.MODBUS, "CYQ20": Protocol.OPCUA, "CYQ30": Protocol.MODBUS, "CYQ40": Protocol.OPCUA,
    "HLB60": Protocol.MODBUS, "HNC60": Protocol.OPCUA, "LAC60": Protocol.MODBUS, "PAC60": Protocol.OPCUA,
}  # fmt: skip
"""Systems whose points are on one server: detectors that vote together, the two bearings of a machine."""


def half(points: Sequence[PlantPoint], protocol: Protocol) -> list[int]:
    """Every second point of each kind, so that both servers have some of all: indexes."""
    seen: dict[Kind, int] = {}
    chosen: list[int] = []
    for index, point in enumerate(points):
        system = _SYSTEM.match(point.name)
        server = TOGETHER.get(system.group(1)) if system else None
        if server is not None:
            if server is protocol:
                chosen.append(index)
            continue
        turn = seen.get(point.kind, 0)
        seen[point.kind] = turn + 1
        if turn % 2 == (0 if protocol is Protocol.MODBUS else 1):
            chosen.append(index)
    return chosen


COLUMNS = (
    "id",
    "name",
    "device",
    "address",
    "type",
    "scan_class",
    "unit",
    "scale",
    "low",
    "high",
    "description",
)


def write_point_table(
    path: Path, points: Sequence[PlantPoint], protocol: Protocol, device: str, scan_class: str
) -> None:
    """Write the table that configures a gateway to collect these points.

    Args:
        path: The CSV file.
        points: What the server serves, in the server's order.
        protocol: Which notation of addresses.
        device: The gateway's name for the server.
        scan_class: The scan class that all of them are read in.
    """
    if protocol is Protocol.MODBUS:
        addresses = [p.notation(x.kind) for p, x in zip(places(points), points, strict=True)]
    else:
        addresses = [node_id(point) for point in points]
    write_csv(path, COLUMNS, (_row(p, a, device, scan_class) for p, a in zip(points, addresses, strict=True)))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file with a header, UTF-8."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _row(point: PlantPoint, address: str, device: str, scan_class: str) -> tuple[object, ...]:
    low = "" if point.low is None or point.kind is Kind.BOOL else point.low
    high = "" if point.high is None or point.kind is Kind.BOOL else point.high
    scale = "" if point.scale == 1.0 else repr(point.scale)
    named = ("", point.name, device, address, str(point.kind), scan_class)
    return (*named, point.unit, scale, low, high, point.description)
