"""What a batch becomes in the lake: the rows of each table, before any file is thought of.

Every table but `samples` takes few rows, so theirs are plain tuples. Samples stay in
columns from the wire to the Parquet file; a `SampleChunk` is one block of one batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headquarters import limits
from protocols.batch import FLAG_ZSTD, Header, Kind
from protocols.desired import Report
from protocols.errors import MalformedError
from protocols.records import (
    Correction,
    EventRecord,
    Gap,
    Opening,
    inflate,
    parse_events,
    parse_statement,
    unpack,
)
from protocols.samples import Int64s, SampleBlock, UInt32s, ValueType

EXACT_INT_MAX = 2**53
"""Whole numbers up to here have a double of their own; larger ones keep their digits in `text`."""

DAY_US = 86_400_000_000


class Status(StrEnum):
    """What became of a batch at headquarters."""

    STORED = "stored"
    TOMBSTONE = "tombstone"
    REFUSED = "refused"


class DeclaredBy(StrEnum):
    """Who says that samples are missing."""

    GATEWAY = "gateway"
    HEADQUARTERS = "headquarters"


class LedgerRow(NamedTuple):
    """One batch, for good: its header and signatures, and where its payload lies.

    Args:
        batch: Headquarters' own number of it; sample rows carry it.
        header: As signed; all that the batch claims is in there.
        signature: 64 bytes, or 128 of a tombstone.
        status: What became of it.
        received_us: When it was taken in.
        segment: Archive segment that holds the payload; empty when there is none.
        offset: Where in the segment.
        fields: The header, parsed.
        repeated: Rows of its payload that another batch had brought before, and that were left out.
    """

    batch: int
    header: bytes
    signature: bytes
    status: Status
    received_us: int
    segment: str
    offset: int
    fields: Header
    repeated: int = 0


class SeriesRow(NamedTuple):
    """One definition of one series; a later row of the same series replaces an earlier one.

    Args:
        series: Its number, counted up from 1.
        gateway: Where the point is.
        point: Its local id there.
        type: Name of the value type: `f64`, `f32`, `i64`, `bool` or `text`.
        name: The plant's name, or `<gateway>/<point>` while no definition came.
        provisional: Whether no definition came yet.
        valid_from_us: When the definition was made.
        table_hash: Hexadecimal SHA-256 of the point table it stands in; empty while provisional.
    """

    series: int
    gateway: str
    point: int
    type: str
    name: str
    unit: str
    site: str
    scan_period_ms: int | None
    resolution: float | None
    low: float | None
    high: float | None
    description: str
    provisional: bool
    valid_from_us: int
    table_hash: str


class GapRow(NamedTuple):
    """Samples known to be missing, and who says so."""

    gap: Gap
    gateway: str
    declared_by: DeclaredBy
    batch: int
    received_us: int


class EventRow(NamedTuple):
    """One record that is no sample: an opening, a statement, a correction, an event.

    Args:
        epoch: Of the chain that it came in.
        detail: The record as a JSON object; of an event, what has no column of its own.
        event: Of an alarm or other event: what its columns say.
    """

    gateway: str
    stream: str
    epoch: int
    kind: str
    time_us: int
    detail: str
    batch: int
    received_us: int
    event: EventRecord | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SampleChunk:
    """Samples of one batch in columns of equal length, point-major as they were decoded.

    Args:
        run_series: Series of each run of rows; a run is all rows of one point, so no series has two.
        run_lengths: Rows of each run.
        time: Microseconds since 1970, UTC.
        value: Doubles, or `None` when the values are text.
        text: Text or `None` for each row, or `None` when no row has any.
        quality: OPC UA StatusCodes.
        source_time: As in `SampleBlock`.
        batch: The ledger's number of the batch.
        bucket: The partition of a date that the rows go to.
    """

    run_series: Int64s
    run_lengths: Int64s
    time: Int64s
    value: npt.NDArray[np.float64] | None
    text: npt.NDArray[np.object_] | None
    quality: UInt32s
    source_time: Int64s | None
    batch: int
    bucket: int = 0

    def __len__(self) -> int:
        return len(self.time)

    @property
    def series(self) -> Int64s:
        """The series of each row."""
        return np.repeat(self.run_series, self.run_lengths)

    def take(self, rows: npt.NDArray[np.bool_]) -> SampleChunk:
        """The rows that a mask chooses."""
        starts = np.cumsum(self.run_lengths) - self.run_lengths
        lengths = np.add.reduceat(rows.astype(np.int64), starts)
        kept = lengths > 0
        return replace(
            self,
            run_series=self.run_series[kept],
            run_lengths=lengths[kept],
            time=self.time[rows],
            value=None if self.value is None else self.value[rows],
            text=None if self.text is None else self.text[rows],
            quality=self.quality[rows],
            source_time=None if self.source_time is None else self.source_time[rows],
        )


def chunk(block: SampleBlock, series: Int64s, lengths: Int64s, batch: int, bucket: int) -> SampleChunk:
    """Turn a decoded block into lake columns.

    Args:
        block: As decoded.
        series: The series of each run.
        lengths: Rows of each run.
        batch: The ledger's number.
        bucket: The partition of a date.
    """
    value, text = lake_values(block.type, block.value)
    return SampleChunk(
        series, lengths, block.time, value, text, block.quality, block.source_time, batch, bucket
    )


def lake_values(
    type: ValueType, values: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.object_] | None]:
    """The `value` and `text` columns of wire values; nothing is lost on the way.

    >>> lake_values(ValueType.I64, np.array([7, 2**53 + 1]))
    (array([7.00000000e+00, 9.00719925e+15]), array([None, '9007199254740993'], dtype=object))
    """
    if type is ValueType.TEXT:
        return None, values
    with np.errstate(invalid="ignore"):  # a signalling NaN is a value like any other
        doubles = values.astype(np.float64, copy=False)
    if type is not ValueType.I64:
        return doubles, None
    large = (values > EXACT_INT_MAX) | (values < -EXACT_INT_MAX)
    if not large.any():
        return doubles, None
    text = np.full(len(values), None, object)
    text[large] = [str(value) for value in values[large].tolist()]
    return doubles, text


def check_blocks(header: Header, blocks: Sequence[SampleBlock]) -> None:
    """Hold decoded samples against the header that announced them.

    Raises:
        MalformedError: The count or the times differ from the signed header, or the dates
            are so many that they cannot be meant.
    """
    n = sum(map(len, blocks))
    if n != header.n:
        raise MalformedError(f"expected {header.n} samples as the header says, got {n}")
    if not n:
        return
    t_min = min(int(block.time.min()) for block in blocks if len(block))
    t_max = max(int(block.time.max()) for block in blocks if len(block))
    if t_min < header.t_min_us or t_max > header.t_max_us:
        raise MalformedError(
            f"expected times within {header.t_min_us} to {header.t_max_us} us as the header says, "
            f"got {t_min} to {t_max}"
        )
    if t_max // DAY_US - t_min // DAY_US >= limits.DAYS_PER_BATCH_MAX:
        days = len(np.unique(np.concatenate([block.time // DAY_US for block in blocks])))
        if days > limits.DAYS_PER_BATCH_MAX:
            raise MalformedError(f"expected at most {limits.DAYS_PER_BATCH_MAX} dates in a batch, got {days}")


def record_body(header: Header, payload: bytes) -> bytes:
    """The msgpack record of a payload that holds no samples.

    Raises:
        MalformedError, LimitError: Not one zstd frame where the header says so.
    """
    return inflate(payload, bool(header.flags & FLAG_ZSTD))


def event_rows(header: Header, body: bytes, batch: int, received_us: int) -> list[EventRow]:
    """The rows of `events` that a record makes: one, or one for each event in it.

    Raises:
        MalformedError, LimitError: Not a record of the header's kind, or with times outside the header's.
    """
    stream, epoch, kind = header.stream.name.lower(), header.epoch, header.kind.name.lower()
    if header.kind is Kind.EVENT:
        return [
            EventRow(
                header.gateway, stream, epoch, kind, event.time_us, _beside(event), batch, received_us, event
            )
            for event in _checked(header, parse_events(body))
        ]
    time_us, detail = _record_detail(header.kind, header.gateway, body)
    at = header.t_min_us if time_us is None else time_us
    return [EventRow(header.gateway, stream, epoch, kind, at, detail, batch, received_us)]


def _record_detail(kind: Kind, gateway: str, body: bytes) -> tuple[int | None, str]:
    """The time that a record states, if any, and the record as JSON."""
    if kind is Kind.OPEN:
        opening = Opening.parse(body)
        fields = {"reason": opening.reason, "follows": opening.follows, "next": opening.follows_next}
        return None, _json(fields)
    if kind is Kind.REPORT:
        report = Report.parse(body)
        if report.gateway != gateway:
            raise MalformedError(f"expected a report of {gateway}, got one of {report.gateway!r:.80}")
    elif kind is Kind.STATEMENT:
        parse_statement(body)
    elif kind is Kind.CORRECTION:
        Correction.parse(body)
    record = unpack(body)
    if not isinstance(record, dict):
        raise MalformedError(f"expected a msgpack map in a batch of kind {kind.name.lower()}")
    time_us = record.get("time")
    return time_us if isinstance(time_us, int) else None, _json(record)


def _checked(header: Header, events: list[EventRecord]) -> list[EventRecord]:
    for event in events:
        if not header.t_min_us <= event.time_us <= header.t_max_us:
            raise MalformedError(
                f"expected events within {header.t_min_us} to {header.t_max_us} us as the header says, "
                f"got {event.time_us}"
            )
    return events


def _beside(event: EventRecord) -> str:
    """What an event tells beside what the table has columns for, as JSON."""
    told = {"detail": event.detail} if event.detail else {}
    return _json({"no": event.number, "comment": event.comment, **told})


def _json(record: object) -> str:
    try:
        return json.dumps(record, default=_json_default, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MalformedError(f"expected a record that can be written as JSON: {error}") from error


def _json_default(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a {type(value).__name__} has no JSON form")
