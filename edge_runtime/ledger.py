"""The gateway's own account of every sample: what came in is what went somewhere.

``collected = thinned + journalled + sealed + dropped`` holds after every transaction of
the buffer, because counts are committed together with what they count. What was in
memory at a kill was never counted: the gap declared at the next start stands for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_runtime.store import Store
from protocols.records import Statement

_DROPPED = "dropped:"
_BURIED = "buried:"


@dataclass(slots=True)
class Counts:
    """Numbers of samples; as a total, or as what one transaction adds.

    Args:
        collected: Delivered by drivers.
        thinned: Left out on purpose by report mode: change, deadband or swinging door.
        journalled: Durable, not yet in a batch.
        sealed: In batches of any epoch, each sample once.
        dropped: Never reached a batch, or delivered before an image was restored, by cause.
        buried: Of the sealed, those whose payload was given up, by cause.
    """

    collected: int = 0
    thinned: int = 0
    journalled: int = 0
    sealed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    buried: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Take another's numbers in."""
        self.collected += other.collected
        self.thinned += other.thinned
        self.journalled += other.journalled
        self.sealed += other.sealed
        self.dropped.update(other.dropped)
        self.buried.update(other.buried)

    @property
    def unaccounted(self) -> int:
        """What the equation leaves over; zero in a closed ledger.

        >>> Counts(collected=10, thinned=2, sealed=7, dropped=Counter(quota=1)).unaccounted
        0
        """
        return self.collected - self.thinned - self.journalled - self.sealed - self.dropped.total()

    def statement(self, time_us: int, chains: Iterable[tuple[int, int, int, int]]) -> Statement:
        """The account as it is signed; `chains` are (stream, epoch, next, samples)."""
        return Statement(
            time_us,
            self.collected,
            self.thinned,
            self.journalled,
            self.sealed,
            dict(self.dropped),
            dict(self.buried),
            tuple(chains),
        )


def load(store: Store) -> Counts:
    """The totals as last committed."""
    counts = Counts(*store.row("select collected, thinned, journalled, sealed from totals"))
    for name, value in store.rows("select name, value from counters"):
        by_cause = counts.dropped if name.startswith(_DROPPED) else counts.buried
        by_cause[name.partition(":")[2]] = value
    return counts


def add(store: Store, counts: Counts) -> None:
    """Add to the totals, inside the caller's transaction."""
    fixed = (counts.collected, counts.thinned, counts.journalled, counts.sealed)
    if any(fixed):
        store.execute(
            "update totals set collected = collected + ?, thinned = thinned + ?, "
            "journalled = journalled + ?, sealed = sealed + ?",
            fixed,
        )
    if counts.dropped or counts.buried:
        store.execute_each(
            "insert into counters values (?, ?) "
            "on conflict(name) do update set value = value + excluded.value",
            [
                *((_DROPPED + cause, n) for cause, n in counts.dropped.items()),
                *((_BURIED + cause, n) for cause, n in counts.buried.items()),
            ],
        )
