"""What a hub decides about what comes from below and from above."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub import quarantine
from hub.admission import Room
from hub.limits import ROWS_PER_STATEMENT_MAX
from protocols.batch import Header, Kind, Stream, header_hash
from protocols.errors import StoreDamagedError, StoreError
from protocols.identity import VerifyKey
from protocols.records import (
    HubReport,
    HubStatement,
    Opening,
    OpenReason,
    RefusalReason,
    StoreUse,
    parse_statement,
)
from protocols.session.events import Behind, Forked, Receipted, Refused, Stored
from tests.chains import HUB_KEY
from tests.hub_parts import DATA, GatewaySide, HubParts, accept, data_chain, receipt_for, refusal_of


def events_of(hub: HubParts) -> list[str]:
    return [finding.event for finding in hub.ingest.findings()]


def test_batches_are_acknowledged_once_their_group_is_durable() -> None:
    hub, chain = HubParts(), data_chain(5)
    gateway = GatewaySide(hub, chain)
    assert gateway.events[-1] == Stored(DATA, 5)
    assert hub.store.mark(DATA) == (5, chain.head)
    assert (hub.ingest.stored, hub.ingest.commits) == (5, 1)


def test_a_store_that_fails_loses_nothing_and_takes_credit_away() -> None:
    hub, chain = HubParts(), data_chain(40)
    pages = hub.connection.execute("pragma page_count").fetchone()[0]
    hub.connection.execute(f"pragma max_page_count = {pages}")
    gateway = GatewaySide(hub, chain)
    assert hub.store.mark(DATA) is None
    assert "store-failed" in events_of(hub)
    hub.connection.execute("pragma max_page_count = 100000")
    hub.receiver.pause(False)
    gateway.run()
    assert hub.store.mark(DATA) == (40, chain.head)


def test_a_damaged_store_is_not_written_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = HubParts()

    def fail(*_: object) -> None:
        raise StoreDamagedError("the hub's store cannot be read")

    monkeypatch.setattr(hub.store, "append", fail)
    with pytest.raises(StoreDamagedError):
        GatewaySide(hub, data_chain(2))
    monkeypatch.setattr(hub.store, "receipted", fail)
    with pytest.raises(StoreDamagedError):
        hub.hear(Receipted(*receipt_for(data_chain(2), 1)))


def test_a_receipt_is_kept_passed_down_and_lets_batches_go() -> None:
    hub, chain = HubParts(), data_chain(5)
    gateway = GatewaySide(hub, chain)
    hub.hear(Receipted(*receipt_for(chain, 2)), Receipted(*receipt_for(chain, 4)))
    assert hub.store.trim() == 4
    gateway.run()
    assert gateway.events[-1] == Receipted(*receipt_for(chain, 4))


def test_a_receipt_reaches_a_gateway_that_comes_back_after_the_hub_was_restarted() -> None:
    hub, chain = HubParts(), data_chain(5)
    GatewaySide(hub, chain)
    hub.hear(Receipted(*receipt_for(chain, 4)))
    gateway = GatewaySide(HubParts(hub.connection), chain)
    assert Receipted(*receipt_for(chain, 4)) in gateway.events


def test_a_receipt_for_another_history_lets_nothing_go_here_but_may_be_the_gateways() -> None:
    hub, chain = HubParts(), data_chain(5)
    gateway = GatewaySide(hub, chain)
    other = chain.fork(2, [b"x"] * 3)
    hub.hear(Receipted(*receipt_for(other, 4)))
    gateway.run()
    assert gateway.events[-1] == Receipted(*receipt_for(other, 4))
    assert hub.store.trim() == 0
    assert "receipt-conflict" in events_of(hub)


def test_a_copy_that_rotted_is_set_aside_and_asked_for_again() -> None:
    hub, chain = HubParts(), data_chain(6)
    gateway = GatewaySide(hub, chain)
    hub.connection.execute("update batches set payload = x'00' where seq = 3")
    hub.hear(refusal_of(chain, 3, RefusalReason.HASH))
    assert quarantine.counts(hub.store) == {"refusals": 1, "quarantined": 3}
    gateway.run()
    assert hub.store.mark(DATA) == (6, chain.head)
    assert quarantine.held(hub.store, DATA, 3) == chain.batches[3]
    assert hub.outbox.read(DATA, 0, 10, 1 << 20) == chain.batches
    assert events_of(hub) == ["refused-above", "copy-damaged"]


def test_what_is_staged_when_a_copy_turns_out_rotten_is_stored_first() -> None:
    hub, chain = HubParts(), data_chain(6)
    gateway = GatewaySide(hub, chain)
    hub.connection.execute("update batches set payload = x'00' where seq = 3")
    chain.grow([b"more"])
    hub.receiver.receive(b"peer", "gw", "gateway", [b"D", *chain.batches[6]], hub.now)
    assert hub.receiver.staged == 1
    hub.hear(refusal_of(chain, 3, RefusalReason.SIGNATURE))
    gateway.run()
    assert hub.store.mark(DATA) == (7, chain.head)


def test_a_sound_copy_that_headquarters_refuses_is_left_alone() -> None:
    hub, chain = HubParts(), data_chain(6)
    gateway = GatewaySide(hub, chain)
    hub.hear(refusal_of(chain, 3, RefusalReason.HASH), refusal_of(chain, 2, RefusalReason.KEY))
    gateway.run()
    assert hub.store.mark(DATA) == (6, chain.head)
    assert quarantine.counts(hub.store) == {"refusals": 2, "quarantined": 0}
    assert not any(isinstance(event, Refused) for event in gateway.events)


def test_a_payload_that_headquarters_cannot_read_is_the_gateways_matter() -> None:
    hub, chain = HubParts(), data_chain(6)
    gateway = GatewaySide(hub, chain)
    refused = refusal_of(chain, 3, RefusalReason.PAYLOAD)
    hub.hear(refused)
    gateway.run()
    assert gateway.events[-1] == refused


def test_a_fork_above_is_told_to_the_gateway_until_it_has_a_new_epoch() -> None:
    hub, chain = HubParts(), data_chain(6)
    hub.store.append(accept(chain.batches))
    hub.hear(Forked(DATA, 3), Forked(DATA, 3))
    gateway = GatewaySide(hub, chain)
    assert not any(isinstance(event, Refused) for event in gateway.events)
    hub.ingest.remind()
    gateway.run()
    refused = [event for event in gateway.events if isinstance(event, Refused)]
    assert [event.refusal.reason for event in refused] == [RefusalReason.FORK]
    assert refused[0].refusal.head == header_hash(chain.batches[3].header)
    hub.store.append(accept(data_chain(1, epoch=2).batches))
    hub.ingest.remind()
    assert hub.receiver.outgoing() == []


def test_an_upstream_that_wants_what_is_gone_is_reported() -> None:
    hub = HubParts()
    hub.hear(Behind(DATA, 3, 9))
    assert events_of(hub) == ["behind"]


def test_cursors_follow_what_an_upstream_says() -> None:
    hub, chain = HubParts(), data_chain(6)
    hub.store.append(accept(chain.batches))
    hub.hear(Stored(DATA, 4), Stored(DATA, 2))
    assert hub.store.cursor("hq", DATA) == 2


def test_news_that_the_store_cannot_take_is_heard_again_later() -> None:
    hub, chain = HubParts(), data_chain(5)
    hub.store.append(accept(chain.batches))
    hub.connection.execute("pragma query_only = on")
    hub.hear(Receipted(*receipt_for(chain, 4)))
    assert hub.store.receipts() == []
    hub.connection.execute("pragma query_only = off")
    hub.hear()
    assert hub.store.receipts() == [receipt_for(chain, 4)]


class TestStatement:
    def statements(self, hub: HubParts) -> list[HubStatement]:
        found = []
        for row in hub.store.chains:
            if row.chain.gateway == "hub":
                for batch in hub.outbox.read(row.chain, 0, 100, 1 << 30):
                    if Header.parse(batch.header).kind is Kind.STATEMENT:
                        statement = parse_statement(batch.payload)
                        assert isinstance(statement, HubStatement)
                        found.append(statement)
        return found

    def test_a_hub_states_what_changed_in_a_chain_of_its_own(self) -> None:
        hub, chain = HubParts(), data_chain(4)
        hub.store.append(accept(chain.batches))
        assert hub.ingest.state(0.0, 1_000_000) == 2
        assert hub.ingest.state(0.0, 2_000_000) == 0
        hub.store.receipted([receipt_for(chain, 3)])
        hub.store.trim()
        assert hub.ingest.state(0.0, 3_000_000) == 1
        assert hub.ingest.state(0.0, 4_000_000, everything=True) == 1
        rows = [statement.chains for statement in self.statements(hub)]
        before, after = (("gw", 2, 1, 0, 4, 4, 4, 0, trimmed) for trimmed in (0, 3))
        assert rows == [(before,), (after,), (after,)]

    def test_a_report_goes_along_with_what_changed_or_alone(self) -> None:
        hub = HubParts()
        report = HubReport("0.1.0", (StoreUse("store", 7, 100),))
        assert hub.ingest.state(0.0, 1_000_000, report=report) == 2
        hub.store.append(accept(data_chain(4).batches))
        assert hub.ingest.state(0.0, 2_000_000, report=report) == 1
        assert hub.ingest.state(0.0, 3_000_000, everything=True) == 1
        said = [(len(statement.chains), statement.report) for statement in self.statements(hub)]
        assert said == [(0, report), (1, report), (1, None)]

    def test_the_chain_opens_with_an_opening_and_is_signed_by_the_hub(self) -> None:
        hub = HubParts()
        hub.ingest.state(0.0, 5_000_000)
        (offer,) = hub.outbox.offers()
        (batch,) = hub.outbox.read(offer.chain, 0, 1, 1)
        header = Header.parse(batch.header)
        assert header.kind is Kind.OPEN and header.stream is Stream.META and header.gateway == "hub"
        assert Opening.parse(batch.payload) == Opening(OpenReason.FIRST, None, None)
        assert VerifyKey(HUB_KEY.public).verify(b"catchment/batch/v1\x00", batch.header, batch.signature)
        assert header.epoch == 5000 << 16 | 7

    def test_the_chain_goes_on_after_a_restart_and_states_everything_once(self) -> None:
        hub, chain = HubParts(), data_chain(4)
        hub.store.append(accept(chain.batches))
        hub.ingest.state(0.0, 1_000_000)
        again = HubParts(hub.connection)
        assert again.ingest.state(0.0, 2_000_000) == 1
        assert [offer.next for offer in again.outbox.offers() if offer.chain.gateway == "hub"] == [3]

    def test_a_fork_of_its_own_chain_begins_a_new_epoch(self) -> None:
        hub, chain = HubParts(), data_chain(4)
        hub.ingest.state(0.0, 1_000_000)
        (own,) = hub.outbox.offers()
        hub.hear(Forked(own.chain, 0))
        hub.store.append(accept(chain.batches))
        assert hub.ingest.state(0.0, 1_000_000) == 2
        newest = max(offer.chain.epoch for offer in hub.outbox.offers() if offer.chain.gateway == "hub")
        assert newest == own.chain.epoch + 1

    def test_a_statement_that_could_not_be_stored_is_made_again(self) -> None:
        hub, chain = HubParts(), data_chain(4)
        hub.store.append(accept(chain.batches))
        hub.connection.execute("pragma query_only = on")
        with pytest.raises(StoreError):
            hub.ingest.state(0.0, 1_000_000)
        hub.connection.execute("pragma query_only = off")
        assert hub.ingest.state(0.0, 2_000_000) == 2

    def test_very_many_chains_take_several_statements(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hub.limits.ROWS_PER_STATEMENT_MAX", 2)
        hub = HubParts()
        for epoch in range(5):
            hub.store.append(accept(data_chain(1, epoch).batches))
        assert hub.ingest.state(0.0, 1) == 1 + 3
        assert ROWS_PER_STATEMENT_MAX * 100 < 8 << 20


def test_credit_comes_back_only_when_there_is_some_room() -> None:
    room = Room(quota_bytes=1 << 30, reserve_bytes=1 << 20)
    assert room.update(0, 1 << 30)
    assert not room.update(1 << 30, 1 << 30)
    assert "quota of 1024 MB" in room.why
    assert not room.update((1 << 30) - 1, 1 << 30)
    assert room.update(int(0.9 * (1 << 30)), 1 << 30)
    assert not room.update(0, 1 << 20)
    assert "1 MB" in room.why
    assert not room.update(0, (1 << 20) + 1)
    assert room.update(0, 1 << 21)


def test_statements_go_on_in_a_new_epoch_when_the_keys_that_signed_them_are_out_of_force() -> None:
    hub = HubParts()
    hub.ingest.state(0.0, 0, everything=True)
    first = hub.own.chain
    refused = refusal_of(data_chain(1), 0, RefusalReason.KEY)
    of_own = Refused(replace(refused.refusal, chain=first), refused.signed)
    hub.hear(of_own)
    hub.ingest.state(0.0, 1_000_000, everything=True)
    assert hub.own.chain.epoch > first.epoch
    second = hub.own.chain
    hub.hear(of_own)  # the old epoch is offered again, and refused again
    hub.ingest.state(0.0, 2_000_000, everything=True)
    assert hub.own.chain == second
