"""Whatever a peer sends, both ends of a link stay alive, bounded and right."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.batch import Chain, Stream
from protocols.identity import VerifyKey
from protocols.session import Receiver, Sender, messages
from protocols.session.receiver import KeyBook
from tests.chains import GATEWAY_KEY, HEADQUARTERS_KEY, HUB_KEY, ChainOfBatches, MemoryMarks

CHAIN = Chain("gw", Stream.DATA, 1)
GOOD = ChainOfBatches().grow([b"one", b"two", b"three"])
KINDS = [b"H", b"O", b"D", b"Q", b"K", b"W", b"M", b"A", b"R", b"E", b"C", b"N", b"X"]

meant_up = st.sampled_from(
    [
        messages.hello("gw", "gateway"),
        messages.hello("other", "gateway"),
        *messages.offers([messages.Offer(CHAIN, 0, 3, GOOD.head)]),
        *messages.offers([messages.Offer(CHAIN, 2, 9, bytes(32))]),
        *[messages.batch(batch) for batch in GOOD.batches],
        messages.batch(GOOD.batches[1]._replace(payload=b"forged")),
        messages.query(CHAIN, 1, bytes(32)),
        messages.alive(),
    ]
)
meant_down = st.sampled_from(
    [
        messages.welcome(1, "hub", 10, 1000),
        messages.welcome(0, "hub", 0, 0),
        *messages.marks([messages.Mark(CHAIN, 0, b"", 0)]),
        *messages.marks([messages.Mark(CHAIN, 2, bytes(32), 0)]),
        *messages.marks([messages.Mark(CHAIN, 99, bytes(32), 0)]),
        messages.ack([(CHAIN, 2)], 10, 1000),
        messages.ack([(CHAIN, 2**63 - 1)], 0, 0),
        messages.rewind(CHAIN, 1),
        messages.rewind(CHAIN, 50),
        messages.answer(CHAIN, 1, messages.DIFFERENT),
        messages.answer(CHAIN, 2, messages.FORGOTTEN),
        messages.answer(CHAIN, 0, messages.BEYOND),
        messages.unknown(),
    ]
)
rubbish = st.lists(st.one_of(st.sampled_from(KINDS), st.binary(max_size=60)), max_size=5)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(meant_up, rubbish), max_size=40))
def test_a_receiver_takes_only_what_is_signed_and_in_order(script: list[list[bytes]]) -> None:
    marks = MemoryMarks()
    key = VerifyKey(GATEWAY_KEY.public)
    book = KeyBook({key.key_id: key}.get, {key.key_id: "gw"}.get)
    receiver = Receiver("hub", HUB_KEY, marks, book, any_start=False)
    for now, frames in enumerate(script):
        receiver.receive(b"peer", "gw", "gateway", frames, now / 10)
        taken = receiver.take(10, 1000)
        marks.commit(taken)
        receiver.committed(taken, now / 10)
        for _, answer in receiver.outgoing():
            assert answer[0] in KINDS
        receiver.noticed()
    for chain, held in marks.stored.items():
        assert chain == CHAIN
        assert [held[seq] for seq in sorted(held)] == GOOD.batches[: len(held)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(meant_down, rubbish), max_size=40))
def test_a_sender_survives_any_receiver_and_keeps_to_its_credit(script: list[list[bytes]]) -> None:
    sender = Sender(
        "gw",
        "gateway",
        headquarters=VerifyKey(HEADQUARTERS_KEY.public),
        receiver=VerifyKey(HUB_KEY.public),
        owns_chains=True,
    )
    sender.start(0.0)
    sent = 0
    for now, frames in enumerate(script):
        sender.receive(frames, now / 10)
        sender.offer([messages.Offer(CHAIN, 0, 3, GOOD.head)], now / 10)
        for _ in range(10):
            wanted = sender.wanted()
            if wanted is None:
                break
            assert 0 <= wanted.seq < 3
            batches = GOOD.batches[wanted.seq : wanted.seq + wanted.batches_max]
            sender.supply(wanted, batches, now / 10)
        sent += sum(message[0] == messages.BATCH for message in sender.outgoing())
        sender.tick(now / 10)
    assert sent <= 3 * len(script)
