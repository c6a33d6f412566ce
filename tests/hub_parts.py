"""A hub's store and its deciding half, without sockets: what hub tests are built from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hub.ingest import Ingest, News
from hub.outbox import Recent, UpstreamOutbox
from hub.statement import OwnChain
from hub.store import Store
from protocols.batch import Batch, Chain, Header, Stream, header_hash
from protocols.identity import Identity, LinkKey, PublicIdentity, VerifyKey
from protocols.records import Mark, Receipt, Refusal, RefusalReason, sign_record
from protocols.session import Accepted, Receiver, Sender, SenderEvent, messages
from protocols.session.events import Refused
from protocols.session.receiver import KeyBook
from tests.chains import GATEWAY_KEY, HEADQUARTERS_KEY, HUB_KEY, ChainOfBatches

DATA = Chain("gw", Stream.DATA, 1)
KEYS = {GATEWAY_KEY.key_id: VerifyKey(GATEWAY_KEY.public)}
HUB_IDENTITY = Identity(
    PublicIdentity("hub", "hub", HUB_KEY.public, b"-" * 40), HUB_KEY, LinkKey(b"-" * 40, b"")
)


def memory() -> sqlite3.Connection:
    """A database that lives as long as the test."""
    return sqlite3.connect(":memory:")


def accept(batches: Iterable[Batch], hole_from: int | None = None) -> list[Accepted]:
    """Batches as a receiver hands them over; the first may follow a hole."""
    accepted = []
    for batch in batches:
        header = Header.parse(batch.header)
        accepted.append(Accepted(header.chain, header, batch, hole_from))
        hole_from = None
    return accepted


def data_chain(length: int, epoch: int = 1) -> ChainOfBatches:
    """A chain of small batches."""
    return ChainOfBatches("gw", Stream.DATA, epoch).grow(b"payload %d" % i for i in range(length))


def receipt_for(chain: ChainOfBatches, next_: int, mark: Mark = Mark.HEADQUARTERS) -> tuple[Receipt, bytes]:
    """Headquarters' word that the chain is safe below `next_`."""
    other = ChainOfBatches(*chain.chain)
    other.batches = chain.batches[:next_]
    receipt = Receipt(chain.chain, next_, other.head, mark, 1)
    return receipt, sign_record(receipt, HEADQUARTERS_KEY)


def refusal_of(chain: ChainOfBatches, seq: int, reason: RefusalReason) -> Refused:
    """Headquarters' refusal of one batch."""
    head = header_hash(chain.batches[seq].header)
    refusal = Refusal(chain.chain, seq, head, reason, "no", "hq")
    return Refused(refusal, sign_record(refusal, HEADQUARTERS_KEY))


class HubParts:
    """Store, receiver and deciding half over one connection, and a gateway's sender joined to them."""

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        self.connection = connection or memory()
        self.store = Store(self.connection)
        self.recent = Recent()
        self.store.listen(self.recent.add)
        self.receiver = Receiver(
            "hub",
            HUB_KEY,
            self.store,
            KeyBook(KEYS.get, {GATEWAY_KEY.key_id: "gw"}.get),
            any_start=True,
            runs=True,
        )
        self.own = OwnChain(self.store, HUB_IDENTITY, bytes(16), 7)
        self.ingest = Ingest(self.store, self.receiver, KEYS.get, self.own)
        self.outbox = UpstreamOutbox(self.store, "hq", self.connection, self.recent)
        self.now = 0.0

    def hear(self, *events: SenderEvent) -> None:
        self.ingest.hear([News("hq", event) for event in events], self.now, 0)


class GatewaySide:
    """A gateway's sender whose messages reach the hub at once."""

    def __init__(self, hub: HubParts, chain: ChainOfBatches) -> None:
        self.hub = hub
        self.chain = chain
        self.sender = Sender(
            "gw",
            "gateway",
            headquarters=VerifyKey(HEADQUARTERS_KEY.public),
            receiver=VerifyKey(HUB_KEY.public),
            owns_chains=True,
        )
        self.events: list[SenderEvent] = []
        self.sender.start(0.0)
        self.run()

    def run(self) -> None:
        """Carry messages both ways, committing at the hub, until nothing moves."""
        for _ in range(100):
            held = self.chain
            if self.sender.open:
                offer = messages.Offer(held.chain, held.oldest, len(held.batches), held.head)
                self.sender.offer([offer], self.hub.now)
            wanted = self.sender.wanted()
            if wanted is not None:
                batches = held.batches[wanted.seq : wanted.seq + wanted.batches_max]
                self.events += self.sender.supply(wanted, batches, self.hub.now)
            up = self.sender.outgoing()
            for frames in up:
                self.hub.receiver.receive(b"peer", "gw", "gateway", frames, self.hub.now)
            while self.hub.ingest.commit(self.hub.now):
                pass
            down = [frames for peer, frames in self.hub.receiver.outgoing() if peer == b"peer"]
            for frames in down:
                self.events += self.sender.receive(frames, self.hub.now)
            if not up and not down:
                return
        raise AssertionError("the link does not come to rest")
