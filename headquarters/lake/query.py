"""SQL over the lake: DuckDB on exactly those files that make up the tables now.

Each table becomes a dataset whose fragments say, from the log's statistics, what they can
hold; a query that asks for one series or a few minutes opens only the files concerned. A
connection can read the lake and nothing else: one statement, no files, no settings.

Views beside the tables: `series` holds the latest definition of each series and
`series_history` all of them; `history` joins samples with names. The function
`series_of('name')` is worked out before the query begins, so that
`WHERE series = series_of('name')` opens few files, which a join cannot.
"""

from __future__ import annotations

import difflib
import re
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from headquarters.lake.deltalog import LOG, DataFile, State, replay
from headquarters.lake.schema import SERIES, TABLES, TableSchema
from protocols.errors import InputError, Problem, StoreError

ROWS_PER_FETCH = 10_000
"""Rows of a result held in memory at a time."""

VIEWS = {
    "series": (
        "SELECT * EXCLUDE (ordinal) FROM series_history "
        "QUALIFY row_number() OVER (PARTITION BY series ORDER BY ordinal DESC) = 1"
    ),
    "history": (
        "SELECT s.name, s.gateway, h.time, h.value, h.text, h.quality, s.unit, s.site, h.source_time, "
        "h.series, h.batch FROM samples h JOIN series s USING (series)"
    ),
}

Dataset = Any
Relation = Any


