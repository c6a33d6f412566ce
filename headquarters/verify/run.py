"""The whole verification of one headquarters: reads the lake, walks, compares, reconciles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headquarters import limits, trust
from headquarters.config import HeadquartersConfig
from headquarters.ingest.cycle import Cycle
from headquarters.ingest.rows import DeclaredBy, LedgerRow, SeriesRow, Status
from headquarters.ingest.stores import Reference
from headquarters.lake.archive import SegmentArchive
from headquarters.lake.deltalog import LOG, replay
from headquarters.lake.query import Engine, literal
from headquarters.lake.tables import event_records, gap_records, now_ms, parse_chain, series_rows
from headquarters.verify.chains import DeclaredGaps, Entry, Known, walk
from headquarters.verify.payloads import Decoder, compare
from headquarters.verify.report import Report, batch_place
from headquarters.verify.statements import Held, Opened, Sum, check_gateway, check_hub
from protocols.batch import Chain, Header, Kind, Stream
from protocols.errors import PeerError

Progress = Callable[[int, int], None]


class Verification:
    """One run over the lake of a home directory, beside the process that writes it or without.

    Args:
        config: Where everything lies.
        progress: Told now and then how many batches are done, and of how many.

    Raises:
        InputError: There is no lake, or the allow-list is wrong.
    """

    def __init__(self, config: HeadquartersConfig, progress: Progress = lambda done, total: None) -> None:
        self._config = config
        self._progress = progress
        self._trust = trust.everyone(config.home)
        # Marks are read before the rows: what is committed meanwhile is then above the marks.
        self._marks = {name: replay(config.lake / name / LOG).transactions for name in ("ledger", "samples")}
        self._engine = Engine(config.lake)
        self._archive = SegmentArchive(config.archive, config.quarantine, now_ms)
        self.report = Report()
        self._total = self._one("SELECT count(*) FROM ledger")
        self._done = 0
        self._durable = 0
        self._next: dict[Chain, int] = {}

    def run(self, quick: bool = False) -> Report:
        """Check everything.

        Args:
            quick: Leave payloads alone; rows are only counted.

        Raises:
            StoreError: The lake cannot be read.
        """
        try:
            self._walk_chains()
            self._durable = self._last_durable()
            self._count_rows()
            self._reconcile()
            if not quick:
                self._done = 0
                for window in self._windows():
                    self._compare(window)
        finally:
            self._engine.close()
        return self.report

    # -- chains --------------------------------------------------------------------------

    def _walk_chains(self) -> None:
        gaps = DeclaredGaps(
            self._rows("SELECT gateway, epoch, seq_from, seq_to FROM gaps WHERE seq_from IS NOT NULL")
        )
        known = Known(self._trust.verifier, self._owner, gaps.covers)
        seen = set()
        for (gateway,) in list(self._rows("SELECT DISTINCT gateway FROM ledger ORDER BY 1")):
            for chain, entries in groupby(self._entries(gateway), _chain_of):
                marks = {
                    table: marks[str(chain)] for table, marks in self._marks.items() if str(chain) in marks
                }
                self._next[chain] = walk(chain, self._ticking(entries), marks, known, self.report)
                seen.add(str(chain))
                self.report.count("chains")
        for table, marks in self._marks.items():
            for app in sorted(marks.keys() - seen):
                text = f"the table {table} holds it up to sequence {marks[app]}, the ledger has none of it"
                self.report.fault("tail", app, text)

    def _entries(self, gateway: str) -> Iterator[Entry]:
        rows = self._rows(
            "SELECT batch, header, signature, status, gateway, stream, epoch, seq, kind, samples, "
            "epoch_us(t_min), epoch_us(t_max) "
            f"FROM ledger WHERE gateway = {literal(gateway)} ORDER BY stream, epoch, seq, batch"
        )
        names = ("gateway", "stream", "epoch", "seq", "kind", "samples", "t_min", "t_max")
        for batch, header, signature, status, *columns in rows:
            yield Entry(batch, header, signature, status, dict(zip(names, columns, strict=True)))

    def _ticking(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            yield entry
            self._tick()

    def _owner(self, key_id: bytes) -> str | None:
        identity = self._trust.by_key_id(key_id)
        return None if identity is None else identity.id

    # -- numbers of rows -----------------------------------------------------------------

    def _count_rows(self) -> None:
        """The number of rows of every batch, archived or not."""
        wrong = self._rows(
            "SELECT l.gateway, l.stream, l.epoch, l.seq, l.batch, "
            "CASE WHEN l.status = 'stored' THEN l.samples - coalesce(l.repeated, 0) ELSE 0 END AS due, "
            "coalesce(s.n, 0) AS n "
            "FROM ledger l "
            "LEFT JOIN (SELECT batch, count(*) AS n FROM samples GROUP BY batch) s USING (batch) "
            "WHERE l.kind = 'data' AND due <> n AND l.batch <= "
            f"{self._durable} ORDER BY l.batch"
        )
        for gateway, stream, epoch, seq, batch, due, n in wrong:
            chain = Chain(gateway, Stream[stream.upper()], epoch)
            text = f"expected {due:,} rows in samples, got {n:,}"
            self.report.fault("rows", batch_place(chain, seq, batch), text)
        for batch, n in self._rows(
            "SELECT batch, count(*) FROM samples WHERE batch NOT IN (SELECT batch FROM ledger) GROUP BY batch"
        ):
            self.report.fault("rows", f"batch {batch}", f"{n:,} rows in samples of a batch not in the ledger")

    def _last_durable(self) -> int:
        """The last batch that every table holds with all before it: a commit under way is left alone."""
        marks = self._marks["samples"]
        names = ("gateway", "stream", "epoch", "seq")
        rows = [(*_key(parse_chain(app)), seq) for app, seq in marks.items()]
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        self._engine.attach("marks", pa.table(dict(zip(names, map(list, columns), strict=True)), _MARKS))
        last = self._one("SELECT coalesce(max(batch), 0) FROM ledger")
        first_open = self._one(
            f"SELECT coalesce(min(l.batch), {last + 1}) FROM ledger l "
            "LEFT JOIN marks m USING (gateway, stream, epoch) WHERE m.seq IS NULL OR l.seq > m.seq"
        )
        if first_open <= last:
            self.report.notes.append(f"batches from {first_open} on are still being committed")
        return first_open - 1

    # -- the other tiers -----------------------------------------------------------------

    def _reconcile(self) -> None:
        held = Held(self._next, self._sum)
        openings = self._openings()
        hubs: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {}
        gateways: dict[str, dict[str, Any]] = {}
        for node, detail in self._rows(
            "SELECT gateway, detail FROM events WHERE kind = 'statement' ORDER BY batch"
        ):
            with self._readable(f"a statement of {node}"):
                statement = json.loads(detail)
                if "hub" in statement:
                    hubs.setdefault(node, {}).update({tuple(row[:3]): tuple(row) for row in statement["hub"]})
                else:
                    gateways[node] = statement
        for gateway, statement in gateways.items():
            with self._readable(f"the last statement of gateway {gateway}"):
                check_gateway(gateway, statement, held, openings.get(gateway, []), self.report)
        for hub, rows in hubs.items():
            with self._readable(f"the statements of hub {hub}"):
                check_hub(hub, rows.values(), held, self.report)

    @contextmanager
    def _readable(self, place: str) -> Iterator[None]:
        """Whatever the table `events` was changed to is a fault of its own."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.report.fault("events", place, f"expected a record as signed, got another ({error!r:.80})")

    def _sum(self, chain: Chain, first: int, next_: int) -> Sum:
        """What the ledger has of some sequences of a chain."""
        sql = (
            "SELECT count(*), coalesce(sum(samples) FILTER (kind = 'data'), 0)::BIGINT, "
            "count(*) FILTER (status = 'tombstone') FROM ledger "
            f"WHERE gateway = {literal(chain.gateway)} AND stream = {literal(chain.stream.name.lower())} "
            f"AND epoch = {chain.epoch} AND seq >= {first} AND seq < {next_}"
        )
        return Sum(*next(self._rows(sql)))

    def _openings(self) -> dict[str, list[Opened]]:
        openings: dict[str, list[Opened]] = {}
        for gateway, stream, epoch, detail in self._rows(
            "SELECT l.gateway, l.stream, l.epoch, e.detail FROM events e JOIN ledger l USING (batch) "
            "WHERE e.kind = 'open' ORDER BY l.batch"
        ):
            chain = Chain(gateway, Stream[stream.upper()], epoch)
            with self._readable(f"the opening of {chain}"):
                fields = json.loads(detail)
                opened = Opened(chain, fields["reason"], fields["follows"], fields["next"])
                openings.setdefault(gateway, []).append(opened)
        return openings

    # -- payloads ------------------------------------------------------------------------

    def _windows(self) -> Iterator[list[LedgerRow]]:
        """The ledger in parts; each is fetched whole, because DuckDB has one open result a connection."""
        after = 0
        while found := self._ledger_after(after):
            after = found[-1][0]
            window: list[LedgerRow] = []
            rows = 0
            for row in _ledger_rows(found):
                if window and rows + row.fields.n > limits.WINDOW_ROWS_MAX:
                    yield window
                    window, rows = [], 0
                window.append(row)
                rows += row.fields.n
            if window:
                yield window

    def _ledger_after(self, batch: int) -> list[tuple[Any, ...]]:
        return list(
            self._rows(
                "SELECT batch, header, signature, status, epoch_us(received), segment, segment_offset, "
                f"repeated FROM ledger WHERE batch > {batch} AND batch <= {self._durable} "
                f"ORDER BY batch LIMIT {limits.WINDOW_BATCHES_MAX}"
            )
        )

    def _compare(self, window: list[LedgerRow]) -> None:
        """Hold the payloads of a window of batches against what the tables have of them."""
        first, last = window[0].batch, window[-1].batch
        between = f"batch BETWEEN {first} AND {last}"
        samples = self._engine.arrow(f"SELECT * FROM samples WHERE {between} ORDER BY batch").read_all()
        bounds = np.searchsorted(
            samples.column("batch").to_numpy(), [row.batch for row in window] + [last + 1]
        )
        records = self._records(between)
        decoder = Decoder(self._series())
        for row, low, high in zip(window, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            self._tick()
            payload = self._payload(row)
            if payload is None:
                continue
            cycle = decoder.expected(row, payload, self.report)
            if cycle is None:
                continue
            if row.fields.kind is Kind.DATA:
                found = samples.slice(low, high - low)
                elsewhere = partial(self._elsewhere, row.batch)
                compare(row, cycle.samples, found, elsewhere, self._name_of, self.report)
            else:
                self._compare_records(row, cycle, records.get(row.batch, []))

    def _elsewhere(self, batch: int, rows: pa.Table) -> int:
        """How many of some rows of a batch the lake has from other batches."""
        self._engine.attach("left_out", rows)
        bounds = {name: pc.min_max(rows.column(name)) for name in ("series", "time")}
        low, high = (bounds["time"][end].cast(pa.int64()).as_py() for end in ("min", "max"))
        return self._one(
            "SELECT count(*) FROM left_out o WHERE EXISTS (SELECT 1 FROM samples s "
            f"WHERE s.series BETWEEN {bounds['series']['min']} AND {bounds['series']['max']} "
            f"AND s.time BETWEEN make_timestamptz({low}) AND make_timestamptz({high}) "
            f"AND s.batch <> {batch} AND s.series = o.series AND s.time = o.time "
            "AND s.quality = o.quality AND s.value IS NOT DISTINCT FROM o.value "
            "AND s.text IS NOT DISTINCT FROM o.text AND s.source_time IS NOT DISTINCT FROM o.source_time)"
        )

    def _payload(self, row: LedgerRow) -> bytes | None:
        if not row.segment:
            return None
        payload = self._archive.read(Reference(row.segment, row.offset), row.fields.payload_bytes)
        if payload is None:
            self.report.count("payloads no longer archived")
            days = self._config.retention_days
            if days is None or now_ms() - row.received_us // 1000 < days * 86_400_000:
                place = batch_place(row.fields.chain, row.fields.seq, row.batch)
                text = f"segment {row.segment} has no {row.fields.payload_bytes} bytes at {row.offset}"
                self.report.fault("archive", place, f"{text}, and its retention is not over")
        return payload

    def _records(self, between: str) -> dict[int, list[Any]]:
        """Rows of gaps and events by batch, in a form that compares."""
        records: dict[int, list[Any]] = {}
        for batch, *row in self._rows(
            "SELECT batch, gateway, cause, epoch_us(t_from), epoch_us(t_to), points, samples, epoch, "
            f"seq_from, seq_to, detail FROM gaps WHERE {between} AND declared_by = '{DeclaredBy.GATEWAY}'"
        ):
            records.setdefault(batch, []).append(row)
        for batch, *row in self._rows(
            f"SELECT batch, epoch_us(time), {', '.join(_EVENT_COLUMNS[1:])} FROM events WHERE {between}"
        ):
            records.setdefault(batch, []).append(row)
        return records

    def _compare_records(self, row: LedgerRow, cycle: Cycle, found: list[Any]) -> None:
        gaps = [
            [record[name] for name in _GAP_COLUMNS]
            for record in gap_records(gap for gap in cycle.gaps if gap.declared_by is DeclaredBy.GATEWAY)
        ]
        events = [[record.get(name) for name in _EVENT_COLUMNS] for record in event_records(cycle.events)]
        wanted = [*gaps, *events]
        if sorted(map(repr, wanted)) != sorted(map(repr, found)):
            place = batch_place(row.fields.chain, row.fields.seq, row.batch)
            table = "gaps" if row.fields.kind is Kind.GAP else "events"
            text = (
                f"its payload makes {len(wanted)} rows of {table}, the lake's {len(found)} differ from them"
            )
            self.report.fault("rows", place, text)

    # -- leaves --------------------------------------------------------------------------

    def _series(self) -> list[SeriesRow]:
        table: pa.Table = self._engine.arrow("SELECT * FROM series_history").read_all()
        rows = series_rows(table)
        self._names = {row.series: f"{row.gateway}/{row.name}" for row in rows}
        return rows

    def _name_of(self, series: int) -> str:
        return self._names.get(series, f"series {series}")

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        return self._engine.rows(sql)[1]

    def _one(self, sql: str) -> int:
        return int(next(self._rows(sql))[0])

    def _tick(self) -> None:
        self._done += 1
        if self._done % 500 == 0 or self._done == self._total:
            self._progress(self._done, self._total)


def _ledger_rows(found: Iterable[tuple[Any, ...]]) -> Iterator[LedgerRow]:
    for batch, header, signature, status, received_us, segment, offset, repeated in found:
        try:
            fields = Header.parse(header)
        except PeerError:
            continue  # a fault already
        known = (batch, header, signature, Status(status), received_us, segment, offset)
        yield LedgerRow(*known, fields, repeated or 0)


_MARKS = pa.schema(
    [("gateway", pa.string()), ("stream", pa.string()), ("epoch", pa.int64()), ("seq", pa.int64())]
)

_GAP_COLUMNS = (
    "gateway", "cause", "t_from", "t_to", "points", "samples", "epoch", "seq_from", "seq_to", "detail",
)  # fmt: skip

_EVENT_COLUMNS = (
    "time", "gateway", "stream", "kind", "detail", "type", "app", "instance", "source", "text", "priority",
    "transition", "state", "value", "quality", "operator",
)  # fmt: skip


def _chain_of(entry: Entry) -> Chain:
    columns = entry.columns
    return Chain(columns["gateway"], Stream[columns["stream"].upper()], columns["epoch"])


def _key(chain: Chain) -> tuple[str, str, int]:
    return chain.gateway, chain.stream.name.lower(), chain.epoch
