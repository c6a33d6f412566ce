"""What the ledger says of every gateway and chain, kept in memory and brought forward by new rows alone.

The ledger grows for good; batch numbers only grow. So what is known up to one number is never
looked at again, and a page costs what came since the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headquarters.lake.query import Engine

HOUR_S = 3600
MINUTE_US = 60_000_000
MINUTES_KEPT = 60
"""The rate of samples is known minute by minute for an hour."""

RATE_MINUTES = 5
"""The rate that is shown is over the last whole minutes; of who came within them, since then."""

YOUNG_US = 5_000_000
"""Over less than this there is no rate yet: what comes first was buffered meanwhile."""


@dataclass(slots=True)
class ChainTotals:
    """One chain, as the ledger has it.

    Args:
        gateway: Whose.
        stream: `data`, `event` or `meta`.
        epoch: Its epoch.
        batches: In the ledger.
        samples: What their headers announce.
        tombstones: Batches whose payload the gateway had dropped.
        refused: Batches that could not be read.
        next: One beyond the highest sequence.
        t_max_us: The newest time in it.
        received_us: When its last batch came.
    """

    gateway: str
    stream: str
    epoch: int
    batches: int = 0
    samples: int = 0
    tombstones: int = 0
    refused: int = 0
    next: int = 0
    t_max_us: int | None = None
    received_us: int = 0

    @property
    def missing(self) -> int:
        """Sequences that are not in the ledger."""
        return self.next - self.batches


@dataclass(slots=True)
class GatewayTotals:
    """One gateway, or another node that has chains.

    Args:
        received_us: When its last batch came.
        sample_us: The newest time of a sample.
        header: The header of its newest batch of samples, which tells of its clock.
        samples: In all its batches.
        batches: Of all its chains.
        minutes: Samples by the minute in which they came.
        begun_us: When the first of these came; 0: none did.
    """

    received_us: int = 0
    sample_us: int | None = None
    header: bytes | None = None
    samples: int = 0
    batches: int = 0
    minutes: dict[int, int] = field(default_factory=dict)
    begun_us: int = 0

    def rate(self, now_us: int) -> float:
        """Samples a second, over the last whole minutes."""
        minute = now_us // MINUTE_US
        if self.begun_us >= (minute - RATE_MINUTES) * MINUTE_US:
            young_us = now_us - self.begun_us
            return 0.0 if young_us < YOUNG_US else sum(self.minutes.values()) / young_us * 1e6
        counted = sum(self.minutes.get(minute - back, 0) for back in range(1, RATE_MINUTES + 1))
        return counted / (60.0 * RATE_MINUTES)

    def course(self, now_us: int) -> list[tuple[int, float]]:
        """Samples a second in each minute of the last hour: begin of the minute in microseconds, rate."""
        minute = now_us // MINUTE_US
        return [
            (at * MINUTE_US, self.minutes.get(at, 0) / 60.0) for at in range(minute - MINUTES_KEPT, minute)
        ]


class FleetBoard:
    """All of them; brought forward by `refresh`."""

    def __init__(self) -> None:
        self.gateways: dict[str, GatewayTotals] = {}
        self.chains: dict[tuple[str, str, int], ChainTotals] = {}
        self._batch = -1

    def refresh(self, engine: Engine, now_us: int) -> None:
        """Take in what came since the last time.

        Raises:
            StoreError: The lake cannot be read.
        """
        _, rows = engine.rows(
            "SELECT gateway, stream, epoch, count(*), sum(samples)::BIGINT, "
            "count(*) FILTER (status = 'tombstone'), count(*) FILTER (status = 'refused'), max(seq) + 1, "
            "epoch_us(max(t_max) FILTER (samples > 0)), epoch_us(max(received)), "
            "arg_max(header, batch) FILTER (kind = 'data'), max(batch) "
            f"FROM ledger WHERE batch > {self._batch} GROUP BY ALL"
        )
        newest = self._batch
        for (
            gateway,
            stream,
            epoch,
            batches,
            samples,
            tombstones,
            refused,
            next_,
            t_max,
            came,
            header,
            last,
        ) in rows:
            newest = max(newest, last)
            chain = self.chains.setdefault((gateway, stream, epoch), ChainTotals(gateway, stream, epoch))
            chain.batches += batches
            chain.samples += samples
            chain.tombstones += tombstones
            chain.refused += refused
            chain.next = max(chain.next, next_)
            chain.t_max_us = _later(chain.t_max_us, t_max)
            chain.received_us = max(chain.received_us, came)
            known = self.gateways.setdefault(gateway, GatewayTotals())
            known.batches += batches
            known.samples += samples
            known.received_us = max(known.received_us, came)
            if stream == "data":
                newer = t_max is not None and t_max >= (known.sample_us or 0)
                known.sample_us = _later(known.sample_us, t_max)
                if header is not None and (newer or known.header is None):
                    known.header = header
        if newest > self._batch:
            self._count_minutes(engine, now_us)
            self._batch = newest

    def _count_minutes(self, engine: Engine, now_us: int) -> None:
        since_us = (now_us // MINUTE_US - MINUTES_KEPT) * MINUTE_US
        _, rows = engine.rows(
            f"SELECT gateway, epoch_us(received) // {MINUTE_US}, sum(samples)::BIGINT, "
            "epoch_us(min(received)) FROM ledger "
            f"WHERE batch > {self._batch} AND received >= make_timestamptz({since_us}) GROUP BY ALL"
        )
        for gateway, minute, samples, first_us in rows:
            known = self.gateways[gateway]
            known.minutes[minute] = known.minutes.get(minute, 0) + samples
            known.begun_us = min(known.begun_us or first_us, first_us)
        oldest = since_us // MINUTE_US
        for known in self.gateways.values():
            for minute in [minute for minute in known.minutes if minute < oldest]:
                del known.minutes[minute]


def _later(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
