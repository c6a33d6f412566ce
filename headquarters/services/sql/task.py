"""What a worker is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headquarters.services.sql.errors import Fault, QueryError
from headquarters.services.sql.rights import Mask, Reach


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one query may use.

    Args:
        seconds: Time on the clock.
        rows_read: Rows of the lake, by the estimate.
        rows: Rows of the result; it ends there.
        bytes: Bytes of the result on disk; it ends there.
        memory_bytes: DuckDB's memory.
        spill_bytes: What DuckDB may set aside on disk.
        threads: Threads that compute.
    """

    seconds: float = 60.0
    rows_read: int = 500_000_000
    rows: int = 1_000_000
    bytes: int = 256 << 20
    memory_bytes: int = 1 << 30
    spill_bytes: int = 2 << 30
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Task:
    """One query to run.

    Args:
        sql: What was asked.
        reach: Whose data it may see.
        result: The file that takes the result; empty: it is only explained.
        parameters: Values of `$name`.
        timezone: Zone in which times without one are read, and texts of times are written.
        bounds: What it may use.
    """

    sql: str
    reach: Reach
    result: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"
    bounds: Bounds = field(default_factory=Bounds)

    def pack(self) -> dict[str, Any]:
        """As plain values."""
        reach = self.reach
        return {
            "sql": self.sql,
            "sites": None if reach.sites is None else sorted(reach.sites),
            "points": {site: list(patterns) for site, patterns in reach.points.items()},
            "masks": [[*column, mask.value] for column, mask in reach.masks.items()],
            "result": self.result,
            "parameters": dict(self.parameters),
            "timezone": self.timezone,
            "bounds": {name: getattr(self.bounds, name) for name in Bounds.__slots__},
        }

    @classmethod
    def unpack(cls, message: Mapping[str, Any]) -> Task:
        """From plain values."""
        sites = message["sites"]
        reach = Reach(
            None if sites is None else frozenset(sites),
            {site: tuple(patterns) for site, patterns in message["points"].items()},
            {(relation, column): Mask(mask) for relation, column, mask in message["masks"]},
        )
        return cls(
            message["sql"],
            reach,
            message["result"],
            message["parameters"],
            message["timezone"],
            Bounds(**message["bounds"]),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a query would read.

    Args:
        files: Files of the lake.
        rows: Rows in them that may be seen.
        tables: The same by table: name, files, rows.
        plan: DuckDB's plan, for people.
        columns: Columns of the result: name and SQL type.
    """

    files: int
    rows: int
    tables: tuple[tuple[str, int, int], ...]
    plan: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a query that ran.

    Args:
        rows: Rows of the result.
        bytes: Bytes of its file.
        truncated: Why it ends before its end: `rows`, `bytes`, or empty.
        seconds: Time that it took in the worker.
        estimate: What it was expected to read.
    """

    rows: int
    bytes: int
    truncated: str
    seconds: float
    estimate: Estimate


def pack_error(error: QueryError) -> dict[str, Any]:
    """A query's error as plain values."""
    return {
        "fault": error.fault.value,
        "place": error.place,
        "value": error.value,
        "expected": error.expected,
    }


def unpack_error(message: Mapping[str, Any]) -> QueryError:
    """The same error again."""
    return QueryError(Fault(message["fault"]), message["place"], message["value"], message["expected"])


def pack_estimate(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain values."""
    return {name: getattr(estimate, name) for name in Estimate.__slots__}


def unpack_estimate(message: Mapping[str, Any]) -> Estimate:
    """The same estimate again."""
    return Estimate(
        message["files"],
        message["rows"],
        tuple((name, files, rows) for name, files, rows in message["tables"]),
        message["plan"],
        tuple((name, kind) for name, kind in message["columns"]),
    )


def pack_outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain values."""
    return {
        "rows": outcome.rows,
        "bytes": outcome.bytes,
        "truncated": outcome.truncated,
        "seconds": outcome.seconds,
        "estimate": pack_estimate(outcome.estimate),
    }


def unpack_outcome(message: Mapping[str, Any]) -> Outcome:
    """The same outcome again."""
    return Outcome(
        message["rows"],
        message["bytes"],
        message["truncated"],
        message["seconds"],
        unpack_estimate(message["estimate"]),
    )
