"""One signature for a run of batches: what it proves, and what comes of one that does not hold."""

from __future__ import annotations

import pytest

from protocols.batch import Batch, Header
from protocols.identity import SigningKey, VerifyKey
from protocols.records import RefusalReason
from protocols.session import messages
from protocols.session.events import Refused
from protocols.session.runs import first_faults
from tests.chains import GATEWAY_KEY, ChainOfBatches
from tests.hub_parts import DATA, GatewaySide, HubParts, accept, data_chain, refusal_of

OTHER_KEY = SigningKey(b"o" * 32)
KEYS = {key.key_id: VerifyKey(key.public) for key in (GATEWAY_KEY, OTHER_KEY)}


def faults(batches: list[Batch], *, doubted: bool = False) -> list[int]:
    found = first_faults(accept(batches), KEYS.get, {DATA} if doubted else set())
    return [fault.item.header.seq for fault in found]


def unsigned(chain: ChainOfBatches, seq: int) -> ChainOfBatches:
    chain.batches[seq] = chain.batches[seq]._replace(signature=bytes(64))
    return chain


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequences whose signatures were looked at."""
    seen: list[int] = []
    verify = VerifyKey.verify

    def counting(self: VerifyKey, domain: bytes, message: bytes, signature: bytes) -> bool:
        seen.append(Header.parse(message).seq)
        return verify(self, domain, message, signature)

    monkeypatch.setattr(VerifyKey, "verify", counting)
    return seen


def test_the_last_signature_proves_a_run(looked_at: list[int]) -> None:
    assert faults(data_chain(9).batches) == []
    assert looked_at == [8]


def test_each_chain_is_a_run_of_its_own(looked_at: list[int]) -> None:
    pairs = zip(data_chain(3).batches, data_chain(3, epoch=2).batches, strict=True)
    assert faults([batch for pair in pairs for batch in pair]) == []
    assert looked_at == [2, 2]


def test_a_run_ends_where_the_key_changes(looked_at: list[int]) -> None:
    chain = data_chain(4)
    chain.key = OTHER_KEY
    chain.grow([b"under another key"] * 3)
    assert faults(chain.batches) == []
    assert looked_at == [3, 6]


def test_every_tombstone_is_looked_at(looked_at: list[int]) -> None:
    chain = data_chain(6)
    chain.bury(2)
    assert faults(chain.batches) == []
    assert looked_at == [2, 2, 5]
    chain.batches[2] = chain.batches[2]._replace(signature=chain.batches[2].signature[:64] + bytes(64))
    assert faults(chain.batches) == [2]


@pytest.mark.parametrize("seq", (0, 3, 5))
def test_where_the_last_does_not_hold_the_first_wrong_one_is_found(seq: int) -> None:
    assert faults(unsigned(unsigned(data_chain(6), seq), 5).batches) == [seq]


def test_a_wrong_one_in_the_middle_changes_nothing_and_is_found_in_a_doubted_chain() -> None:
    chain = unsigned(data_chain(6), 2)
    assert faults(chain.batches) == []
    assert faults(chain.batches, doubted=True) == [2]


def test_a_key_that_was_taken_off_the_list_proves_nothing() -> None:
    [fault] = first_faults(accept(data_chain(2).batches), lambda key_id: None, set())
    assert (fault.item.header.seq, fault.reason) == (0, RefusalReason.KEY)


def test_a_hole_ends_a_run(looked_at: list[int]) -> None:
    chain = data_chain(9)
    assert faults(chain.batches[:3] + chain.batches[5:]) == []
    assert looked_at == [2, 8]


class Relay:
    """A peer in the role of a hub that has a chain of its own making to bring."""

    def __init__(self, hub: HubParts) -> None:
        self.hub = hub
        self.say(messages.hello("relay", "hub"))

    def say(self, *frames: messages.Frames) -> None:
        for each in frames:
            self.hub.receiver.receive(b"relay", "relay", "hub", each, 0.0)

    def bring(self, batches: list[Batch]) -> None:
        (offer,) = messages.offers([messages.Offer(DATA, 0, len(batches), bytes(32))])
        self.say(offer, *map(messages.batch, batches))


class TestRelays:
    """Whoever brings another's batches is believed nothing that a signature does not prove at once."""

    def test_what_it_made_up_is_refused_before_a_gateway_can_meet_it(self) -> None:
        hub, forged = HubParts(), data_chain(0)
        forged.grow([b"forged"] * 3)
        for seq in range(3):
            unsigned(forged, seq)
        Relay(hub).bring(forged.batches)
        assert not hub.receiver.staged
        chain = data_chain(3)
        gateway = GatewaySide(hub, chain)
        assert hub.store.mark(DATA) == (3, chain.head)
        assert not any(isinstance(event, Refused) for event in gateway.events)

    def test_true_batches_with_spoilt_signatures_take_no_place(self) -> None:
        hub, chain = HubParts(), data_chain(3)
        Relay(hub).bring([batch._replace(signature=bytes(64)) for batch in chain.batches])
        GatewaySide(hub, chain)
        assert hub.outbox.read(DATA, 0, 10, 1 << 20) == chain.batches


