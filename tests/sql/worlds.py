"""Two lakes for the same asker: one of many owners, and one that holds nothing but the asker's rows.

Whatever belongs to somebody else is marked: texts hold `CANARY`, numbers are `CANARY_NUMBER` or close
to it, names of points, gateways and sites say it. The second lake is filled from the same rows by what
they were made for, and knows nothing of how rights are worked out.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa

from headquarters.lake.schema import TABLES, TableSchema
from headquarters.lake.tables import LakeTable
from headquarters.services.sql.rights import TENANT_MASKS, Reach

CANARY = "CANARY"
CANARY_NUMBER = 987_654_321.25
T0 = 1_790_000_000_000_000
"""2026-09-21T14:13:20Z."""

HOUR = 3_600_000_000
REACH = Reach(frozenset({"plant-a"}), {"joint": ("SHARED*",)}, TENANT_MASKS)
"""The asker owns one site, and was granted some points of another."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """One series of the world."""

    number: int
    gateway: str
    point: int
    kind: str
    name: str
    sites: tuple[str, ...]
    own: bool


def _all_series() -> list[Series]:
    found: list[Series] = []

    def add(gateway: str, kind: str, name: str, sites: tuple[str, ...], own: bool) -> None:
        point = sum(each.gateway == gateway for each in found) + 1
        found.append(Series(len(found) + 1, gateway, point, kind, name, sites, own))

    for kind in ("f64", "i64", "bool", "text"):
        add("unit-1", kind, f"10LBA10-{kind}", ("plant-a",), True)
        add("canary-gw", kind, f"CANARY-{kind}", ("canary-plant",), False)
        add("unit-2", kind, f"20LBA10-{kind}", ("plant-a",), True)
    add("joint-gw", "f64", "SHARED-1", ("joint",), True)
    add("joint-gw", "f64", "CANARY-SECRET", ("joint",), False)
    add("canary-moved", "f64", "MOVED-CANARY", ("canary-plant", "plant-a"), False)  # with its site
    add("canary-gw", "f64", "10LBA10-f64", ("canary-plant",), False)  # a name that the asker has too
    return found


SERIES = _all_series()
OWN_GATEWAYS = frozenset({"unit-1", "unit-2"})


@dataclass(frozen=True)
class World:
    """Both lakes."""

    full: Path
    own: Path


@cache
def world() -> World:
    """Made once a process."""
    folder = Path(mkdtemp(prefix="catchment-sql-"))
    rows = _rows(random.Random(7))
    keep = {each.number for each in SERIES if each.own}

    def own(table: TableSchema, row: Row) -> bool:
        return row["series"] in keep if "series" in table.columns.names else row["gateway"] in OWN_GATEWAYS

    for table in TABLES:
        _write(folder / "full", table, rows[table.name])
        hidden = {"segment": None, "segment_offset": None} if table.name == "ledger" else {}
        _write(folder / "own", table, [row | hidden for row in rows[table.name] if own(table, row)])
    return World(folder / "full", folder / "own")


def _write(lake: Path, table: TableSchema, rows: Iterable[Row]) -> None:
    target = LakeTable(lake, table)
    parts: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        parts.setdefault(tuple(str(row[name]) for name in table.partitions.names), []).append(row)
    files = []
    for key, part in sorted(parts.items()):
        half = len(part) // 2
        for portion in (part[:half], part[half:]):
            if portion:
                data = pa.Table.from_pylist([_only(table.columns, row) for row in portion], table.columns)
                files.append(target.append_rows(data, dict(zip(table.partitions.names, key, strict=True))))
    target.commit(files, {})


def _only(schema: pa.Schema, row: Row) -> Row:
    return {name: row.get(name) for name in schema.names}


def _rows(rng: random.Random) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    for each in SERIES:
        _define(rows["series"], each)
        _sample(rows, each, rng)
    for number, gateway in enumerate(sorted({each.gateway for each in SERIES}) * 3):
        _records(rows, number, gateway, rng)
    rng.shuffle(rows["samples"])
    return rows


def _define(rows: list[Row], each: Series) -> None:
    for turn in range(2):
        rows += [
            {
                "series": each.number,
                "gateway": each.gateway,
                "point": each.point,
                "type": each.kind,
                "name": each.name,
                "unit": "Cel" if each.kind == "f64" else "",
                "site": each.sites[min(turn, len(each.sites) - 1)],
                "scan_period_ms": 1000 * (1 + turn),
                "resolution": 0.0,
                "low": 0.0 if each.own else CANARY_NUMBER,
                "high": 100.0 if each.own else CANARY_NUMBER,
                "description": f"{each.name} 温度" if each.own else f"{CANARY} {each.name}",
                "provisional": turn == 0,
                "valid_from": T0 + turn * HOUR,
                "table_hash": f"{each.number:064x}",
                "ordinal": 2 * each.number + turn,
            }
        ]


def _sample(rows: dict[str, list[Row]], each: Series, rng: random.Random) -> None:
    for step in range(36 if each.own else 47):  # by the number of series nobody's share can be guessed
        at = T0 + step * 2 * HOUR + each.number * 1_000_000
        value: float | None = {
            "f64": rng.gauss(50, 10),
            "i64": float(rng.randrange(5)),
            "bool": float(step % 2),
        }.get(each.kind)
        text = rng.choice(["run", "stop", "故障", "12", ""]) if each.kind == "text" else None
        if each.kind == "f64" and step % 11 == 10:
            value = float("nan")
        if not each.own:
            value = CANARY_NUMBER + step
            text = f"{CANARY}-{step}"
        rows["samples"].append(
            {
                "series": each.number,
                "time": at,
                "source_time": at - 500_000 if step % 3 else None,
                "value": value,
                "text": text,
                "quality": rng.choice([0, 0, 0, 0x40000000, 0x80000000]),
                "batch": step * 100 + each.number,
                **_date(at),
                "bucket": 0,
            }
        )
        for table, width in (("samples_minute", HOUR // 60), ("samples_hour", HOUR)):
            begin = at - at % width
            number = 1.5 * step if each.own else CANARY_NUMBER
            figures = dict.fromkeys(("min", "max", "sum", "mean", "first", "last"), number)
            counts = {"count": 1, "good": step % 2, "usable": 1}
            rows[table].append({"series": each.number, "time": begin, **counts, **figures, **_date(begin)})


def _records(rows: dict[str, list[Row]], number: int, gateway: str, rng: random.Random) -> None:
    own = gateway in OWN_GATEWAYS
    said = "as usual" if own else CANARY
    at = T0 + number * HOUR
    seen = {"gateway": gateway, "batch": number, "received": at, **_date(at)}
    rows["gaps"].append(
        {
            **seen,
            "cause": rng.choice(["overrun", "quota"]),
            "t_from": at,
            "t_to": at + HOUR,
            "points": [1, number] if number % 3 else None,
            "samples": number if own else int(CANARY_NUMBER),
            "detail": said,
            "declared_by": "gateway",
        }
    )
    rows["events"].append(
        {
            **seen,
            "stream": "event",
            "kind": "event",
            "time": at,
            "detail": f'{{"no": {number}, "comment": "{said}", "detail": {{"a": [1, 2]}}}}',
            "type": "alarm",
            "app": "pumps",
            "instance": f"p{number % 2}",
            "source": said,
            "text": f"{said} {number}",
            "priority": 1 + number % 4,
            "transition": "raised",
            "state": "unacknowledged",
            "value": float(number) if own else CANARY_NUMBER,
            "quality": 0,
            "operator": "anna" if own else CANARY,
        }
    )
    rows["ledger"].append(
        {
            **seen,
            "stream": "data",
            "epoch": 1,
            "seq": number,
            "kind": "data",
            "samples": number if own else int(CANARY_NUMBER),
            "t_min": at,
            "t_max": at + HOUR,
            "status": "stored",
            "header": said.encode(),
            "signature": said.encode(),
            "segment": f"{CANARY}.seg",  # a segment holds batches of many owners
            "segment_offset": number,
            "repeated": 0,
        }
    )


def _date(at: int) -> Row:
    return {"date": dt.date(1970, 1, 1) + dt.timedelta(days=at // (24 * HOUR))}
