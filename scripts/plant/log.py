"""What a server served, and when: the judge of what was lost.

A log is a directory that a stranger can read with numpy alone; `docs/plant.md` describes it.

Rules:
1. `ticks.bin` and `reads.bin` are arrays of fixed records, appended with one `write` each,
   so that a killed server leaves whole records and at most one torn one at the end.
2. A tick is in the log before anybody can read its values.
3. A server that is started again appends; a record's number in `ticks.bin` says which
   values an answer held, whatever clocks did.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.plant.catalogue import Kind, PlantPoint
from scripts.plant.layout import TEXT_BYTES, Place, Protocol, Table, node_id, places, write_csv
from scripts.plant.model import UInt32s
from scripts.plant.unit import Array

FORMAT = 1
META, CATALOGUE, TICKS, READS = "meta.json", "catalogue.csv", "ticks.bin", "reads.bin"

MODBUS_READ = np.dtype(
    [
        ("at", "<i8"), ("tick", "<u4"), ("unit", "u1"), ("table", "u1"),
        ("address", "<u2"), ("count", "<u2"), ("client", "<u2"),
    ]
)  # fmt: skip
OPCUA_READ = np.dtype([("at", "<i8"), ("tick", "<u4"), ("point", "<u4"), ("event", "u1")])

READ, SUBSCRIBED, UNSUBSCRIBED = 1, 2, 3
"""Events of OPC UA records."""

CATALOGUE_COLUMNS = (
    "index", "name", "kind", "unit", "scale", "low", "high", "block", "decimals",
    "modbus_unit", "table", "address", "words", "node", "description",
)  # fmt: skip

Records = npt.NDArray[Any]


def tick_dtype(numeric: int, texts: int, status: bool) -> np.dtype[Any]:
    """A record of `ticks.bin`.

    Args:
        numeric: Numeric points, which come first.
        texts: Text points.
        status: Whether the server tells StatusCodes.
    """
    fields: list[tuple[Any, ...]] = [("time", "<i8"), ("at", "<i8")]
    if numeric:
        fields.append(("held", "<f8", (numeric,)))
    if texts:
        fields.append(("text", f"S{TEXT_BYTES}", (texts,)))
    if status:
        fields.append(("status", "<u4", (numeric + texts,)))
    return np.dtype(fields)


class LogWriter:
    """Appends to a log directory, which is made when it is not there.

    Args:
        directory: Where.
        protocol: Which server.
        points: What it serves: numeric points first, then texts.
        period_us: Microseconds between ticks.

    Raises:
        ValueError: The directory has the log of a server of other points.
    """

    def __init__(
        self, directory: Path, protocol: Protocol, points: Sequence[PlantPoint], period_us: int
    ) -> None:
        texts = sum(p.kind is Kind.STRING for p in points)
        self._numeric, self._texts = len(points) - texts, texts
        self._dtype = tick_dtype(self._numeric, texts, protocol is Protocol.OPCUA)
        directory.mkdir(parents=True, exist_ok=True)
        self._describe(directory, protocol, points, period_us)
        self._tick_file = _append(directory / TICKS, self._dtype.itemsize)
        dtype = MODBUS_READ if protocol is Protocol.MODBUS else OPCUA_READ
        self._read_file = _append(directory / READS, dtype.itemsize)
        self._record = np.zeros(1, self._dtype)
        self.ticks = os.fstat(self._tick_file).st_size // self._dtype.itemsize
        """Records in `ticks.bin`; the current values are those of record `ticks - 1`."""

    def tick(self, time_us: int, at_us: int, held: Array, texts: Sequence[str], status: UInt32s) -> int:
        """Append what the points hold from now on; returns the record's number."""
        record = self._record
        record["time"], record["at"] = time_us, at_us
        if self._numeric:
            record["held"][0] = held
        if self._texts:
            record["text"][0] = [text.encode()[:TEXT_BYTES] for text in texts]
        if "status" in (self._dtype.names or ()):
            record["status"][0] = status
        os.write(self._tick_file, record.tobytes())
        self.ticks += 1
        return self.ticks - 1

    def reads(self, records: bytes) -> None:
        """Append records of what clients did."""
        os.write(self._read_file, records)

    def close(self) -> None:
        """Close the files."""
        os.close(self._tick_file)
        os.close(self._read_file)

    def _describe(
        self, directory: Path, protocol: Protocol, points: Sequence[PlantPoint], period_us: int
    ) -> None:
        meta = {
            "format": FORMAT,
            "protocol": str(protocol),
            "period_us": period_us,
            "numeric": self._numeric,
            "texts": self._texts,
            "tick": [list(field) for field in self._dtype.descr],
            "read": [list(f) for f in (MODBUS_READ if protocol is Protocol.MODBUS else OPCUA_READ).descr],
        }
        path = directory / META
        text = json.dumps(meta, indent=1)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ValueError(f"expected an empty directory or the log of the same points at {directory}")
        path.write_text(text, encoding="utf-8")
        where = places(points) if protocol is Protocol.MODBUS else [None] * len(points)
        rows = (_catalogue_row(i, p, w) for i, (p, w) in enumerate(zip(points, where, strict=True)))
        write_csv(directory / CATALOGUE, CATALOGUE_COLUMNS, rows)


