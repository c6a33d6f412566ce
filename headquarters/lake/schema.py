"""The tables of the lake and their columns; `docs/lake.md` describes them to readers.

Times are microseconds, UTC. Numbers that Delta has no unsigned type for (StatusCodes,
point ids) are 64-bit signed. `date` and `bucket` are partition columns: in `samples` and
the roll-ups the date of the sample, elsewhere the date on which headquarters took it in.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import pyarrow as pa

from headquarters import limits

TIME = pa.timestamp("us", "UTC")


class TableSchema(NamedTuple):
    """One table.

    Args:
        name: Its folder under the lake, and its name in queries.
        columns: Those in the files.
        partitions: Those in the folder names.
        sort: The order of rows in a file, but for appended files of `samples`.
        ranges: Columns whose lowest and highest value the log keeps, so that a reader
            opens only files that can hold what it looks for.
        dictionary: Text columns that repeat few values.
        complete: Columns that are never null, which costs less to write and to read.
        group_rows_min: A row group of a file with few rows has so many (`files.group_rows`).
    """

    name: str
    columns: pa.Schema
    partitions: pa.Schema
    sort: tuple[str, ...]
    ranges: tuple[str, ...]
    dictionary: tuple[str, ...]
    complete: tuple[str, ...] = ()
    group_rows_min: int = limits.ROWS_PER_GROUP

    def file_columns(self, names: Collection[str]) -> pa.Schema:
        """Some of the columns as a file declares them; one that a file leaves out is null in all its rows."""
        return pa.schema(
            [
                field.with_nullable(field.name not in self.complete)
                for field in self.columns
                if field.name in names
            ]
        )

    @property
    def schema(self) -> pa.Schema:
        """All columns, as Delta declares them."""
        return pa.schema([*self.columns, *self.partitions])


_DATE = pa.schema([("date", pa.date32())])
_DATE_BUCKET = pa.schema([("date", pa.date32()), ("bucket", pa.int32())])

SAMPLES = TableSchema(
    "samples",
    pa.schema(
        [
            ("series", pa.int64()),
            ("time", TIME),
            ("source_time", TIME),
            ("value", pa.float64()),
            ("text", pa.string()),
            ("quality", pa.int64()),
            ("batch", pa.int64()),
        ]
    ),
    _DATE_BUCKET,
    ("series", "time"),
    ("series", "time", "batch"),
    ("text",),
    ("series", "time", "quality", "batch"),
)

SERIES = TableSchema(
    "series",
    pa.schema(
        [
            ("series", pa.int64()),
            ("gateway", pa.string()),
            ("point", pa.int64()),
            ("type", pa.string()),
            ("name", pa.string()),
            ("unit", pa.string()),
            ("site", pa.string()),
            ("scan_period_ms", pa.int64()),
            ("resolution", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("description", pa.string()),
            ("provisional", pa.bool_()),
            ("valid_from", TIME),
            ("table_hash", pa.string()),
            ("ordinal", pa.int64()),
        ]
    ),
    pa.schema([]),
    ("ordinal",),
    ("series", "ordinal"),
    ("gateway", "type", "unit", "site", "table_hash"),
)

LEDGER = TableSchema(
    "ledger",
    pa.schema(
        [
            ("batch", pa.int64()),
            ("gateway", pa.string()),
            ("stream", pa.string()),
            ("epoch", pa.int64()),
            ("seq", pa.int64()),
            ("kind", pa.string()),
            ("samples", pa.int64()),
            ("t_min", TIME),
            ("t_max", TIME),
            ("received", TIME),
            ("status", pa.string()),
            ("header", pa.binary()),
            ("signature", pa.binary()),
            ("segment", pa.string()),
            ("segment_offset", pa.int64()),
            ("repeated", pa.int64()),
        ]
    ),
    _DATE,
    ("gateway", "stream", "epoch", "seq"),
    ("batch", "gateway", "epoch", "seq"),
    ("gateway", "stream", "epoch", "kind", "status", "segment", "received"),
)

GAPS = TableSchema(
    "gaps",
    pa.schema(
        [
            ("gateway", pa.string()),
            ("cause", pa.string()),
            ("t_from", TIME),
            ("t_to", TIME),
            ("points", pa.list_(pa.int64())),
            ("samples", pa.int64()),
            ("epoch", pa.int64()),
            ("seq_from", pa.int64()),
            ("seq_to", pa.int64()),
            ("detail", pa.string()),
            ("declared_by", pa.string()),
            ("batch", pa.int64()),
            ("received", TIME),
        ]
    ),
    _DATE,
    ("gateway", "t_from"),
    ("gateway", "batch", "t_from", "t_to"),
    ("gateway", "cause", "declared_by"),
)

EVENTS = TableSchema(
    "events",
    pa.schema(
        [
            ("gateway", pa.string()),
            ("stream", pa.string()),
            ("kind", pa.string()),
            ("time", TIME),
            ("detail", pa.string()),
            ("batch", pa.int64()),
            ("received", TIME),
            ("type", pa.string()),
            ("app", pa.string()),
            ("instance", pa.string()),
            ("source", pa.string()),
            ("text", pa.string()),
            ("priority", pa.int64()),
            ("transition", pa.string()),
            ("state", pa.string()),
            ("value", pa.float64()),
            ("quality", pa.int64()),
            ("operator", pa.string()),
        ]
    ),
    _DATE,
    ("gateway", "time"),
    ("gateway", "batch", "time"),
    (
        "gateway",
        "stream",
        "kind",
        "type",
        "app",
        "instance",
        "source",
        "text",
        "transition",
        "state",
        "operator",
    ),
)

_ROLLUP = pa.schema(
    [
        ("series", pa.int64()),
        ("time", TIME),
        ("count", pa.int64()),
        ("good", pa.int64()),
        ("usable", pa.int64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("sum", pa.float64()),
        ("mean", pa.float64()),
        ("first", pa.float64()),
        ("last", pa.float64()),
    ]
)

SAMPLES_MINUTE = TableSchema(
    "samples_minute",
    _ROLLUP,
    _DATE,
    ("series", "time"),
    ("series", "time"),
    ("series", "count", "good", "usable"),
    group_rows_min=limits.ROLLED_ROWS_PER_GROUP,
)
SAMPLES_HOUR = SAMPLES_MINUTE._replace(name="samples_hour")

TABLES = (SAMPLES, SERIES, LEDGER, GAPS, EVENTS, SAMPLES_MINUTE, SAMPLES_HOUR)
