"""Runs one governed query in a DuckDB that can do nothing else.

Each query has a database of its own, in memory, used for it alone and thrown away: no table, setting or
temporary file of one is there for the next. It reaches no file, loads no extension, looks at no
Python variable, and its configuration is locked before the query is seen.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from headquarters.lake.query import literal
from headquarters.services.sql.errors import Fault, QueryError, place_of
from headquarters.services.sql.estimate import Planner, cost_of
from headquarters.services.sql.guard import Governed, check
from headquarters.services.sql.limits import PAGE_ROWS, PLANNERS_MAX
from headquarters.services.sql.proof import prove
from headquarters.services.sql.relations import BY_GATEWAY, BY_SERIES, RELATIONS
from headquarters.services.sql.rights import Rights
from headquarters.services.sql.source import UNREAD, LakeSource, keys
from headquarters.services.sql.task import Bounds, Estimate, Outcome, Task
from protocols.errors import StoreError, StoreFullError

Connection = duckdb.DuckDBPyConnection

READ_FAILED = "Invalid Input Error: reading the stream registered as "
"""How DuckDB begins when Arrow could not read what was handed to it: the lake's fault and not the query's."""


class Executor:
    """Runs tasks over one lake, one at a time.

    Args:
        lake: The lake's folder.
        spill: A folder of its own for what a query sets aside.

    Raises:
        InputError: There is no lake.
        StoreError: It cannot be read.
    """

    def __init__(self, lake: Path, spill: Path) -> None:
        self._source = LakeSource(lake)
        self._spill = spill
        self._planners: dict[str, Planner] = {}
        self._spare: Connection | None = None
        self._bounds: Bounds | None = None
        self._running: Connection | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Stop the task that runs; may be called from another thread."""
        self._interrupted = True
        running = self._running
        if running is not None:
            running.interrupt()

    def explain(self, task: Task) -> Estimate:
        """Govern a query and say what it would read.

        Raises:
            QueryError: It is refused, wrong or was stopped.
            StoreError: The lake cannot be read.
        """
        governed, rights, estimate = self._prepare(task)
        planner, parameters = self._planner(task.timezone), _bound(task, governed)
        with self._interruptible(planner.connection), _translated(task.sql, governed):
            plan = planner.shown(governed, parameters)
        with self._connected(task, governed, rights) as connection, _translated(task.sql, governed):
            described = connection.execute(f"DESCRIBE {governed.sql}", parameters).fetchall()
        columns = tuple((str(row[0]), str(row[1])) for row in described)
        return replace(estimate, plan=plan, columns=columns)

    def run(self, task: Task) -> Outcome:
        """Run a query and write its result.

        Args:
            task: What to run; `task.result` is made, with one record batch a page.

        Raises:
            QueryError: It is refused, wrong, too expensive or was stopped.
            StoreError: The lake cannot be read, or the result not written.
        """
        began = time.monotonic()
        governed, rights, estimate = self._prepare(task)
        if estimate.rows > task.bounds.rows_read:
            expected = (
                f"at most {task.bounds.rows_read:,} rows to read; say which dates and series are meant"
                " (WHERE date >= ..., WHERE series = series_of('...')), or ask samples_hour"
            )
            raise QueryError(Fault.COSTLY, "", f"about {estimate.rows:,} rows", expected)
        with self._connected(task, governed, rights) as connection, _translated(task.sql, governed):
            reader = _renamed(_reader(connection, governed.sql, _bound(task, governed)), governed)
            rows, size, truncated = write_pages(
                reader, Path(task.result), task.bounds.rows, task.bounds.bytes
            )
        return Outcome(rows, size, truncated, time.monotonic() - began, estimate)

    def begin(self) -> None:
        """A new task: an interruption from here on is meant for it."""
        self._interrupted = False

    def rest(self) -> None:
        """Nothing is asked just now: have the next task's database ready: a third of a small query."""
        if self._spare is None and self._bounds is not None:
            with suppress(duckdb.Error, MemoryError):  # whoever asks next will be told
                self._spare = _closed(self._bounds, self._spill)

    def _prepare(self, task: Task) -> tuple[Governed, Rights, Estimate]:
        self._source.refresh()
        rights = self._source.rights(task.reach)
        names = self._source.index.names(rights) if "series_of" in task.sql.lower() else {}
        governed = check(task.sql, task.reach, names, task.parameters, own=rights.runs())
        planner = self._planner(task.timezone)
        with self._interruptible(planner.connection), _translated(task.sql, governed):
            prove(planner.connection, governed)
            plan = planner.plan(governed, _bound(task, governed))
        costs = cost_of(plan, self._source, rights, self._heed)
        tables = tuple((name, cost.files, cost.rows) for name, cost in sorted(costs.items()))
        files, rows = sum(cost.files for cost in costs.values()), sum(cost.rows for cost in costs.values())
        return governed, rights, Estimate(files, rows, tables, "", ())

    def _planner(self, timezone: str) -> Planner:
        planner = self._planners.pop(timezone, None)
        if planner is None:
            try:
                planner = Planner(timezone)
            except duckdb.Error as error:
                expected = "a time zone such as UTC or Asia/Shanghai"
                raise QueryError(Fault.WRONG, "timezone", timezone, expected) from error
        self._planners[timezone] = planner  # the last one asked for stands last
        if len(self._planners) > PLANNERS_MAX:
            self._planners.pop(next(iter(self._planners))).close()
        return planner

    @contextmanager
    def _connected(self, task: Task, governed: Governed, rights: Rights) -> Iterator[Connection]:
        connection = self._database(task.bounds)
        try:
            for name in governed.sources:
                connection.register(governed.base(name), self._source.rows(RELATIONS[name], rights))
            for key in (BY_SERIES, BY_GATEWAY):
                if governed.keys(key) in governed.sql:
                    connection.register(governed.keys(key), keys(key, rights))
            connection.execute(f"SET TimeZone = {literal(task.timezone)}")
            connection.execute("SET lock_configuration = true")
            with self._interruptible(connection):
                yield connection
        finally:
            connection.close()

    def _database(self, bounds: Bounds) -> Connection:
        """A database in which nothing was ever done."""
        spare, made_for = self._spare, self._bounds
        self._spare, self._bounds = None, bounds
        if spare is not None and made_for == bounds:
            return spare
        if spare is not None:
            spare.close()
        return _closed(bounds, self._spill)

    @contextmanager
    def _interruptible(self, connection: Connection) -> Iterator[None]:
        self._running = connection
        try:
            self._heed()
            yield
        finally:
            self._running = None

    def _heed(self) -> None:
        """Go no further when the task was interrupted.

        Raises:
            QueryError: It was.
        """
        if self._interrupted:
            raise _stopped()


