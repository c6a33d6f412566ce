"""The hub's own chain: its signed statements, stored and relayed like any gateway's batches.

The chain goes on over restarts; a store that was lost, or restored from an old copy, begins a
new epoch of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hub import limits
from hub.chains import ChainRow
from hub.store import Store
from protocols.batch import (
    VERSION,
    ZERO_HASH,
    Chain,
    ClockState,
    Header,
    Kind,
    Stream,
    header_hash,
    seal,
)
from protocols.identity import Identity
from protocols.records import HubReport, HubStatement, Opening, OpenReason
from protocols.session import Accepted

_Row = tuple[str, int, int, int, int, int, int, int, int]


class OwnChain:
    """Makes the batches of a hub's own chain; the caller stores them with the next group.

    Args:
        store: Where the chain stands.
        identity: The hub's.
        boot_id: 16 random bytes of this start.
        random16: 16 random bits, for the number of a new epoch.
        copied_in: Of a store that came back from a backup, its epoch then: what the hub stated in it
            since is not known here, so it begins another.
    """

    def __init__(
        self,
        store: Store,
        identity: Identity,
        boot_id: bytes,
        random16: int,
        copied_in: int | None = None,
    ) -> None:
        self._store = store
        self._identity = identity
        self._boot_id = boot_id
        self._random16 = random16
        self._stated: dict[Chain, _Row] = {}
        self._made: tuple[int, list[_Row]] = (0, [])
        epochs = [row.chain.epoch for row in store.chains if self.owns(row.chain)]
        self._epoch = max(epochs, default=0)
        self._reason = None if epochs else OpenReason.FIRST
        if epochs and self._epoch == copied_in:
            self._reason = OpenReason.STORE_LOST

    @property
    def chain(self) -> Chain:
        """The epoch that is written now."""
        return Chain(self._identity.id, Stream.META, self._epoch)

    def owns(self, chain: Chain) -> bool:
        """Whether it is a chain of this hub."""
        return chain.gateway == self._identity.id

    def reopen(self, reason: OpenReason) -> None:
        """Begin a new epoch with the next statement."""
        self._reason = reason

    def state(
        self, now_us: int, monotonic_us: int, everything: bool = False, report: HubReport | None = None
    ) -> list[Accepted]:
        """The next batches of the chain; they count as stated once `stored` is called.

        Args:
            now_us: Time of day, microseconds since 1970.
            monotonic_us: The monotonic clock.
            everything: State all chains, not only those that changed.
            report: What the hub says of itself, if it is to go along.
        """
        rows = [
            stated
            for row in self._store.chains
            if not self.owns(row.chain)
            for stated in (_stated(row),)
            if everything or self._stated.get(row.chain) != stated
        ]
        payloads = [(Kind.STATEMENT, payload) for payload in _payloads(rows, now_us, report)]
        epoch = self._epoch
        if self._reason is not None:
            epoch = max((now_us // 1000) << 16 | self._random16, self._epoch + 1)
            payloads.insert(0, (Kind.OPEN, Opening(self._reason, self._epoch or None, None).pack()))
        self._made = (epoch, rows)
        return list(self._seal(epoch, payloads, now_us, monotonic_us))

    def stored(self) -> None:
        """What `state` made last is durable."""
        self._epoch, rows = self._made
        self._reason = None
        self._stated.update({Chain(row[0], Stream(row[1]), row[2]): row for row in rows})

    def _seal(
        self, epoch: int, payloads: list[tuple[Kind, bytes]], now_us: int, monotonic_us: int
    ) -> Iterator[Accepted]:
        chain = Chain(self._identity.id, Stream.META, epoch)
        seq, head = self._store.mark(chain) or (0, ZERO_HASH)
        for kind, payload in payloads:
            header = Header(
                version=VERSION,
                flags=0,
                gateway=chain.gateway,
                stream=chain.stream,
                epoch=chain.epoch,
                seq=seq,
                kind=kind,
                n=0,
                t_min_us=now_us,
                t_max_us=now_us,
                boot_id=self._boot_id,
                monotonic_us=monotonic_us,
                clock_state=ClockState.UNSYNCHRONISED,  # a hub stamps no samples and vouches for no clock
                clock_offset_us=0,
                table_hash=ZERO_HASH,
                key_id=bytes(8),
                previous=head,
                payload_hash=ZERO_HASH,
                payload_bytes=0,
            )
            batch = seal(header, payload, self._identity.signing)
            yield Accepted(chain, Header.parse(batch.header), batch)
            seq, head = seq + 1, header_hash(batch.header)


def _stated(row: ChainRow) -> _Row:
    return (
        *(row.chain.gateway, int(row.chain.stream), row.chain.epoch),
        *(row.first, row.next, row.batches, row.samples, row.tombstones, row.trimmed),
    )


def _payloads(rows: list[_Row], now_us: int, report: HubReport | None) -> Iterator[bytes]:
    if report is not None and not rows:
        yield HubStatement(now_us, (), report).pack()
    for at in range(0, len(rows), limits.ROWS_PER_STATEMENT_MAX):
        part = tuple(rows[at : at + limits.ROWS_PER_STATEMENT_MAX])
        yield HubStatement(now_us, part, None if at else report).pack()
