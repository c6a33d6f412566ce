"""The tables of the lake: columns, size, freshness, and some rows to look at."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headquarters.lake.query import Engine
from headquarters.lake.schema import SAMPLES_HOUR, SAMPLES_MINUTE, TABLES, TableSchema
from headquarters.tenancy.scope import Scope
from headquarters.views.seeing import seen_points, sees_records
from headquarters.views.sources import Sources

GROUP = "group"
"""The tenant that owns the tables; rows belong to the tenants of their sites."""

PREVIEW_ROWS = 20
HIDDEN = frozenset({"header", "signature"})
"""Columns that are bytes: no preview shows them."""


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        name: Its name.
        type: Arrow's name of its type.
        description: What it means.
        is_partition: Whether files are kept apart by it.
    """

    name: str
    type: str
    description: Text
    is_partition: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Args:
        name: As queries name it.
        description: What it holds.
        owner: The tenant that answers for it.
        columns: In their order.
        rows: How many; `None` with a limited scope, which sees only some of them.
        size_bytes: Of all files; the same.
        files: How many; the same.
        version: Number of the last commit.
        written_us: When that was; `None` while there is none.
        first_date: The first date that it has rows of; empty in a table without dates, or rows.
        last_date: The last one.
    """

    name: str
    description: Text
    owner: str
    columns: tuple[Column, ...]
    rows: int | None
    size_bytes: int | None
    files: int | None
    version: int
    written_us: int | None
    first_date: str
    last_date: str


@dataclass(frozen=True, slots=True)
class Preview:
    """Some rows of a table.

    Args:
        columns: Names.
        rows: Values as text, or `None`; the newest rows that are seen.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


def catalogue(sources: Sources, scope: Scope) -> tuple[Table, ...]:
    """Every table; none while there is no lake.

    Raises:
        StoreError: The lake cannot be read.
    """
    if not sources.lake.exists:
        return ()
    with sources.engine() as engine:
        return tuple(_table(engine, table, scope) for table in TABLES)


def table(sources: Sources, scope: Scope, name: str) -> Table | None:
    """One table; `None` when there is none of this name.

    Raises:
        StoreError: The lake cannot be read.
    """
    return next((table for table in catalogue(sources, scope) if table.name == name), None)


def preview(sources: Sources, scope: Scope, name: str) -> Preview | None:
    """Some rows of a table; `None` when there is none of this name.

    Raises:
        StoreError: The lake cannot be read.
    """
    schema = next((table for table in TABLES if table.name == name), None)
    if schema is None or not sources.lake.exists:
        return None
    columns = [field.name for field in schema.schema if field.name not in HIDDEN]
    with sources.engine() as engine:
        where = _newest(engine, schema)
        if scope.sites is not None:
            seen = _seen(sources, scope, schema)
            where = seen if where is None else where & seen
        engine.attach("previewed", engine.head(schema, columns, where, PREVIEW_ROWS))
        _, rows = engine.texts("SELECT * FROM previewed")
        return Preview(tuple(columns), tuple(rows))


def describe(table: str, column: str = "") -> Text:
    """What a table, or one of its columns, means.

    >>> describe("samples", "quality").en
    'OPC UA StatusCode.'
    """
    known = _descriptions()[table]
    if not column:
        return Text(known["en"], known["zh"])
    columns = _descriptions()[SAMPLES_MINUTE.name if table == SAMPLES_HOUR.name else table]["columns"]
    return Text(*columns[column])


@cache
def _descriptions() -> dict[str, Any]:
    text = files("headquarters.lake").joinpath("descriptions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _table(engine: Engine, table: TableSchema, scope: Scope) -> Table:
    chosen = engine.files(table)
    dates = sorted({file.date for file in chosen} - {""})
    whole = scope.sites is None
    return Table(
        table.name,
        describe(table.name),
        GROUP,
        tuple(
            Column(
                field.name,
                str(field.type),
                describe(table.name, field.name),
                field.name in table.partitions.names,
            )
            for field in table.schema
        ),
        sum(file.rows for file in chosen) if whole else None,
        sum(file.size for file in chosen) if whole else None,
        len(chosen) if whole else None,
        engine.version(table),
        max((file.modified_ms * 1000 for file in chosen), default=None),
        dates[0] if dates else "",
        dates[-1] if dates else "",
    )


def _newest(engine: Engine, table: TableSchema) -> Any:
    """The condition that opens the last date's files alone; `None` for a table without dates."""
    dates = {file.date for file in engine.files(table)} - {""}
    return pc.field("date") == pa.scalar(date.fromisoformat(max(dates))) if dates else None


def _seen(sources: Sources, scope: Scope, table: TableSchema) -> Any:
    """The condition that only what is seen is given."""
    if "series" in table.columns.names:
        series = [point.series for point in seen_points(sources, scope)]
        return pc.field("series").isin(pa.array(series, pa.int64()))
    gateways = [
        gateway for gateway in sorted(sources.fleet().gateways) if sees_records(sources, scope, gateway)
    ]
    return pc.field("gateway").isin(pa.array(gateways, pa.string()))