class TestAtAHub:
    def test_who_left_something_unproven_under_a_name_is_found_out_by_the_next_one(self) -> None:
        hub, chain = HubParts(), data_chain(3)
        thief = data_chain(0).grow([b"forged"])
        unsigned(thief, 0)
        hub.receiver.receive(b"thief", "gw", "gateway", messages.hello("gw", "gateway"), 0.0)
        for frames in (
            *messages.offers([messages.Offer(DATA, 0, 1, thief.head)]),
            messages.batch(thief.batches[0]),
        ):
            hub.receiver.receive(b"thief", "gw", "gateway", frames, 0.0)
        assert hub.receiver.staged == 1
        gateway = GatewaySide(hub, chain)
        assert hub.store.mark(DATA) == (3, chain.head)
        assert not any(isinstance(event, Refused) for event in gateway.events)

    def test_what_stands_before_a_wrong_signature_is_stored_and_the_rest_asked_for_again(self) -> None:
        hub, chain = HubParts(), data_chain(6)
        good = chain.batches[5]
        unsigned(chain, 5)
        gateway = GatewaySide(hub, chain)
        assert hub.store.mark(DATA) == (5, Header.parse(good.header).previous)
        [refused] = [event.refusal for event in gateway.events if isinstance(event, Refused)]
        assert (refused.seq, refused.reason) == (5, RefusalReason.SIGNATURE)
        assert not hub.receiver.staged
        chain.batches[5] = good
        again = GatewaySide(hub, chain)
        assert hub.store.mark(DATA) == (6, chain.head)
        assert not any(isinstance(event, Refused) for event in again.events)

    def test_a_first_batch_with_a_wrong_signature_leaves_no_chain_behind(self) -> None:
        hub, chain = HubParts(), unsigned(data_chain(1), 0)
        GatewaySide(hub, chain)
        assert hub.store.mark(DATA) is None
        chain = data_chain(1)
        GatewaySide(hub, chain)
        assert hub.store.mark(DATA) == (1, chain.head)

    def test_what_is_taken_back_counts_no_longer_against_the_credit(self) -> None:
        hub, chain = HubParts(), unsigned(data_chain(3), 2)
        GatewaySide(hub, chain)
        [session] = hub.receiver._peers
        assert session.staged_bytes == 0

    def test_one_in_the_middle_that_headquarters_refuses_is_found_and_mended(self) -> None:
        """As when a gateway's disk spoilt a signature: the gateway is told, and signs again."""
        hub, chain = HubParts(), data_chain(6)
        good = chain.batches[2]
        unsigned(chain, 2)
        gateway = GatewaySide(hub, chain)
        assert hub.store.mark(DATA) == (6, chain.head)
        hub.hear(refusal_of(chain, 2, RefusalReason.SIGNATURE))
        gateway.run()
        [refused] = [event.refusal for event in gateway.events if isinstance(event, Refused)]
        assert (refused.seq, refused.reason, refused.receiver) == (2, RefusalReason.SIGNATURE, "hub")
        assert hub.store.mark(DATA) == (2, Header.parse(good.header).previous)
        chain.batches[2] = good
        GatewaySide(hub, chain)
        assert hub.store.mark(DATA) == (6, chain.head)
        assert hub.outbox.read(DATA, 0, 10, 1 << 20) == chain.batches