class Engine:
    """Queries over one lake; not shared between threads.

    Args:
        lake: The lake's folder.
        timezone: The zone in which times are written and read, such as `Asia/Shanghai`.

    Raises:
        InputError: There is no lake, or no such zone.
        StoreError: A table cannot be read.
    """

    def __init__(self, lake: Path, timezone: str = "UTC") -> None:
        require_lake(lake)
        self._lake = lake
        self._states: dict[str, State] = {}
        self._datasets: dict[str, Dataset] = {}
        self._connection = duckdb.connect()
        try:
            self._connection.execute(f"SET TimeZone = {literal(timezone)}")
        except duckdb.Error as error:
            expected = "a time zone such as UTC or Asia/Shanghai"
            raise InputError([Problem("--timezone", "", timezone, expected)]) from error
        self._names: dict[str, set[int]] | None = None
        self.refresh()
        ours = weakref.ref(self)  # the connection must not keep us, who keep it

        def series_of(name: str) -> int:
            engine = ours()
            assert engine is not None, "a query runs only while its engine is there"
            return engine._series_of(name)

        self._connection.create_function("series_of", series_of, ["VARCHAR"], "BIGINT")
        for name, sql in VIEWS.items():
            self._connection.execute(f"CREATE VIEW {name} AS {sql}")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def refresh(self) -> None:
        """Look at the newest version of every table that has a new one.

        Raises:
            StoreError: A table cannot be read.
        """
        for table in TABLES:
            name = _seen_as(table)
            known = self._states.get(name)
            before = -1 if known is None else known.version
            state = self._states[name] = replay(self._lake / table.name / LOG, known)
            if state.version != before:
                self._names = None
                dataset = dataset_of(self._lake / table.name, table, state.files.values())
                self._datasets[name] = dataset
                self._connection.register(name, dataset)

    def version(self, table: TableSchema) -> int:
        """Which version of a table queries see."""
        return self._states[_seen_as(table)].version

    def files(self, table: TableSchema) -> list[DataFile]:
        """The files that make up a table as queries see it."""
        return list(self._states[_seen_as(table)].files.values())

    def scan(self, table: TableSchema, columns: Sequence[str], where: Any) -> pa.Table:
        """Rows of one table, in no order, without SQL and what it costs.

        Args:
            table: Which.
            columns: Which of its columns.
            where: A pyarrow filter expression.

        Raises:
            StoreError: A file cannot be read.
        """
        try:
            return self._datasets[_seen_as(table)].to_table(columns=list(columns), filter=where)
        except (OSError, pa.ArrowException) as error:
            raise _unread(error) from error

    def head(self, table: TableSchema, columns: Sequence[str], where: Any, rows: int) -> pa.Table:
        """Some rows of one table, whichever are read first; no more is read than they need.

        Args:
            table: Which.
            columns: Which of its columns.
            where: A pyarrow filter expression; `None`: any rows.
            rows: How many at most.

        Raises:
            StoreError: A file cannot be read.
        """
        try:
            scanner = self._datasets[_seen_as(table)].scanner(
                columns=list(columns), filter=where, batch_size=1024, batch_readahead=0, fragment_readahead=0
            )
            return scanner.head(rows)
        except (OSError, pa.ArrowException) as error:
            raise _unread(error) from error

    def attach(self, name: str, rows: pa.Table) -> None:
        """Let queries use rows that are not in the lake, under a name."""
        self._connection.register(name, rows)

    def query(self, sql: str) -> Relation:
        """Run one statement that reads.

        Raises:
            InputError: It is not one reading statement, or is wrong.
        """
        try:
            statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            raise _wrong(sql, str(error)) from error
        if len(statements) != 1 or statements[0].type not in _READING:
            found = "none" if not statements else f"{len(statements)}, first a {statements[0].type.name}"
            raise _wrong(sql, f"expected one statement that reads (SELECT, DESCRIBE), got {found}")
        try:
            relation = self._connection.sql(sql)
        except duckdb.Error as error:
            raise _wrong(sql, str(error)) from error
        if relation is None:
            raise _wrong(sql, "expected a statement with a result")
        return relation

    def rows(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Column names and rows as Python values; times are text in the engine's zone.

        Raises:
            InputError: The statement is wrong.
        """
        return rows_of(sql, self.query(sql))

    def texts(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Column names and rows as text, as DuckDB writes every type; null stays `None`.

        Raises:
            InputError: The statement is wrong.
        """
        return texts_of(sql, self.query(sql))

    def arrow(self, sql: str) -> pa.RecordBatchReader:
        """The result as Arrow batches.

        Raises:
            InputError: The statement is wrong.
        """
        return _reader(sql, self.query(sql))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _series_of(self, name: str) -> int:
        """The one series with this name, or with this `gateway/name`."""
        if self._names is None:
            self._names = self._load_names()
        found = self._names.get(name, set())
        if len(found) == 1:
            return next(iter(found))
        if found:
            raise ValueError(f"expected one series named {name!r}, got {len(found)}; write 'gateway/{name}'")
        near = difflib.get_close_matches(name, self._names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"expected the name of a point, got {name!r}{hint}")

    def _load_names(self) -> dict[str, set[int]]:
        folder, files = self._lake / SERIES.name, self._states["series_history"].files.values()
        rows = dataset_of(folder, SERIES, files).to_table().sort_by("ordinal")
        names: dict[str, set[int]] = {}
        for row in {row["series"]: row for row in rows.select(_NAMES).to_pylist()}.values():
            for name in (row["name"], f"{row['gateway']}/{row['name']}"):
                names.setdefault(name, set()).add(row["series"])
        return names


def require_lake(lake: Path) -> None:
    """See that a folder is a lake.

    Raises:
        InputError: It is none.
    """
    if not (lake / SERIES.name / LOG).is_dir():
        expected = "a lake; start headquarters once with: catchment-hq run"
        raise InputError([Problem(str(lake), "", "", expected)])


def _seen_as(table: TableSchema) -> str:
    return "series_history" if table is SERIES else table.name


def rows_of(sql: str, relation: Relation) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Column names and rows of a relation as Python values; times are text in its connection's zone."""
    columns = ", ".join(
        f"{_quoted(name)}::VARCHAR AS {_quoted(name)}" if str(kind).startswith("TIMESTAMP") else _quoted(name)
        for name, kind in zip(relation.columns, relation.types, strict=True)
    )
    return list(relation.columns), _fetch(sql, relation.project(columns))


def texts_of(sql: str, relation: Relation) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Column names and rows of a relation as text, as DuckDB writes every type; null stays `None`."""
    return list(relation.columns), _fetch(sql, relation.project("COLUMNS(*)::VARCHAR"))


def dataset_of(folder: Path, table: TableSchema, chosen: Any) -> Dataset:
    """A dataset over some files of a table, each with what the log says it can hold.

    Args:
        folder: The table's folder.
        table: Its schema.
        chosen: Its files.
    """
    form = ds.ParquetFileFormat()
    local = pafs.LocalFileSystem()
    fragments = [
        form.make_fragment(str(folder / file.path), local, _guarantee(table, file)) for file in chosen
    ]
    return ds.FileSystemDataset(fragments, table.schema, form, local)


_NAMES = ["series", "gateway", "name"]

_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.RELATION)


def _guarantee(table: TableSchema, file: DataFile) -> Any:
    """What holds for every row of a file: partition values and ranges of columns without nulls."""
    known = [
        pc.field(field.name) == pa.scalar(file.partition[field.name]).cast(field.type)
        for field in table.partitions
    ]
    for name in table.ranges:
        if name in file.low and not pa.types.is_string(table.columns.field(name).type):
            low, high = (
                _scalar(bounds[name], table.columns.field(name).type) for bounds in (file.low, file.high)
            )
            known += [pc.field(name) >= low, pc.field(name) <= high]
    if not known:
        return None
    guarantee = known[0]
    for further in known[1:]:
        guarantee = guarantee & further
    return guarantee


def _scalar(bound: Any, type: pa.DataType) -> pa.Scalar:
    if pa.types.is_timestamp(type):
        micros = int(np.datetime64(str(bound).rstrip("Z"), "us").astype(np.int64))
        return pa.scalar(micros, pa.int64()).cast(type)
    return pa.scalar(bound, type)


def _fetch(sql: str, relation: Relation) -> Iterator[tuple[Any, ...]]:
    reader = _reader(sql, relation)
    try:
        for batch in reader:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise _failed(sql, error) from error


def _reader(sql: str, relation: Relation) -> pa.RecordBatchReader:
    try:
        return relation.to_arrow_reader(ROWS_PER_FETCH)
    except duckdb.Error as error:
        raise _failed(sql, error) from error


def _failed(sql: str, error: Exception) -> InputError | StoreError:
    """Whose fault it is that a statement that was understood does not end: the lake's or its own."""
    text = str(error)
    if isinstance(error, OSError) or ".parquet" in text:
        return _unread(error)
    return _wrong(sql, text)


def _unread(error: Exception) -> StoreError:
    return StoreError(f"expected to read the lake's files: {error}; restore the file from a copy")


def literal(text: str) -> str:
    """A text as an SQL literal, where DuckDB takes no parameter.

    >>> literal("gw-1"), literal("x' or '1")
    ("'gw-1'", "'x'' or ''1'")
    """
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _wrong(sql: str, message: str) -> InputError:
    """DuckDB's message, with the tables there are when it did not find one."""
    missing = re.search(r"Table with name (\S+) does not exist", message)
    expected = f"SQL that DuckDB understands: {message.strip()}"
    if missing is not None:
        names = table_names()
        near = difflib.get_close_matches(missing[1].lower(), names, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        expected = f"{hint}one of the tables {', '.join(names)}"
        return InputError([Problem("query", "table", missing[1], expected)])
    shown = " ".join(sql.split())
    return InputError([Problem("query", "", shown if len(shown) <= 120 else shown[:117] + "...", expected)])


def table_names() -> Sequence[str]:
    """Everything that a query can name."""
    return sorted({table.name for table in TABLES} | {"series_history"} | set(VIEWS))
