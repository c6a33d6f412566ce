"""Hostile bytes, lossy isolators: what must hold for any of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.landing import Landing
from hub.store import Store
from protocols.container import Container, pack, parse, unseal
from protocols.errors import PeerError
from protocols.exporter import Exporter
from protocols.session.receiver import KeyBook
from tests.chains import GATEWAY_KEY, HUB_KEY, MemoryOutbox
from tests.hub_parts import DATA, KEYS, data_chain, memory
from tests.unit.test_container import small_container

FILE = pack(small_container())
FRAMES = st.one_of(
    st.tuples(st.just(b"O"), st.binary(max_size=50)),
    st.tuples(st.just(b"D"), st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50)),
)


@given(st.lists(FRAMES.map(list), max_size=10), st.integers(0, 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_any_messages_come_back_as_they_were(messages: list[list[bytes]], number: int, made_us: int) -> None:
    container = Container("gw", number, made_us, tuple(messages))
    assert parse(pack(container)) == container


@given(st.binary(max_size=400))
def test_garbage_raises_only_the_peers_errors(data: bytes) -> None:
    for candidate in (data, FILE[:8] + data, FILE[: len(FILE) // 2] + data):
        for sealed in (candidate, candidate + hashlib.sha256(candidate).digest()):
            try:
                container = parse(sealed)
                list(container.offers())
                list(container.batches())
            except PeerError:
                continue


@given(st.integers(0, len(FILE) - 33), st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, flip: int) -> None:
    body = bytearray(FILE)
    body[at] ^= flip
    try:
        parse(bytes(body))
    except PeerError:
        return
    raise AssertionError("a changed file was taken")


@settings(max_examples=40)
@given(st.data())
def test_a_batch_arrives_unless_every_file_with_it_was_lost(data: st.DataObject) -> None:
    """Whatever files the isolator loses or delays: the store holds each batch that came, once, in order."""
    chain = data_chain(0)
    outbox = MemoryOutbox(chain)
    out = Exporter("gw", GATEWAY_KEY, outbox, first_number=0, repeat_after_s=(3.0, 9.0), batches_max=5)
    came: set[int] = set()
    delayed = []
    with TemporaryDirectory() as name:
        directory = Path(name)
        store = Store(memory())
        keys = KeyBook(KEYS.get, {GATEWAY_KEY.key_id: "gw"}.get)
        landing = Landing(directory, None, "hub", HUB_KEY, store, keys)
        for now in range(40):
            if now < 15:
                chain.grow(b"%d" % len(chain.batches) for _ in range(data.draw(st.integers(0, 3))))
            file = out.next_file(float(now), 0)
            if file is None:
                continue
            out.written(float(now))
            fate = data.draw(st.sampled_from(["comes", "comes", "lost", "late"])) if now < 39 else "comes"
            if fate != "lost":
                came |= {chain.batches.index(batch) for batch in parse(unseal(file.data)[0]).batches()}
            if fate == "late":
                delayed.append(file)
            elif fate == "comes":
                (directory / file.name).write_bytes(file.data)
                landing.look()
        for file in delayed:
            (directory / file.name).write_bytes(file.data)
        last = out.next_file(1000.0, 0)
        assert last is not None
        out.written(1000.0)
        (directory / last.name).write_bytes(last.data)
        while landing.look():
            pass
        row = store.chains.get(DATA)
        held = set() if row is None else set(range(row.first, row.next))
        holes = {seq for hole in store.chains.holes(DATA) for seq in range(*hole)}
        assert landing.waiting == 0
        assert held - holes <= came
        lost_in_order = came - (held - holes)
        assert not lost_in_order or delayed, "only a file that came after its hole was closed may be too late"
