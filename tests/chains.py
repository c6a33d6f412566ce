"""Hand-made chains, an outbox over them and marks in memory: what session tests are built from."""

from __future__ import annotations

from collections.abc import Iterable

from protocols.batch import (
    SIGNATURE_BYTES,
    ZERO_HASH,
    Batch,
    Chain,
    ClockState,
    Header,
    Kind,
    Stream,
    bury,
    header_hash,
    seal,
)
from protocols.identity import SigningKey
from protocols.session import Accepted, Offer

GATEWAY_KEY = SigningKey(b"g" * 32)
HUB_KEY = SigningKey(b"h" * 32)
HEADQUARTERS_KEY = SigningKey(b"q" * 32)


def make_header(chain: Chain, seq: int, previous: bytes, n: int = 1) -> Header:
    """A plain data header, complete but for what `seal` sets."""
    return Header(
        version=1,
        flags=0,
        gateway=chain.gateway,
        stream=chain.stream,
        epoch=chain.epoch,
        seq=seq,
        kind=Kind.DATA,
        n=n,
        t_min_us=0,
        t_max_us=0,
        boot_id=bytes(16),
        monotonic_us=0,
        clock_state=ClockState.SYNCHRONISED,
        clock_offset_us=0,
        table_hash=ZERO_HASH,
        key_id=bytes(8),
        previous=previous,
        payload_hash=bytes(32),
        payload_bytes=0,
    )


class ChainOfBatches:
    """One growing chain."""

    def __init__(self, gateway: str = "gw", stream: Stream = Stream.DATA, epoch: int = 1) -> None:
        self.chain = Chain(gateway, stream, epoch)
        self.batches: list[Batch] = []
        self.oldest = 0
        self.key = GATEWAY_KEY

    @property
    def head(self) -> bytes:
        return header_hash(self.batches[-1].header) if self.batches else ZERO_HASH

    def grow(self, payloads: Iterable[bytes]) -> ChainOfBatches:
        for payload in payloads:
            header = make_header(self.chain, len(self.batches), self.head)
            self.batches.append(seal(header, payload, self.key))
        return self

    def bury(self, seq: int) -> None:
        old = self.batches[seq]
        self.batches[seq] = bury(old.header, old.signature[:SIGNATURE_BYTES], self.key)

    def fork(self, seq: int, payloads: Iterable[bytes]) -> ChainOfBatches:
        """Another chain that is equal below `seq` and goes on otherwise."""
        other = ChainOfBatches(*self.chain)
        other.batches = self.batches[:seq]
        return other.grow(payloads)


class MemoryOutbox:
    """An outbox over chains in memory."""

    def __init__(self, *chains: ChainOfBatches) -> None:
        self.chains = {chain.chain: chain for chain in chains}

    @property
    def generation(self) -> int:
        return hash(tuple(self.offers()))

    def offers(self) -> list[Offer]:
        return [Offer(c.chain, c.oldest, len(c.batches), c.head) for c in self.chains.values()]

    def read(self, chain: Chain, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        held = self.chains[chain].batches
        taken: list[Batch] = []
        for batch in held[seq : seq + batches_max]:
            if taken and sum(b.size for b in taken) + batch.size > bytes_max:
                break
            taken.append(batch)
        return taken


class MemoryMarks:
    """A receiver's durable state: every batch it committed."""

    def __init__(self) -> None:
        self.stored: dict[Chain, dict[int, Batch]] = {}

    def commit(self, accepted: Iterable[Accepted]) -> None:
        for item in accepted:
            held = self.stored.setdefault(item.chain, {})
            assert item.header.seq not in held, "a batch was taken twice"
            held[item.header.seq] = item.batch

    def mark(self, chain: Chain) -> tuple[int, bytes] | None:
        held = self.stored.get(chain)
        if not held:
            return None
        last = max(held)
        return last + 1, header_hash(held[last].header)

    def header_hash(self, chain: Chain, seq: int) -> bytes | None:
        batch = self.stored.get(chain, {}).get(seq)
        return None if batch is None else header_hash(batch.header)

    def payloads(self, chain: Chain) -> list[bytes]:
        return [batch.payload for _, batch in sorted(self.stored.get(chain, {}).items())]
