"""What the ledger says: batches, samples and holes of every chain, gaps by cause, statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from headquarters.lake.query import Engine
from protocols.batch import Chain, Stream


class ChainLine(NamedTuple):
    """One chain.

    Args:
        chain: Which.
        batches: Rows of the ledger.
        samples: What their headers announce.
        tombstones: Batches whose payload the gateway had dropped.
        refused: Batches that could not be read.
        repeated: Samples that batches of another epoch had brought before.
        next: One beyond the highest sequence.
        missing: Sequences below it that are not in the ledger.
        t_min: First time of a sample, as text.
        t_max: Last time.
    """

    chain: Chain
    batches: int
    samples: int
    tombstones: int
    refused: int
    repeated: int
    next: int
    missing: int
    t_min: str | None
    t_max: str | None


class GapLine(NamedTuple):
    """Declared gaps of one gateway and cause."""

    gateway: str
    cause: str
    declared_by: str
    gaps: int
    samples: int | None
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it.

    Args:
        chains: Ordered by name.
        gaps: By gateway and cause.
        statements: The last statement of every node: node, time and what it stated.
    """

    chains: list[ChainLine]
    gaps: list[GapLine]
    statements: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "chains": [{**line._asdict(), "chain": str(line.chain)} for line in self.chains],
            "gaps": [line._asdict() for line in self.gaps],
            "statements": [
                {"node": node, "time": at, **statement} for node, at, statement in self.statements
            ],
        }

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
        """Title, column names and rows, for people."""
        names: tuple[str, ...]
        names = (
            "chain",
            "batches",
            "samples",
            "tombstones",
            "refused",
            "repeated",
            "next",
            "missing",
            "from",
            "to",
        )
        yield "Chains", names, [(str(line.chain), *line[1:]) for line in self.chains]
        if self.gaps:
            names = ("gateway", "cause", "declared by", "gaps", "samples", "from", "to")
            yield "Declared gaps", names, [tuple(line) for line in self.gaps]
        gateways = [
            (node, at, *(statement.get(name) for name in _COUNTS))
            for node, at, statement in self.statements
            if "collected" in statement
        ]
        if gateways:
            yield "Statements of gateways", ("gateway", "time", *_COUNTS), gateways


_COUNTS = ("collected", "thinned", "journalled", "sealed")


def summarise(lake: Path) -> Summary:
    """Read the ledger of a lake.

    Raises:
        InputError: There is no lake.
        StoreError: It cannot be read.
    """
    engine = Engine(lake)
    try:
        return Summary(_chains(engine), _gaps(engine), _statements(engine))
    finally:
        engine.close()


def ledger_headers(lake: Path, wanted: Iterable[tuple[Chain, int]]) -> dict[tuple[Chain, int], bytes]:
    """The headers of some batches; those that the ledger lacks are left out.

    Raises:
        InputError: There is no lake.
        StoreError: It cannot be read.
    """
    asked = [(chain.gateway, chain.stream.name.lower(), chain.epoch, seq) for chain, seq in wanted]
    if not asked:
        return {}
    names = ("gateway", "stream", "epoch", "seq")
    engine = Engine(lake)
    try:
        # All in one pass: of a group's thousands of chains, each would read the ledger anew.
        engine.attach("wanted", pa.table([list(column) for column in zip(*asked, strict=True)], names))
        rows = engine.rows(
            f"SELECT {', '.join(names)}, header FROM ledger JOIN wanted USING ({', '.join(names)})"
        )
        return {
            (Chain(gateway, Stream[stream.upper()], epoch), seq): header
            for gateway, stream, epoch, seq, header in rows[1]
        }
    finally:
        engine.close()


def _chains(engine: Engine) -> list[ChainLine]:
    rows = engine.rows(
        "SELECT gateway, stream, epoch, count(*), sum(samples)::BIGINT, "
        "count(*) FILTER (status = 'tombstone'), count(*) FILTER (status = 'refused'), "
        "sum(repeated)::BIGINT, max(seq) + 1, max(seq) + 1 - count(*), "
        "min(t_min) FILTER (samples > 0), max(t_max) FILTER (samples > 0) "
        "FROM ledger GROUP BY ALL ORDER BY gateway, stream, epoch"
    )[1]
    return [
        ChainLine(Chain(gateway, Stream[stream.upper()], epoch), *columns)
        for gateway, stream, epoch, *columns in rows
    ]


def _gaps(engine: Engine) -> list[GapLine]:
    rows = engine.rows(
        "SELECT gateway, cause, declared_by, count(*), sum(samples)::BIGINT, min(t_from), max(t_to) "
        "FROM gaps GROUP BY ALL ORDER BY gateway, cause, declared_by"
    )[1]
    return [GapLine(*row) for row in rows]


def _statements(engine: Engine) -> list[tuple[str, str, dict[str, Any]]]:
    rows = engine.rows(
        "SELECT gateway, max(time), arg_max(detail, batch) FROM events WHERE kind = 'statement' "
        "GROUP BY gateway ORDER BY gateway"
    )[1]
    return [(gateway, at, json.loads(detail)) for gateway, at, detail in rows]
