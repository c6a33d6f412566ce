"""The two ends of a link, joined by hand: no socket, no clock, no store."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from protocols.batch import Batch, Chain, Stream, header_hash
from protocols.identity import SigningKey, VerifyKey
from protocols.records import Mark, Receipt, RefusalReason, sign_record
from protocols.session import Accepted, Offer, Receiver, Sender, SenderEvent, messages
from protocols.session.course import STALLED_S
from protocols.session.events import Behind, Disconnected, Forked, Ready, Receipted, Refused, Stored
from protocols.session.findings import Finding
from protocols.session.receiver import KeyBook
from protocols.session.sender import ANSWER_TIMEOUT_S
from tests.chains import (
    GATEWAY_KEY,
    HEADQUARTERS_KEY,
    HUB_KEY,
    ChainOfBatches,
    MemoryMarks,
    MemoryOutbox,
)

PAYLOADS = [bytes([i]) * 10 for i in range(20)]


class Joined:
    """A sender and a receiver whose messages are carried by `run`."""

    runs = False
    """Whether the receiver lets one signature prove a run."""

    def __init__(
        self,
        outbox: MemoryOutbox,
        marks: MemoryMarks | None = None,
        *,
        role: str = "gateway",
        credit: int = 512,
    ) -> None:
        self.outbox = outbox
        self.marks = marks or MemoryMarks()
        self.node = "gw" if role == "gateway" else "hub"
        self.role = role
        keys = {key.key_id: VerifyKey(key.public) for key in (GATEWAY_KEY,)}
        self.receiver = Receiver(
            "receiver",
            HUB_KEY,
            self.marks,
            KeyBook(keys.get, {GATEWAY_KEY.key_id: "gw"}.get),
            any_start=role == "gateway",
            runs=self.runs,
            credit_batches=credit,
        )
        self.sender = Sender(
            self.node,
            role,
            headquarters=VerifyKey(HEADQUARTERS_KEY.public),
            receiver=VerifyKey(HUB_KEY.public),
            owns_chains=role == "gateway",
        )
        self.now = 0.0
        self.sent: list[messages.Frames] = []
        self.commits = True
        self.lose: bytes | None = None
        self.taken: list[Accepted] = []

    def _lost(self, frames: messages.Frames) -> bool:
        if frames[0] != self.lose:
            return False
        self.lose = None
        return True

    def run(self, rounds: int = 200) -> list[SenderEvent]:
        """Carry everything to and fro until nothing moves; the events at the sender, in order."""
        events: list[SenderEvent] = []
        if not self.sender.open:
            self.sender.start(self.now)
        for _ in range(rounds):
            moved = self._up(events)
            moved |= self._down(events)
            if not moved:
                return events
            self.now += 0.001
        return events

    def _up(self, events: list[SenderEvent]) -> bool:
        self.sender.offer(self.outbox.offers(), self.now)
        while (wanted := self.sender.wanted()) is not None:
            events += self.sender.supply(wanted, self.outbox.read(*wanted), self.now)
        frames = self.sender.outgoing()
        for message in frames:
            self.sent.append(message)
            if self._lost(message):
                continue
            self.receiver.receive(b"peer", self.node, self.role, message, self.now)
        return bool(frames)

    def _down(self, events: list[SenderEvent]) -> bool:
        if self.commits and (taken := self.receiver.take(1000, 1 << 30)):
            self.marks.commit(taken)
            self.taken += taken
            self.receiver.committed(taken, self.now)
        messages_ = self.receiver.outgoing()
        for peer, frames in messages_:
            if peer != b"peer" or self._lost(frames):
                continue
            events += self.sender.receive(frames, self.now)
        return bool(messages_)


@pytest.fixture(autouse=True, params=[False, True], ids=["each", "runs"])
def runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(Joined, "runs", request.param)
    return bool(request.param)


def of_kind(events: Iterable[SenderEvent], kind: type) -> list[SenderEvent]:
    return [event for event in events if isinstance(event, kind)]


def test_every_batch_arrives_once_and_is_acknowledged_after_the_commit() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    events = joined.run()
    assert events[0] == Ready("receiver")
    assert events[-1] == Stored(chain.chain, 20)
    assert joined.marks.payloads(chain.chain) == PAYLOADS


def test_nothing_is_acknowledged_before_it_is_durable() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    joined.commits = False
    assert not of_kind(joined.run(), Stored)
    joined.commits = True
    assert joined.run()[-1] == Stored(chain.chain, 20)


def test_no_more_is_under_way_than_was_granted() -> None:
    joined = Joined(MemoryOutbox(ChainOfBatches().grow(PAYLOADS)), credit=3)
    joined.commits = False
    joined.run()
    assert joined.receiver.staged == 3


def test_events_go_before_point_tables_and_those_before_data() -> None:
    chains = [
        ChainOfBatches(stream=stream).grow(PAYLOADS[:2])
        for stream in (Stream.DATA, Stream.META, Stream.EVENT)
    ]
    joined = Joined(MemoryOutbox(*chains))
    joined.run()
    order = [messages.parse_batch(frames).header for frames in joined.sent if frames[0] == messages.BATCH]
    expected = [b.header for stream in (2, 1, 0) for b in chains[stream].batches]
    assert order == expected


def test_the_newest_epoch_goes_before_the_backlog() -> None:
    old, new = (ChainOfBatches(epoch=epoch).grow(PAYLOADS) for epoch in (1, 2))
    joined = Joined(MemoryOutbox(old, new))
    joined.run()
    order = [messages.parse_batch(frames).header for frames in joined.sent if frames[0] == messages.BATCH]
    assert order == [b.header for b in new.batches] + [b.header for b in old.batches]


def test_a_new_session_goes_on_where_the_receiver_stands() -> None:
    chain = ChainOfBatches().grow(PAYLOADS[:10])
    first = Joined(MemoryOutbox(chain))
    first.run()
    chain.grow(PAYLOADS[10:])
    second = Joined(MemoryOutbox(chain), first.marks)
    second.run()
    assert first.marks.payloads(chain.chain) == PAYLOADS
    assert sum(frames[0] == messages.BATCH for frames in second.sent) == 10


def test_a_failed_commit_makes_the_sender_send_again() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    joined.commits = False
    joined.run()
    joined.receiver.take(5, 1 << 30)
    joined.receiver.abandoned(joined.now)
    joined.commits = True
    joined.run()
    assert joined.marks.payloads(chain.chain) == PAYLOADS


@pytest.mark.parametrize(
    ("common", "receiver_has", "we_have"), ((0, 3, 4), (5, 9, 7), (5, 7, 9), (19, 20, 20))
)
def test_a_restored_gateway_learns_exactly_where_its_chain_forked(
    common: int, receiver_has: int, we_have: int
) -> None:
    held = ChainOfBatches().grow(PAYLOADS[:receiver_has])
    first = Joined(MemoryOutbox(held))
    first.run()
    ours = held.fork(common, [b"other" + p for p in PAYLOADS[common:we_have]])
    second = Joined(MemoryOutbox(ours), first.marks)
    events = second.run()
    assert of_kind(events, Forked) == [Forked(ours.chain, common)]
    assert first.marks.payloads(ours.chain) == PAYLOADS[:receiver_has]


def test_a_restored_gateway_with_nothing_new_forks_at_its_own_end() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    first = Joined(MemoryOutbox(chain))
    first.run()
    restored = chain.fork(12, [])
    events = Joined(MemoryOutbox(restored), first.marks).run()
    assert of_kind(events, Forked) == [Forked(chain.chain, 12)]


def test_a_receiver_restored_from_an_old_copy_is_sent_what_it_lost() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain), role="hub")
    joined.run()
    for seq in range(8, 20):
        del joined.marks.stored[chain.chain][seq]
    again = Joined(MemoryOutbox(chain), joined.marks, role="hub")
    again.run()
    assert again.marks.payloads(chain.chain) == PAYLOADS


def test_a_sender_that_trimmed_too_much_is_told_so() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    chain.oldest = 5
    joined = Joined(MemoryOutbox(chain), role="hub")
    assert of_kind(joined.run(), Behind) == [Behind(chain.chain, 0, 5)]
    assert joined.receiver.holes()[chain.chain][:2] == (0, 5)
    joined.receiver.accept_hole(chain.chain)
    joined.run()
    assert joined.marks.payloads(chain.chain) == PAYLOADS[5:]


def test_a_hole_that_grew_after_it_was_given_up_is_not_waited_for_again_and_is_one_hole() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    chain.oldest = 5
    joined = Joined(MemoryOutbox(chain), role="hub")
    joined.run()
    joined.receiver.accept_hole(chain.chain)
    chain.oldest = 9
    joined.run()
    assert joined.receiver.holes() == {}
    assert joined.marks.payloads(chain.chain) == PAYLOADS[9:]
    assert [item.hole_from for item in joined.taken if item.hole_from is not None] == [0]


def test_a_hole_that_grew_at_one_hub_waits_for_the_other_and_is_one_hole_in_the_end() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    chain.oldest = 5
    joined = Joined(MemoryOutbox(chain), role="hub")
    joined.run()
    other = [messages.hello("hub-2", "hub"), *messages.offers(MemoryOutbox(chain).offers())]
    for frames in other:
        joined.receiver.receive(b"other", "hub-2", "hub", frames, joined.now)
    joined.receiver.accept_hole(chain.chain)
    chain.oldest = 9
    joined.run()
    assert joined.receiver.holes()[chain.chain][:2] == (5, 9)
    joined.receiver.accept_hole(chain.chain)
    joined.run()
    assert joined.marks.payloads(chain.chain) == PAYLOADS[9:]
    assert [item.hole_from for item in joined.taken if item.hole_from is not None] == [0]


def test_a_hub_takes_a_chain_from_where_its_gateway_still_holds_it() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    chain.oldest = 5
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    assert joined.marks.payloads(chain.chain) == PAYLOADS[5:]


def test_a_hub_that_missed_the_middle_goes_on_without_it() -> None:
    chain = ChainOfBatches().grow(PAYLOADS[:3])
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    chain.grow(PAYLOADS[3:])
    chain.oldest = 10
    again = Joined(MemoryOutbox(chain), joined.marks)
    assert not of_kind(again.run(), Behind)
    assert again.marks.payloads(chain.chain) == PAYLOADS[:3] + PAYLOADS[10:]


def test_a_hub_that_another_hub_overtook_is_content() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    first = Joined(MemoryOutbox(chain), role="hub")
    first.run()
    slower = chain.fork(7, [])
    events = Joined(MemoryOutbox(slower), first.marks, role="hub").run()
    assert events[-1] == Stored(chain.chain, 7)
    assert not of_kind(events, Forked)


@pytest.mark.parametrize("caught_up", [5, 12, 15])
def test_a_hub_that_catches_up_with_another_is_content(caught_up: int) -> None:
    chain = ChainOfBatches().grow(PAYLOADS[:12])
    first = Joined(MemoryOutbox(chain), role="hub")
    first.run()
    slower = chain.fork(4, [])
    joined = Joined(MemoryOutbox(slower), first.marks, role="hub")
    events = joined.run()
    slower.grow(PAYLOADS[4:caught_up])
    events += joined.run()
    assert not of_kind(events, Forked)
    assert first.marks.payloads(chain.chain) == PAYLOADS[: max(12, caught_up)]


def test_a_hub_that_catches_up_on_another_branch_finds_the_fork() -> None:
    chain = ChainOfBatches().grow(PAYLOADS[:12])
    first = Joined(MemoryOutbox(chain), role="hub")
    first.run()
    slower = chain.fork(4, [])
    joined = Joined(MemoryOutbox(slower), first.marks, role="hub")
    joined.run()
    slower.grow([*PAYLOADS[4:6], b"other"])
    assert of_kind(joined.run(), Forked) == [Forked(chain.chain, 6)]


def test_a_chain_that_grows_while_it_is_compared_is_compared_to_its_new_end() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    first = Joined(MemoryOutbox(chain), role="hub")
    first.run()
    slower = chain.fork(4, [])
    joined = Joined(MemoryOutbox(slower), first.marks, role="hub")
    joined.sender.start(joined.now)
    events: list[SenderEvent] = []
    while not any(frames[0] == messages.QUERY for frames in joined.sent):
        joined._up(events)
        joined._down(events)
    slower.grow([*PAYLOADS[4:9], b"other"])
    events += joined.run()
    assert of_kind(events, Forked) == [Forked(chain.chain, 9)]


def test_a_hub_that_no_longer_knows_its_head_can_still_offer() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    first = Joined(MemoryOutbox(chain), role="hub")
    first.run()

    class Forgetful(MemoryOutbox):
        def offers(self) -> list[messages.Offer]:
            return [offer._replace(head=b"") for offer in super().offers()]

    joined = Joined(Forgetful(chain), first.marks, role="hub")
    assert joined.run()[-1] == Stored(chain.chain, 20)


def test_tombstones_keep_the_chain_whole() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    chain.bury(4)
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    assert joined.marks.payloads(chain.chain) == [*PAYLOADS[:4], b"", *PAYLOADS[5:]]
    assert joined.marks.stored[chain.chain][4].is_tombstone


def _altered(batch: Batch, part: str) -> Batch:
    if part == "payload":
        return batch._replace(payload=b"forged" + batch.payload)
    if part == "signature":
        return batch._replace(signature=bytes(64))
    if part == "no payload":
        return batch._replace(payload=b"")
    return batch._replace(payload=b"", signature=batch.signature + bytes(64))


@pytest.mark.parametrize(
    ("part", "reason"),
    (
        ("payload", RefusalReason.HASH),
        ("no payload", RefusalReason.HASH),
        ("signature", RefusalReason.SIGNATURE),
        ("forged tombstone", RefusalReason.SIGNATURE),
    ),
)
def test_an_altered_batch_is_refused_with_a_signature_and_its_reason(
    part: str, reason: RefusalReason, runs: bool
) -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    if runs and reason is RefusalReason.SIGNATURE and part == "signature":
        chain.batches = chain.batches[:7]  # the last one, on which the run depends
    chain.batches[6] = _altered(chain.batches[6], part)
    joined = Joined(MemoryOutbox(chain))
    refused = of_kind(joined.run(), Refused)
    assert [(e.refusal.seq, e.refusal.reason) for e in refused if isinstance(e, Refused)] == [(6, reason)]
    assert joined.marks.payloads(chain.chain) == PAYLOADS[:6]


def test_a_stranger_s_key_is_refused() -> None:
    chain = ChainOfBatches()
    chain.key = SigningKey(b"s" * 32)
    chain.grow(PAYLOADS[:1])
    refused = of_kind(Joined(MemoryOutbox(chain)).run(), Refused)
    assert [e.refusal.reason for e in refused if isinstance(e, Refused)] == [RefusalReason.KEY]


def test_a_peer_that_offers_ever_new_chains_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.limits.POSITIONS_MAX", 20)
    joined = Joined(MemoryOutbox(ChainOfBatches(epoch=1).grow(PAYLOADS)))
    joined.run()
    for epoch in range(2, 200):
        offered = Offer(Chain("gw", Stream.DATA, epoch), 0, 3, bytes(32))
        joined.receiver.receive(b"peer", joined.node, joined.role, messages.hello("gw", "gateway"), 0.0)
        for frames in messages.offers([offered]):
            joined.receiver.receive(b"peer", joined.node, joined.role, frames, 0.0)
        joined.receiver.tick(0.0)
    assert len(joined.receiver._staging._positions) <= 21
    joined.receiver.outgoing()
    joined.sender.start(joined.now)
    assert Stored(Chain("gw", Stream.DATA, 1), 20) in joined.run(), "what was forgotten is found again"


def test_a_gateway_cannot_speak_for_another() -> None:
    chain = ChainOfBatches(gateway="other").grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    assert not joined.marks.stored
    assert joined.receiver.noticed()[0].finding is Finding.MALFORMED


def test_receipts_reach_the_gateway_now_and_at_its_next_session() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    receipt = Receipt(chain.chain, 20, chain.head, Mark.HEADQUARTERS, 1)
    signed = sign_record(receipt, HEADQUARTERS_KEY)
    joined.receiver.custody(receipt, signed)
    assert joined.run() == [Receipted(receipt, signed)]
    joined.sender.start(joined.now)
    assert Receipted(receipt, signed) in joined.run()


def test_a_receipt_that_the_hub_made_up_is_ignored() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    receipt = Receipt(chain.chain, 20, chain.head, Mark.HEADQUARTERS, 1)
    joined.receiver.custody(receipt, sign_record(receipt, HUB_KEY))
    assert not of_kind(joined.run(), Receipted)
    assert joined.sender.malformed == 1


@pytest.mark.parametrize(
    "lost", [messages.OFFER, messages.MARKS, messages.BATCH, messages.ACK, messages.REWIND]
)
def test_any_one_lost_message_is_made_up_for(lost: bytes) -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    joined.lose = lost
    events = joined.run()
    joined.now += STALLED_S
    joined.sender.tick(joined.now)
    events += joined.run()
    assert joined.marks.payloads(chain.chain) == PAYLOADS
    assert Stored(chain.chain, 20) in events


def test_a_chain_that_was_cut_back_is_offered_anew() -> None:
    chain = ChainOfBatches().grow(PAYLOADS)
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    chain.batches = chain.batches[:5]
    for seq in range(5, 20):
        del joined.marks.stored[chain.chain][seq]
    joined.receiver.reload(chain.chain)
    joined.run()
    chain.grow(PAYLOADS[5:])
    joined.run()
    assert joined.marks.payloads(chain.chain) == PAYLOADS


def test_a_silent_receiver_is_given_up() -> None:
    joined = Joined(MemoryOutbox(ChainOfBatches()))
    joined.run()
    assert of_kind(joined.sender.tick(joined.now + ANSWER_TIMEOUT_S + 1), Disconnected)
    assert not joined.sender.open


def test_a_receiver_that_restarted_asks_for_a_new_hello() -> None:
    joined = Joined(MemoryOutbox(ChainOfBatches()))
    joined.run()
    fresh = Joined(joined.outbox, joined.marks)
    joined.receiver = fresh.receiver
    joined.outbox.chains[Chain("gw", Stream.DATA, 2)] = ChainOfBatches(epoch=2).grow(PAYLOADS)
    assert of_kind(joined.run(), Disconnected)


def test_no_common_version_ends_the_session_with_a_reason() -> None:
    joined = Joined(MemoryOutbox())
    joined.sender.start(0.0)
    joined.sender.outgoing()
    (event,) = joined.sender.receive(messages.welcome(0, "receiver", 0, 0), 0.0)
    assert isinstance(event, Disconnected)
    assert "version" in event.why


def greet(joined: Joined, lives: str, every_s: float = 1.0) -> list[Finding]:
    """Processes of one node greet over connections of their own; a letter is a life."""
    for turn, life in enumerate(lives):
        hello = messages.hello("gw", "gateway", life.encode() * messages.LIFE_BYTES)
        joined.receiver.receive(b"%d" % turn, "gw", "gateway", hello, turn * every_s)
    return [noticed.finding for noticed in joined.receiver.noticed()]


def test_two_live_processes_of_one_node_are_reported_as_a_clone() -> None:
    assert greet(Joined(MemoryOutbox()), "ababa") == [Finding.CLONE]
    assert greet(Joined(MemoryOutbox()), "xyzababa") == [Finding.CLONE]


def test_quick_restarts_of_one_node_are_no_clone() -> None:
    assert greet(Joined(MemoryOutbox()), "abcdefghijklmnopqrstuvwxyz", every_s=0.1) == []


def test_new_connections_of_one_process_are_no_clone() -> None:
    assert greet(Joined(MemoryOutbox()), "a" * 50 + "b" * 50, every_s=0.1) == []


def test_a_late_greeting_of_a_dead_process_is_no_clone() -> None:
    assert greet(Joined(MemoryOutbox()), "abab") == []
    assert greet(Joined(MemoryOutbox()), "ababa", every_s=400.0) == []


def test_a_pause_grants_no_credit_and_its_end_grants_it_again() -> None:
    chain = ChainOfBatches()
    joined = Joined(MemoryOutbox(chain))
    joined.run()
    joined.receiver.pause(True)
    joined.run()
    chain.grow(PAYLOADS)
    joined.run()
    assert not joined.marks.stored
    joined.receiver.pause(False)
    joined.run()
    assert joined.marks.payloads(chain.chain) == PAYLOADS


def test_the_head_of_the_offer_is_enough_to_see_a_fork() -> None:
    held = ChainOfBatches().grow(PAYLOADS)
    first = Joined(MemoryOutbox(held))
    first.run()
    ours = held.fork(19, [b"another last one"])
    assert header_hash(ours.batches[-1].header) != header_hash(held.batches[-1].header)
    assert of_kind(Joined(MemoryOutbox(ours), first.marks).run(), Forked) == [Forked(ours.chain, 19)]
