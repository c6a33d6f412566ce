"""The tables as the ingest core sees them: append rows with marks, and ask how far they are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from headquarters import limits
from headquarters.ingest.repeats import Epoch, Key, Wanted
from headquarters.ingest.rows import EventRow, GapRow, LedgerRow, SampleChunk, SeriesRow, Status
from headquarters.lake import files, schema
from headquarters.lake.deltalog import LOG, DataFile, DeltaLog
from headquarters.lake.samples import partitioned, portions, present
from headquarters.lake.schema import TableSchema
from protocols import crash
from protocols.batch import Chain, Header, Stream, header_hash
from protocols.errors import StoreDamagedError, StoreError
from protocols.records import EventRecord
from protocols.samples import NO_SOURCE_TIME, UNCERTAIN

RETENTION_MS = 3_600_000
"""Removed files and old log files stay for an hour: longer than any query runs."""


def now_ms() -> int:
    """Milliseconds since 1970, for the log."""
    return time.time_ns() // 1_000_000


class LakeTable:
    """One table: its folder, its log, and how its rows are written.

    Args:
        lake: The lake's folder.
        table: Which table.
        retention_ms: See `RETENTION_MS`.
        clock_ms: Wall clock in milliseconds.
    """

    def __init__(
        self,
        lake: Path,
        table: TableSchema,
        retention_ms: int = RETENTION_MS,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.table = table
        self.folder = lake / table.name
        self.clock_ms = clock_ms
        self.log = DeltaLog(self.folder, table.schema, table.partitions.names, table.ranges, retention_ms)

    def mark(self, chain: Chain) -> int | None:
        """The last sequence held of a chain."""
        return self.log.transaction(str(chain))

    def read(self, chosen: Iterable[DataFile], columns: list[str] | None, where: Any = None) -> pa.Table:
        """Rows of some files.

        Args:
            chosen: Files of this table.
            columns: Which columns, all by default.
            where: A pyarrow filter expression.

        Raises:
            StoreError: A file cannot be read.
        """
        chosen = list(chosen)
        if not chosen:
            empty = self.table.columns.empty_table()
            return empty if columns is None else empty.select(columns)
        with self._reading():
            return self.dataset(chosen).to_table(columns=columns, filter=where)

    def batches(self, chosen: Sequence[DataFile], columns: list[str], where: Any) -> Iterator[pa.RecordBatch]:
        """Rows of some files, some at a time.

        Raises:
            StoreError: A file cannot be read.
        """
        if chosen:
            with self._reading():
                yield from self.dataset(chosen).to_batches(columns=columns, filter=where)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"expected Parquet files in {self.folder}: {error}; restore the file from a copy"
            ) from error

    def dataset(self, chosen: Iterable[DataFile]) -> Any:
        """Some files as a pyarrow dataset."""
        paths = [str(self.folder / file.path) for file in chosen]
        return ds.dataset(paths, schema=self.table.columns, format="parquet")

    def append_rows(self, rows: pa.Table, partition: Mapping[str, str]) -> DataFile:
        """Write rows, put into order, as one file; it counts when a commit names it."""
        if len(rows) > 1:
            rows = rows.sort_by([(name, "ascending") for name in self.table.sort])
        return files.write(self.table, self.folder, partition, files.APPENDED, rows, self.clock_ms())

    def commit(self, adds: Sequence[DataFile], marks: Mapping[Chain, int]) -> None:
        """Make files and marks part of the table."""
        self.log.commit(adds, self.clock_ms(), {str(chain): seq for chain, seq in marks.items()})


class SamplesTable(LakeTable):
    """The samples."""

    def append(self, rows: Sequence[SampleChunk], marks: Mapping[Chain, int]) -> None:
        """Write chunks and marks in one commit; a commit may have marks only."""
        adds = []
        for partition, chunks in partitioned(rows):
            names = present(chunks)
            writer = files.FileWriter(self.table, self.folder, partition.values, files.APPENDED, names)
            for portion in portions(chunks, limits.ROWS_PER_GROUP):
                writer.write(portion)
            adds.append(writer.close(self.clock_ms()))
        crash.point("hq:after-parquet")
        self.commit(adds, marks)

    def known(self, wanted: Wanted) -> set[Key]:
        """Those of some rows that are held; as many are in memory as are looked for."""
        low, high = (f"{np.datetime64(int(wanted.times[end]), 'us')}Z" for end in (0, -1))
        first, last = int(wanted.series[0]), int(wanted.series[-1])
        chosen = [
            file
            for file in self.log.files()
            if file.low["series"] <= last
            and file.high["series"] >= first
            and file.low["time"] <= high
            and file.high["time"] >= low
        ]
        times = pa.array(wanted.times).cast(schema.TIME)
        where = pc.field("series").isin(pa.array(wanted.series)) & pc.field("time").isin(times)
        found: set[Key] = set()
        for rows in self.batches(chosen, list(_KEY), where):
            found |= wanted.among(_keys(rows))
        return found


def _keys(rows: pa.RecordBatch) -> Iterator[Key]:
    value = rows.column("value")
    bits = pc.fill_null(value, 0.0).to_numpy(zero_copy_only=False).view(np.int64).tolist()
    numbers = [
        number if there else None for there, number in zip(value.is_valid().to_pylist(), bits, strict=True)
    ]
    times, source = (
        pc.fill_null(rows.column(name).cast(pa.int64()), NO_SOURCE_TIME).to_pylist()
        for name in ("time", "source_time")
    )
    series, text, quality = (rows.column(name).to_pylist() for name in ("series", "text", "quality"))
    return zip(series, times, numbers, text, quality, source, strict=True)


_KEY = ("series", "time", "value", "text", "quality", "source_time")


class LedgerLakeTable(LakeTable):
    """The ledger, which can be asked for single batches."""

    def append(self, rows: Sequence[LedgerRow], marks: Mapping[Chain, int]) -> None:
        """Write rows and marks in one commit."""
        self.commit([self.append_rows(_ledger_table(rows), _received(rows[0].received_us))], marks)

    def find(self, chain: Chain, seq: int) -> LedgerRow | None:
        """The row of a batch."""
        wanted = {"gateway": chain.gateway, "epoch": chain.epoch, "seq": seq}
        candidates = [file for file in self.log.files() if _may_hold(file, wanted)]
        where = (
            (pc.field("seq") == seq)
            & (pc.field("epoch") == chain.epoch)
            & (pc.field("gateway") == chain.gateway)
            & (pc.field("stream") == chain.stream.name.lower())
        )
        found = self.read(candidates, list(_LEDGER_ROW), where).to_pylist()
        return _ledger_row(found[0]) if found else None

    def heads(self) -> dict[tuple[Chain, int], bytes]:
        """Header hashes at the marks of all chains that were active lately, in one pass.

        After a start every sender offers its chains at once; looking each up by itself
        would take seconds.
        """
        marks = self.chains()
        names = ("gateway", "stream", "epoch", "seq")
        wanted = pa.Table.from_pylist(
            [dict(zip(names, (*_key(chain), seq), strict=True)) for chain, seq in marks.items()],
            schema=pa.schema([self.table.columns.field(name) for name in names]),
        )
        found: dict[tuple[Chain, int], bytes] = {}
        newest = sorted(self.log.files(), key=lambda file: file.modified_ms, reverse=True)
        for file in newest[: limits.HEADS_FILES_MAX]:
            if len(found) == len(marks):
                break
            keys = self.read([file], list(names))
            keys = keys.append_column("row", pa.array(np.arange(len(keys))))
            rows = keys.join(wanted, list(names), join_type="inner")
            headers = self.dataset([file]).take(rows.column("row"), columns=["header"]).column("header")
            for row, header in zip(rows.to_pylist(), headers.to_pylist(), strict=True):
                chain = Chain(row["gateway"], Stream[row["stream"].upper()], row["epoch"])
                found[(chain, row["seq"])] = header_hash(header)
        return found

    def last_batch(self) -> int:
        """The highest batch number given so far."""
        return max((int(file.high["batch"]) for file in self.log.files()), default=0)

    def chains(self) -> dict[Chain, int]:
        """The mark of every chain."""
        return {parse_chain(app): seq for app, seq in self.log.transactions().items()}


class SeriesLakeTable(LakeTable):
    """Definitions of series, in the order they were made."""

    def append(self, rows: Sequence[SeriesRow], marks: Mapping[Chain, int]) -> None:
        """Write rows in one commit; `ordinal` continues the order of those before."""
        first = 1 + max((int(file.high["ordinal"]) for file in self.log.files()), default=0)
        columns = [list(column) for column in zip(*rows, strict=True)]
        names = self.table.columns.names
        arrays = [
            pa.array(column, self.table.columns.field(name).type)
            for name, column in zip(names, [*columns, list(range(first, first + len(rows)))], strict=True)
        ]
        table = pa.Table.from_arrays(arrays, schema=self.table.columns)
        self.commit([self.append_rows(table, {})], marks)

    def load(self) -> list[SeriesRow]:
        """Every row, oldest first."""
        return series_rows(self.read(self.log.files(), None))


class GapsTable(LakeTable):
    """Declared gaps."""

    def append(self, rows: Sequence[GapRow], marks: Mapping[Chain, int]) -> None:
        """Write rows and marks in one commit."""
        records = gap_records(rows)
        table = pa.Table.from_pylist(records, schema=self.table.columns)
        self.commit([self.append_rows(table, _received(rows[0].received_us))], marks)


class EventsTable(LakeTable):
    """Records that are no samples."""

    def append(self, rows: Sequence[EventRow], marks: Mapping[Chain, int]) -> None:
        """Write rows and marks in one commit."""
        table = pa.Table.from_pylist(event_records(rows), schema=self.table.columns)
        self.commit([self.append_rows(table, _received(rows[0].received_us))], marks)


class Lake:
    """All tables of one lake, open for writing by this process alone.

    Args:
        folder: The lake.
        retention_ms: See `RETENTION_MS`.
        clock_ms: Wall clock in milliseconds.

    Raises:
        StoreError: A table cannot be read or made.
    """

    def __init__(
        self, folder: Path, retention_ms: int = RETENTION_MS, clock_ms: Callable[[], int] = now_ms
    ) -> None:
        self.folder = folder
        _refuse_lost_tables(folder)
        self.ledger = LedgerLakeTable(folder, schema.LEDGER, retention_ms, clock_ms)
        self.series = SeriesLakeTable(folder, schema.SERIES, retention_ms, clock_ms)
        self.gaps = GapsTable(folder, schema.GAPS, retention_ms, clock_ms)
        self.events = EventsTable(folder, schema.EVENTS, retention_ms, clock_ms)
        self.samples = SamplesTable(folder, schema.SAMPLES, retention_ms, clock_ms)
        self.minutes = LakeTable(folder, schema.SAMPLES_MINUTE, retention_ms, clock_ms)
        self.hours = LakeTable(folder, schema.SAMPLES_HOUR, retention_ms, clock_ms)

    def epochs(self) -> list[Epoch]:
        """The epochs of data that were opened lately enough to matter for branches."""
        now = np.datetime64(self.ledger.clock_ms(), "ms").astype("datetime64[D]")
        since = str(now - limits.BRANCH_DAYS_MAX)
        where = (pc.field("kind") == "open") & (pc.field("stream") == "data")
        ledger, events = (
            table.read([file for file in table.log.files() if file.date >= since], columns, where).to_pylist()
            for table, columns in (
                (self.ledger, ["batch", "gateway", "epoch", "t_min", "received"]),
                (self.events, ["batch", "detail"]),
            )
        )
        said = {row["batch"]: json.loads(row["detail"]) for row in events}
        return [
            Epoch.of(
                Chain(row["gateway"], Stream.DATA, row["epoch"]),
                said[row["batch"]]["follows"],
                said[row["batch"]]["next"],
                _micros(row["t_min"]),
                _micros(row["received"]),
            )
            for row in sorted(ledger, key=lambda row: row["batch"])
            if row["batch"] in said
        ]

    @property
    def tables(self) -> tuple[LakeTable, ...]:
        """Every table."""
        return self.ledger, self.series, self.gaps, self.events, self.samples, self.minutes, self.hours


def _refuse_lost_tables(folder: Path) -> None:
    """Stop where a table is gone that cannot be made again from the others and the archive.

    Raises:
        StoreDamagedError: One is missing beside others that have taken commits.
    """
    logs = {table.name: folder / table.name / LOG for table in schema.TABLES}
    used = [name for name, log in logs.items() if len(list(log.glob("*.json"))) > 1]
    for table in (schema.LEDGER, schema.SERIES, schema.GAPS, schema.EVENTS):
        if used and not (folder / table.name / LOG).is_dir():
            raise StoreDamagedError(
                f"expected the table {table.name} in {folder} beside {', '.join(used)}, found none; "
                "restore it from a copy"
            )


def parse_chain(app: str) -> Chain:
    """A chain from its name in the log.

    Raises:
        StoreDamagedError: Not such a name.
    """
    try:
        gateway, stream, epoch = app.rsplit("/", 2)
        return Chain(gateway, Stream[stream.upper()], int(epoch))
    except (ValueError, KeyError) as error:
        raise StoreDamagedError(f"expected gateway/stream/epoch in the log, got {app!r}") from error


def series_rows(table: pa.Table) -> list[SeriesRow]:
    """Rows of the table `series`, oldest first."""
    table = table.sort_by("ordinal").drop_columns(["ordinal"])
    at = table.column_names.index("valid_from")
    table = table.set_column(at, "valid_from", table.column("valid_from").cast(pa.int64()))
    return [SeriesRow(*row.values()) for row in table.to_pylist()]


def gap_records(rows: Iterable[GapRow]) -> list[dict[str, Any]]:
    """Rows of the table `gaps` as maps; times in microseconds."""
    return [
        {
            "gateway": row.gateway,
            "cause": str(row.gap.cause),
            "t_from": row.gap.t_from_us,
            "t_to": row.gap.t_to_us,
            "points": None if row.gap.points is None else list(row.gap.points),
            "samples": row.gap.samples,
            "epoch": row.gap.epoch,
            "seq_from": row.gap.seq_from,
            "seq_to": row.gap.seq_to,
            "detail": row.gap.detail,
            "declared_by": str(row.declared_by),
            "batch": row.batch,
            "received": row.received_us,
        }
        for row in rows
    ]


def event_records(rows: Iterable[EventRow]) -> list[dict[str, Any]]:
    """Rows of the table `events` as maps; times in microseconds."""
    return [
        {
            "gateway": row.gateway,
            "stream": row.stream,
            "kind": row.kind,
            "time": row.time_us,
            "detail": row.detail,
            "batch": row.batch,
            "received": row.received_us,
            **({} if row.event is None else _event_columns(row.event)),
        }
        for row in rows
    ]


def _event_columns(event: EventRecord) -> dict[str, Any]:
    return {
        "type": str(event.type),
        "app": event.app,
        "instance": event.instance,
        "source": event.source,
        "text": event.text,
        "priority": event.priority,
        "transition": event.transition,
        "state": event.state,
        "value": event.value,
        "quality": event.quality * UNCERTAIN,  # the severities of StatusCodes, as in `samples`
        "operator": event.operator,
    }


def _key(chain: Chain) -> tuple[str, str, int]:
    return chain.gateway, chain.stream.name.lower(), chain.epoch


def _received(received_us: int) -> dict[str, str]:
    return {"date": str(np.datetime64(received_us, "us").astype("datetime64[D]"))}


def _ledger_table(rows: Sequence[LedgerRow]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "batch": [row.batch for row in rows],
        "gateway": [row.fields.gateway for row in rows],
        "stream": [row.fields.stream.name.lower() for row in rows],
        "epoch": [row.fields.epoch for row in rows],
        "seq": [row.fields.seq for row in rows],
        "kind": [row.fields.kind.name.lower() for row in rows],
        "samples": [row.fields.n for row in rows],
        "t_min": [row.fields.t_min_us for row in rows],
        "t_max": [row.fields.t_max_us for row in rows],
        "received": [row.received_us for row in rows],
        "status": [str(row.status) for row in rows],
        "header": [row.header for row in rows],
        "signature": [row.signature for row in rows],
        "segment": [row.segment for row in rows],
        "segment_offset": [row.offset for row in rows],
        "repeated": [row.repeated for row in rows],
    }
    return pa.table(columns, schema=schema.LEDGER.columns)


_LEDGER_ROW = ("batch", "header", "signature", "status", "received", "segment", "segment_offset", "repeated")


def _ledger_row(row: Mapping[str, Any]) -> LedgerRow:
    return LedgerRow(
        row["batch"],
        row["header"],
        row["signature"],
        Status(row["status"]),
        _micros(row["received"]),
        row["segment"],
        row["segment_offset"],
        Header.parse(row["header"]),
        row["repeated"] or 0,
    )


def _micros(time: datetime) -> int:
    """A time as a query gives it, in microseconds since 1970."""
    return int(np.datetime64(time.replace(tzinfo=None), "us").astype(np.int64))


def _may_hold(file: DataFile, wanted: Mapping[str, Any]) -> bool:
    return all(
        name not in file.low or file.low[name] <= value <= file.high[name] for name, value in wanted.items()
    )
