"""A lake as a perfect gateway would fill it from a server's log, to be doctored by tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from scripts.plant.catalogue import Kind
from scripts.plant.layout import Protocol
from scripts.plant.log import MODBUS_READ, OPCUA_READ, SUBSCRIBED, LogWriter, read_log
from scripts.plant.model import Source

PERIOD_US = 1_000_000
START_US = 1_790_000_000_000_000
TIME = pa.timestamp("us", "UTC")

Row = dict[str, Any]


def write_log(
    directory: Path, protocol: Protocol, source: Source, ticks: int, silent: tuple[int, ...] = ()
) -> None:
    """A log of `ticks` ticks, each read (or notified) once, but those in `silent`."""
    writer = LogWriter(directory, protocol, source.points, PERIOD_US)
    log = read_log(directory)
    if protocol is Protocol.OPCUA:
        events = np.array([(START_US, 0, p, SUBSCRIBED) for p in range(len(source.points))], OPCUA_READ)
        writer.reads(events.tobytes())
    for tick in range(ticks):
        at = START_US + tick * PERIOD_US - PERIOD_US // 2
        writer.tick(at, at + 300, source.held(), source.texts(), source.status())
        if protocol is Protocol.MODBUS and tick not in silent:
            for unit, table in sorted({(p.unit, int(p.table)) for p in log.places}):
                here = [p for p in log.places if (p.unit, int(p.table)) == (unit, table)]
                count = max(p.address + p.words for p in here)
                read = np.array([(at + PERIOD_US // 2 + 20_000, tick, unit, table, 0, count, 7)], MODBUS_READ)
                writer.reads(read.tobytes())
        source.step(PERIOD_US / 1e6)
    writer.close()


@dataclass
class FakeLake:
    """Rows and gaps that `write` turns into Delta tables."""

    rows: list[Row] = field(default_factory=list)
    gaps: list[Row] = field(default_factory=list)
    series: list[Row] = field(default_factory=list)

    @classmethod
    def perfect(cls, log_directory: Path, gateway: str = "gw") -> FakeLake:
        log = read_log(log_directory)
        lake = cls()
        for p, point in enumerate(log.points):
            lake.series.append(_series(p, point.name, gateway))
            for tick in range(len(log.ticks)):
                lake.rows.append(_row(log, p, tick))
        return lake

    def find(self, name: str, tick: int) -> Row:
        series = next(s["series"] for s in self.series if s["name"] == name)
        time = START_US + tick * PERIOD_US
        return next(row for row in self.rows if row["series"] == series and row["time"] == time)

    def declare(self, points: list[int] | None, first_tick: int, end_tick: int) -> None:
        interval = {"t_from": START_US + first_tick * PERIOD_US, "t_to": START_US + end_tick * PERIOD_US}
        self.gaps.append({"gateway": "gw", "points": points, **interval})

    def write(self, root: Path) -> Path:
        columns = {"series": pa.int64(), "time": TIME, "source_time": TIME, "value": pa.float64()}
        _write(root / "samples", self.rows, {**columns, "text": pa.string(), "quality": pa.int64()})
        ints = ("series", "point", "scan_period_ms", "ordinal")
        kinds = {name: pa.int64() for name in ints} | {"gateway": pa.string(), "name": pa.string()}
        _write(root / "series", self.series, {**kinds, "resolution": pa.float64(), "provisional": pa.bool_()})
        times = {"t_from": TIME, "t_to": TIME}
        _write(root / "gaps", self.gaps, {"gateway": pa.string(), "points": pa.list_(pa.int64()), **times})
        return root / "samples"


def _series(p: int, name: str, gateway: str) -> Row:
    known = {"series": p + 100, "point": p + 1, "ordinal": p, "name": name, "gateway": gateway}
    return {**known, "scan_period_ms": PERIOD_US // 1000, "resolution": 0.0, "provisional": False}


def _row(log: Any, p: int, tick: int) -> Row:
    point = log.points[p]
    opcua = log.protocol is Protocol.OPCUA
    row: Row = {
        "series": p + 100,
        "time": START_US + tick * PERIOD_US,
        "source_time": int(log.ticks["time"][tick]) if opcua else None,
        "value": None,
        "text": None,
        "quality": int(log.ticks["status"][tick, p]) if opcua else 0,
    }
    if point.kind is Kind.STRING:
        row["text"] = log.ticks["text"][tick, p - log.numeric].decode()
    else:
        row["value"] = float(log.ticks["held"][tick, p] * point.scale)
    return row


def _write(path: Path, rows: list[Row], columns: dict[str, pa.DataType]) -> None:
    arrays = [pa.array([row[name] for row in rows], kind) for name, kind in columns.items()]
    write_deltalake(str(path), pa.table(arrays, names=list(columns)))
