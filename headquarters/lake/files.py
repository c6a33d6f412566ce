"""Parquet files of the lake: written whole, flushed, and described for the log.

A name says how a file came to be: `a-` appended by one commit, `m1-`, `m2-` ... merged
from smaller ones while its date was open, `s-` one of the sorted files of a closed date.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headquarters import limits
from headquarters.lake import disk
from headquarters.lake.deltalog import DataFile
from headquarters.lake.schema import TableSchema
from protocols.errors import StoreError

APPENDED = "a"
SORTED = "s"

GROUPS = 128
"""Row groups of a file of roll-ups: what it says of them is read in about two milliseconds."""


class FileWriter:
    """One Parquet file being written; `close` makes it durable and says what to log.

    Args:
        table: The table it belongs to.
        folder: That table's folder.
        partition: Values of the partition columns, as text.
        kind: First part of the name.
        names: Columns to write; those left out are null in every row. All by default.
        rows: How many there will be, about; 0: that is not known.
    """

    def __init__(
        self,
        table: TableSchema,
        folder: Path,
        partition: Mapping[str, str],
        kind: str,
        names: Collection[str] | None = None,
        rows: int = 0,
    ) -> None:
        self._table = table
        self._group_rows = group_rows(table, rows)
        self._columns = table.file_columns(table.columns.names if names is None else names)
        self._folder = folder
        self._partition = partition
        parts = [f"{name}={value}" for name, value in partition.items()]
        self._relative = "/".join([*parts, f"{kind}-{secrets.token_hex(10)}.parquet"])
        self._path = folder / self._relative
        self._low: dict[str, Any] = {}
        self._high: dict[str, Any] = {}
        self._rows = 0
        try:
            disk.make_folder(self._path.parent)
            self._writer = pq.ParquetWriter(
                self._path, self._columns, **_encoding(table, self._columns, kind)
            )
        except OSError as error:
            raise self._failed(error) from error

    def write(self, rows: pa.Table) -> None:
        """Append rows as they stand.

        Raises:
            StoreError: The disk refused them.
        """
        try:
            arrays = [rows.column(name) for name in self._columns.names]
            table = pa.Table.from_arrays(arrays, schema=self._columns)
            self._writer.write_table(table, row_group_size=self._group_rows)
        except OSError as error:
            raise self._failed(error) from error
        self._rows += len(rows)
        for name in self._table.ranges:
            self._extend(name, rows.column(name))

    def close(self, now_ms: int) -> DataFile:
        """Flush the file and its folder to the disk.

        Raises:
            StoreError: The disk refused.
        """
        try:
            self._writer.close()
            disk.sync_together(self._path, self._path.parent)
            size = self._path.stat().st_size
        except OSError as error:
            raise self._failed(error) from error
        low, high = self._stats(self._low), self._stats(self._high)
        return DataFile(self._relative, dict(self._partition), size, self._rows, low, high, now_ms)

    def abandon(self) -> None:
        """Give the file up and delete it."""
        self._writer.close()
        self._path.unlink(missing_ok=True)

    def _extend(self, name: str, column: pa.ChunkedArray) -> None:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        bounds = pc.min_max(column)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if low is not None:
            self._low[name] = min(self._low.get(name, low), low)
            self._high[name] = max(self._high.get(name, high), high)

    def _stats(self, bounds: Mapping[str, Any]) -> dict[str, Any]:
        """Bounds as the log writes them."""
        columns = self._table.columns
        return {
            name: f"{np.datetime64(bound, 'us')}Z"
            if pa.types.is_timestamp(columns.field(name).type)
            else bound
            for name, bound in bounds.items()
        }

    def _failed(self, error: OSError) -> StoreError:
        reason = error.strerror or str(error)
        return StoreError(f"expected to write {self._path}: {reason}; make room or repair the disk")


def write(
    table: TableSchema, folder: Path, partition: Mapping[str, str], kind: str, rows: pa.Table, now_ms: int
) -> DataFile:
    """Write one file of rows that are in order; see `FileWriter`."""
    names = [name for name in table.columns.names if rows.column(name).null_count < len(rows)]
    writer = FileWriter(table, folder, partition, kind, names, len(rows))
    writer.write(rows)
    return writer.close(now_ms)


def group_rows(table: TableSchema, rows: int) -> int:
    """Rows of a row group: so that a file has `GROUPS` of them, within the table's bounds.

    Who asks for one series decodes its whole group, but who opens a file reads what it says of all.

    Args:
        table: Which table.
        rows: How many the file will have.

    >>> from headquarters.lake.schema import SAMPLES, SAMPLES_MINUTE
    >>> [group_rows(SAMPLES_MINUTE, rows) for rows in (115_200, 2_000_000, 14_400_000)]
    [8192, 15625, 65536]
    >>> group_rows(SAMPLES, 115_200)
    65536
    """
    return min(max(table.group_rows_min, rows // GROUPS), limits.ROWS_PER_GROUP)


def _encoding(table: TableSchema, columns: pa.Schema, kind: str) -> dict[str, Any]:
    """How columns are packed, by measurement on plant data.

    An appended file lives for a minute or so: it is packed for speed. Others are packed
    for size: zstd-1 takes half the bytes and a third more time.
    """
    repeating = [name for name in table.dictionary if name in columns.names]
    others = [field for field in columns if field.name not in repeating]
    integers = [field.name for field in others if pa.types.is_integer(field.type)]
    times = [field.name for field in others if pa.types.is_timestamp(field.type)]
    common = {
        "write_statistics": [name for name in table.sort if name in columns.names],
        "write_batch_size": limits.ROWS_PER_GROUP,
        "store_schema": False,
    }
    if kind == APPENDED:  # integers come in runs, for which dictionaries are cheapest
        return {
            "compression": "snappy",
            "use_dictionary": repeating + integers,
            "data_page_version": "2.0",
            **common,
        }
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": repeating,
        "column_encoding": dict.fromkeys(integers + times, "DELTA_BINARY_PACKED"),
        **common,
    }


def unlink_all(folder: Path, files: list[DataFile]) -> None:
    """Delete files that no commit will name."""
    for file in files:
        (folder / file.path).unlink(missing_ok=True)
