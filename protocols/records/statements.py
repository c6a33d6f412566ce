"""The ledgers of gateways and hubs as they sign them, for reconciliation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from protocols import limits
from protocols.errors import LimitError, MalformedError
from protocols.records.fields import Fields, is_count, pack_map, parse_chain, unpack


@dataclass(frozen=True, slots=True)
class Statement:
    """A gateway's own ledger, signed like any batch (kind STATEMENT, stream META).

    Every sample a gateway ever collected is accounted for:
    ``collected = thinned + journalled + sealed + dropped``, where `sealed` are samples in
    batches of any epoch and `dropped` those that never reached one.

    Args:
        time_us: When it was made.
        collected: Samples that drivers delivered, ever.
        thinned: Left out by deadband or swinging door.
        journalled: Durable but not yet in a batch.
        sealed: In batches.
        dropped: Lost before a batch, by cause.
        buried: Of the sealed ones, those whose payload was dropped, by cause.
        chains: For each chain ever opened that is not wholly at headquarters, and the
            current ones: (stream, epoch, next sequence, samples sealed into it).
    """

    time_us: int
    collected: int
    thinned: int
    journalled: int
    sealed: int
    dropped: dict[str, int]
    buried: dict[str, int]
    chains: tuple[tuple[int, int, int, int], ...]

    def pack(self) -> bytes:
        """The payload of a batch of this kind: a msgpack map."""
        return pack_map(
            {
                "time": self.time_us,
                "collected": self.collected,
                "thinned": self.thinned,
                "journalled": self.journalled,
                "sealed": self.sealed,
                "dropped": self.dropped,
                "buried": self.buried,
                "chains": self.chains,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Statement:
        """Read a statement from a peer.

        Raises:
            MalformedError, LimitError: Not a statement, or larger than one may be.
        """
        fields = Fields(data)
        chains = fields.array("chains")
        for row in chains:
            if not isinstance(row, tuple) or len(row) != 4 or not all(isinstance(x, int) for x in row):
                raise MalformedError("expected (stream, epoch, next, samples) in a statement")
        return cls(
            fields.whole("time"),
            fields.whole("collected"),
            fields.whole("thinned"),
            fields.whole("journalled"),
            fields.whole("sealed"),
            fields.counts("dropped"),
            fields.counts("buried"),
            tuple(chains),
        )


@dataclass(frozen=True, slots=True)
class StoreUse:
    """How full one store of a hub is, and when it will be.

    Args:
        what: `store`, `mirror` or `disk`.
        used_bytes: Used.
        limit_bytes: At which it is full.
        hours: Hours that the forecast is made from; 0 where none is made.
        per_day_bytes: What is used more each day; `None` while that is not known.
        full_in_days: Days until it is full: at the earliest, most likely, at the latest; `None` for never
            or not known.
    """

    what: str
    used_bytes: int
    limit_bytes: int
    hours: int = 0
    per_day_bytes: int | None = None
    full_in_days: tuple[float | None, float | None, float | None] = (None, None, None)

    def row(self) -> tuple[object, ...]:
        """As it travels."""
        return (
            *(self.what, self.used_bytes, self.limit_bytes, self.hours, self.per_day_bytes),
            *self.full_in_days,
        )

    @classmethod
    def of(cls, row: object) -> StoreUse:
        """Read a row.

        Raises:
            MalformedError: Not such a row.
        """
        if not isinstance(row, tuple) or len(row) != 8:
            raise MalformedError(f"expected a name and 7 numbers of a store, got {row!r:.80}")
        what, used, limit, hours, per_day, *days = row
        if (
            not isinstance(what, str)
            or len(what) > limits.NAME_CHARS_MAX
            or not all(map(is_count, (used, limit, hours)))
            or not (per_day is None or (isinstance(per_day, int) and is_count(abs(per_day))))
            or not all(day is None or _is_span(day) for day in days)
        ):
            raise MalformedError(f"expected a name and 7 numbers of a store, got {row!r:.80}")
        return cls(what, used, limit, hours, per_day, (days[0], days[1], days[2]))


@dataclass(frozen=True, slots=True)
class HubReport:
    """What a hub says of itself beside its ledger.

    Args:
        program: Version of the program that runs.
        stores: How full its stores are.
    """

    program: str
    stores: tuple[StoreUse, ...]

    def fields(self) -> dict[str, Any]:
        """As it travels."""
        return {"program": self.program, "stores": [store.row() for store in self.stores]}

    @classmethod
    def of(cls, fields: Fields) -> HubReport:
        """Read a report from its map.

        Raises:
            MalformedError, LimitError: Not a report, or larger than one may be.
        """
        program, rows = fields.text("program"), fields.array("stores")
        if len(program) > limits.EVENT_NAME_CHARS_MAX or len(rows) > limits.STORES_PER_REPORT_MAX:
            raise LimitError("expected a shorter version, or fewer stores, in a hub's report")
        return cls(program, tuple(map(StoreUse.of, rows)))


def _is_span(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


@dataclass(frozen=True, slots=True)
class HubStatement:
    """A hub's own ledger, signed like any batch of its own chain (kind STATEMENT, stream META).

    Counts are totals, not differences; a statement names only the chains that changed since
    the one before it, and all of them after a start and at a clean stop.

    Args:
        time_us: When it was made.
        chains: (gateway, stream, epoch, first sequence stored, next, batches stored, samples
            in their payloads, tombstones among them, batches let go).
        report: What the hub says of itself; in some of its statements.
    """

    time_us: int
    chains: tuple[tuple[str, int, int, int, int, int, int, int, int], ...]
    report: HubReport | None = None

    def pack(self) -> bytes:
        """The payload."""
        report = {} if self.report is None else {"report": self.report.fields()}
        return pack_map({"time": self.time_us, "hub": self.chains, **report})

    @classmethod
    def parse(cls, data: bytes) -> HubStatement:
        """Read a payload.

        Raises:
            MalformedError, LimitError: Not a hub's statement.
        """
        fields = Fields(data)
        chains = fields.array("hub")
        for row in chains:
            if not isinstance(row, tuple) or len(row) != 9 or not all(map(is_count, row[3:])):
                raise MalformedError("expected a chain and 6 counts in a hub's statement")
            parse_chain(row[:3])
        report = HubReport.of(Fields.of(fields.value("report"))) if "report" in fields else None
        return cls(fields.whole("time"), tuple(chains), report)


def parse_statement(data: bytes) -> Statement | HubStatement:
    """Read the payload of a batch of kind STATEMENT, whichever tier made it.

    Raises:
        MalformedError, LimitError: Neither kind of statement.
    """
    fields = unpack(data)
    is_hub = isinstance(fields, dict) and "hub" in fields
    return HubStatement.parse(data) if is_hub else Statement.parse(data)
