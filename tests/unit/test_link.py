"""The link on real sockets: who may connect, and that batches arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq

from protocols.identity import AllowList, Identity, VerifyKey
from protocols.link import ReceiverLink, SenderLink
from protocols.session import SenderEvent
from protocols.session.events import Ready, Stored
from tests.chains import ChainOfBatches, MemoryMarks, MemoryOutbox

GATEWAY = Identity.generate("gw", "gateway")
STRANGER = Identity.generate("gw", "gateway")
HUB = Identity.generate("hub", "hub")
HEADQUARTERS = Identity.generate("hq", "headquarters")


class Served:
    """A receiving link with its store, stepped by a thread."""

    def __init__(self, *allowed: Identity) -> None:
        self.marks = MemoryMarks()
        peers = AllowList(identity.public for identity in allowed)
        self.link = ReceiverLink("tcp://127.0.0.1:*", HUB, peers, self.marks, any_start=True)
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def running(self) -> Iterator[Served]:
        self._thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            self._thread.join()
            self.link.close()

    def _run(self) -> None:
        while not self.stop.is_set():
            self.link.step(0.01)
            taken = self.link.receiver.take(100, 1 << 20)
            self.marks.commit(taken)
            self.link.receiver.committed(taken, 0.0)
            self.link.flush()


def connect(address: str, identity: Identity, outbox: MemoryOutbox, server: Identity = HUB) -> SenderLink:
    return SenderLink(
        address,
        server.link.public,
        identity,
        outbox,
        headquarters=VerifyKey(HEADQUARTERS.public.signing),
        receiver=VerifyKey(HUB.public.signing),
    )


def step_until(link: SenderLink, wanted: SenderEvent, steps: int) -> bool:
    return any(wanted in link.step(0.02) for _ in range(steps))


def chain_of(identity: Identity, count: int) -> ChainOfBatches:
    chain = ChainOfBatches(identity.id)
    chain.key = identity.signing
    return chain.grow([bytes([i]) * 100 for i in range(count)])


def test_batches_arrive_over_an_encrypted_socket() -> None:
    chain = chain_of(GATEWAY, 100)
    with Served(GATEWAY).running() as served:
        link = connect(served.link.address, GATEWAY, MemoryOutbox(chain))
        assert step_until(link, Stored(chain.chain, 100), 500)
        link.close()
    assert len(served.marks.stored[chain.chain]) == 100


@pytest.mark.parametrize("who", ["unknown key", "wrong server key"])
def test_a_link_opens_only_between_keys_that_know_each_other(who: str) -> None:
    with Served(GATEWAY).running() as served:
        identity, server = (STRANGER, HUB) if who == "unknown key" else (GATEWAY, STRANGER)
        link = connect(served.link.address, identity, MemoryOutbox(), server)
        assert not step_until(link, Ready("hub"), 25)
        assert not link.connected
        link.close()
        assert served.link.refused_keys >= (who == "unknown key")


def test_a_peer_without_curve_gets_no_answer() -> None:
    with Served(GATEWAY).running() as served, zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(served.link.address)
        socket.send_multipart([b"H", b"rubbish"])
        assert not socket.poll(300)


def test_a_peer_taken_off_the_list_gets_no_answer_any_more() -> None:
    chain = chain_of(GATEWAY, 1)
    with Served(GATEWAY).running() as served:
        link = connect(served.link.address, GATEWAY, MemoryOutbox(chain))
        assert step_until(link, Stored(chain.chain, 1), 500)
        served.link.set_allow(AllowList([]))
        chain.grow([b"after"])
        assert not step_until(link, Stored(chain.chain, 2), 25)
        link.close()


def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    served = Served(GATEWAY)
    with pytest.raises(zmq.ZMQError):
        ReceiverLink(served.link.address, HUB, AllowList([]), MemoryMarks(), any_start=True)
    served.link.close()