@dataclass(frozen=True, slots=True)
class Log:
    """A log, read.

    Args:
        protocol: Which server.
        period_us: Microseconds between ticks.
        points: What it served.
        places: Where on Modbus; empty for OPC UA.
        ticks: Records of `tick_dtype`.
        reads: Records of `MODBUS_READ` or `OPCUA_READ`.
    """

    protocol: Protocol
    period_us: int
    points: tuple[PlantPoint, ...]
    places: tuple[Place, ...]
    ticks: Records
    reads: Records

    @property
    def numeric(self) -> int:
        """How many points are numeric; they come first."""
        return sum(p.kind is not Kind.STRING for p in self.points)


def read_log(directory: Path) -> Log:
    """Read what a `LogWriter` wrote, also while it still writes.

    Raises:
        ValueError: It is of another format.
    """
    meta = json.loads((directory / META).read_text(encoding="utf-8"))
    if meta["format"] != FORMAT:
        raise ValueError(f"expected a log of format {FORMAT}, got {meta['format']} at {directory}")
    protocol = Protocol(meta["protocol"])
    points, where = [], []
    with (directory / CATALOGUE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            points.append(_point(row))
            if protocol is Protocol.MODBUS:
                place = (row["modbus_unit"], row["table"], row["address"], row["words"])
                unit, table, address, words = (int(value) for value in place)
                where.append(Place(unit, Table(table), address, words))
    ticks = _records(
        directory / TICKS, tick_dtype(meta["numeric"], meta["texts"], protocol is Protocol.OPCUA)
    )
    reads = _records(directory / READS, MODBUS_READ if protocol is Protocol.MODBUS else OPCUA_READ)
    return Log(protocol, meta["period_us"], tuple(points), tuple(where), ticks, reads)


def _append(path: Path, itemsize: int) -> int:
    """Open for appending, cutting off a record that a kill tore."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(descriptor).st_size
    os.ftruncate(descriptor, size - size % itemsize)
    return descriptor


def _records(path: Path, dtype: np.dtype[Any]) -> Records:
    data = path.read_bytes()
    return np.frombuffer(data[: len(data) - len(data) % dtype.itemsize], dtype)


def _catalogue_row(index: int, point: PlantPoint, place: Place | None) -> tuple[object, ...]:
    low = "" if point.low is None else repr(point.low)
    high = "" if point.high is None else repr(point.high)
    where: tuple[object, ...] = ("", "", "", "", node_id(point))
    if place is not None:
        where = (place.unit, int(place.table), place.address, place.words, "")
    what = (index, point.name, str(point.kind), point.unit, repr(point.scale), low, high)
    return (*what, point.block, point.decimals, *where, point.description)


def _point(row: dict[str, str]) -> PlantPoint:
    return PlantPoint(
        row["name"],
        Kind(row["kind"]),
        row["unit"],
        int(row["decimals"]),
        float(row["scale"]),
        float(row["low"]) if row["low"] else None,
        float(row["high"]) if row["high"] else None,
        int(row["block"]),
        row["description"],
    )