def _closed(bounds: Bounds, spill: Path) -> Connection:
    """A new database that reaches nothing, with room for a query's bounds."""
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "memory_limit": f"{bounds.memory_bytes}B",
            "threads": str(bounds.threads),
            "temp_directory": str(spill),
            "max_temp_directory_size": f"{bounds.spill_bytes}B",
        }
    )
    for setting in LOCKS:
        connection.execute(setting)
    return connection


LOCKS = (
    # What a join learns is no help to Arrow's reader, and costs a check of each row: twice the time.
    "SET disabled_optimizers = 'join_filter_pushdown'",
    "SET python_enable_replacements = false",
    "SET python_scan_all_frames = false",
    "SET enable_external_access = false",
)
"""Settings that tune and close a database, before `lock_configuration` makes them final."""


def _reader(connection: Connection, sql: str, parameters: dict[str, Any]) -> pa.RecordBatchReader:
    """The rows as they are computed; with parameters, once they all are."""
    if not parameters:
        return connection.sql(sql).to_arrow_reader(PAGE_ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the copy that it warns of is the price of binding
        return connection.execute(sql, parameters).to_arrow_reader(PAGE_ROWS)


def _renamed(reader: pa.RecordBatchReader, governed: Governed) -> pa.RecordBatchReader:
    """The same rows, with nothing of our names in the names of their columns."""
    names = [name.replace(f"_{governed.nonce}", "") for name in reader.schema.names]
    if names == reader.schema.names:
        return reader
    fields = [field.with_name(name) for field, name in zip(reader.schema, names, strict=True)]
    batches = (batch.rename_columns(names) for batch in reader)
    return pa.RecordBatchReader.from_batches(pa.schema(fields), batches)


def _bound(task: Task, governed: Governed) -> dict[str, Any]:
    return {name: task.parameters[name] for name in governed.parameters}


def write_pages(
    reader: pa.RecordBatchReader, path: Path, rows_max: int, bytes_max: int
) -> tuple[int, int, str]:
    """Write a result as an Arrow file with `PAGE_ROWS` rows in each record batch.

    Args:
        reader: The rows, in any portions.
        path: The file to make.
        rows_max: It ends after so many rows.
        bytes_max: It ends before a page that makes it larger.

    Returns:
        Rows, bytes, and why it ended before its end: `rows`, `bytes`, or nothing.

    Raises:
        StoreFullError: There is no room.
    """
    rows, truncated = 0, ""
    try:
        with pa.OSFile(str(path), "wb") as sink:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(sink, reader.schema, options=options) as writer:
                for page in _pages(_read(reader)):
                    if rows + len(page) > rows_max:
                        page, truncated = page.slice(0, rows_max - rows), "rows"
                    if sink.tell() + page.nbytes > bytes_max and sink.tell() + _packed(page) > bytes_max:
                        truncated = "bytes"
                        break
                    if len(page):
                        writer.write_batch(page)
                        rows += len(page)
                    if truncated:
                        break
            size = sink.tell()
    except OSError as error:
        raise StoreFullError(f"cannot write {path}: {error}; make room, or ask for less") from error
    return rows, size, truncated


class _FailedError(Exception):
    """The query did not come to its end; the message is DuckDB's."""


def _read(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Batch after batch. What goes wrong in DuckDB arrives as `OSError`, and the disk has no part in it.

    Raises:
        _FailedError: The query fails on its way.
    """
    try:
        yield from reader
    except (OSError, duckdb.Error, pa.ArrowException) as error:
        raise _FailedError(str(error)) from error


def _pages(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in portions of `PAGE_ROWS`."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += len(batch)
        if held < PAGE_ROWS:
            continue
        table = pa.Table.from_batches(waiting).combine_chunks()
        whole = len(table) - len(table) % PAGE_ROWS
        for at in range(0, whole, PAGE_ROWS):
            yield table.slice(at, PAGE_ROWS).combine_chunks().to_batches()[0]
        rest = table.slice(whole)
        waiting, held = rest.to_batches(), len(rest)
    if held:
        yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]


def _packed(page: pa.RecordBatch) -> int:
    """Bytes that a page takes in the file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, page.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(page)
    return int(sink.getvalue().size)


@contextmanager
def _translated(sql: str, governed: Governed) -> Iterator[None]:
    """DuckDB's errors as ours, in the words of the query that was asked.

    Raises:
        QueryError: The query is wrong, or was stopped.
        StoreError: A file of the lake cannot be read.
    """
    try:
        yield
    except (MemoryError, pa.ArrowMemoryError) as error:
        raise _too_much() from error
    except (duckdb.Error, pa.ArrowException, OSError, _FailedError) as error:
        text = str(error)
        if text.startswith("INTERRUPT Error"):
            raise _stopped() from error
        if text.startswith("Out of Memory Error") or "failed: Out of memory" in text:
            raise _too_much() from error
        if isinstance(error, OSError) or text.startswith(READ_FAILED):
            raise StoreError(UNREAD) from error
        said = own_words(text, governed)
        raise QueryError(Fault.WRONG, *_where(sql, said), f"SQL that DuckDB understands: {said}") from error


def _stopped() -> QueryError:
    return QueryError(Fault.CANCELLED, "", "", "nothing: it was stopped")


def _too_much() -> QueryError:
    expected = "less to hold at once: fewer groups, no ORDER BY over everything, or a LIMIT"
    return QueryError(Fault.MEMORY, "", "", expected)


def own_words(text: str, governed: Governed) -> str:
    """A message of DuckDB without the SQL that it was given and the names in it.

    Args:
        text: The message.
        governed: The query.
    """
    text = re.split(r"\n+LINE \d+:", text)[0]
    for number, name in enumerate(governed.ctes):
        text = text.replace(name, f"expression {number + 1}")
    return " ".join(text.replace(f"_{governed.nonce}", "").split())


def _where(sql: str, said: str) -> tuple[str, str]:
    """Place and value of the name that a message is about, if it stands in the query."""
    for name in re.findall(r'"([^"]+)"|name (\S+) ', said):
        word = name[0] or name[1]
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sql, re.IGNORECASE)
        if found:
            return place_of(sql, found.start()), word
    return "", ""
