"""The ledgers of gateways and hubs as they sign them, for reconciliation."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.errors import MalformedError
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
class HubStatement:
    """A hub's own ledger, signed like any batch of its own chain (kind STATEMENT, stream META).

    Counts are totals, not differences; a statement names only the chains that changed since
    the one before it, and all of them after a start and at a clean stop.

    Args:
        time_us: When it was made.
        chains: (gateway, stream, epoch, first sequence stored, next, batches stored, samples
            in their payloads, tombstones among them, batches let go).
    """

    time_us: int
    chains: tuple[tuple[str, int, int, int, int, int, int, int, int], ...]

    def pack(self) -> bytes:
        """The payload."""
        return pack_map({"time": self.time_us, "hub": self.chains})

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
        return cls(fields.whole("time"), tuple(chains))


def parse_statement(data: bytes) -> Statement | HubStatement:
    """Read the payload of a batch of kind STATEMENT, whichever tier made it.

    Raises:
        MalformedError, LimitError: Neither kind of statement.
    """
    fields = unpack(data)
    is_hub = isinstance(fields, dict) and "hub" in fields
    return HubStatement.parse(data) if is_hub else Statement.parse(data)
