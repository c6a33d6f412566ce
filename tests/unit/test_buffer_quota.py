"""What the buffer gives up when it is full, and how it says so."""

from __future__ import annotations

import pytest

from edge_runtime.buffer import Limits
from edge_runtime.buffer.quota import every_other
from edge_runtime.config import QuotaPolicy
from edge_runtime.limits import THINNED_MAX
from protocols.batch import Header, Kind, Stream
from protocols.errors import StoreFullError
from protocols.records import GapCause
from protocols.samples import SampleBlock, ValueType
from tests.unit.edge_buffers import T0, S, World, encoded

QUOTA = 600_000


def full(policy: QuotaPolicy, quota: int = QUOTA) -> World:
    """A buffer with a small quota."""
    return World(Limits(quota, policy))


def payloads(world: World) -> int:
    """Data batches that still have a payload."""
    return sum(
        bool(batch.payload) and Header.parse(batch.header).kind is Kind.DATA
        for offer in world.buffer.offers()
        for batch in world.held(offer.chain)
    )


def test_payloads_that_a_hub_holds_go_first_and_nothing_is_declared() -> None:
    world = full(QuotaPolicy.DROP_OLDEST)
    world.buffer.on_ready("hub-a")
    for _ in range(30):
        world.append(10, size=4000)
        world.buffer.on_stored(world.chain(), world.headers(world.chain())[-1].seq + 1)
    assert world.buffer.used_bytes <= QUOTA
    assert world.gaps() == []
    assert world.buffer.counts().buried == {}
    assert not any(batch.is_tombstone for batch in world.held(world.chain()) if batch.payload)


def test_what_a_hub_holds_is_not_offered_to_another_one_as_tombstones() -> None:
    world = full(QuotaPolicy.DROP_OLDEST)
    world.buffer.on_ready("hub-a")
    world.append(100, size=4000)
    old = world.chain()
    world.buffer.on_stored(old, 90)
    world.append(60, size=4000)
    world.buffer.on_ready("hub-b")
    assert old not in [offer.chain for offer in world.buffer.offers()]
    world.buffer.on_ready("hub-a")
    assert old in [offer.chain for offer in world.buffer.offers()]
    world.buffer.on_ready("hub-b")
    world.buffer.release(["hub-b"])
    assert old in [offer.chain for offer in world.buffer.offers()], "hub-a will never deliver it"


def test_a_hub_that_asks_again_for_what_it_held_gets_a_tombstone_and_the_loss_is_declared() -> None:
    world = full(QuotaPolicy.DROP_OLDEST)
    world.buffer.on_ready("hub-a")
    world.append(100, size=4000)
    chain = world.chain()
    world.buffer.on_stored(chain, 90)
    world.append(60, size=4000)
    [asked] = world.buffer.read(chain, 1, 1, 1)
    assert not asked.is_tombstone, "a query for a header gives up nothing"
    [batch] = world.buffer.read(chain, 1, 1, 1 << 20)
    assert batch.is_tombstone
    [gap] = world.gaps()
    assert (gap.cause, gap.seq_from, gap.seq_to, gap.samples) == (GapCause.QUOTA, 1, 2, 10)
    assert world.buffer.counts().buried == {"quota": 10}
    assert world.buffer.read(chain, 1, 1, 1 << 20) == [batch]
    world.check()


def test_the_oldest_data_goes_before_any_event_and_the_chain_goes_on_over_it() -> None:
    world = full(QuotaPolicy.DROP_OLDEST)
    world.append(20, size=2000, stream=Stream.EVENT)
    world.append(300, size=4000)
    world.check()
    assert world.buffer.used_bytes <= QUOTA
    held = world.held(world.chain())
    kinds = [batch.is_tombstone for batch in held]
    first_kept = kinds.index(False, 1)
    assert all(kinds[1:first_kept]) and not any(kinds[first_kept:])
    assert not any(batch.is_tombstone for batch in world.held(world.chain(Stream.EVENT)))
    gaps = world.gaps()
    assert sum(gap.seq_to - gap.seq_from for gap in gaps if gap.seq_to and gap.seq_from) == first_kept - 1
    assert (
        sum(gap.samples or 0 for gap in gaps)
        == world.buffer.counts().buried["quota"]
        == 10 * (first_kept - 1)
    )
    assert gaps[0].t_from_us == T0 + 21 * S
    assert len(gaps) < first_kept / 2, "one gap record stands for many batches"


def test_with_drop_newest_what_is_buffered_stays_and_the_new_finds_no_room() -> None:
    world = full(QuotaPolicy.DROP_NEWEST)
    with pytest.raises(StoreFullError, match="quota"):
        world.append(300, size=4000)
    kept = payloads(world)
    with pytest.raises(StoreFullError):
        world.append(1, size=4000)
    assert payloads(world) == kept
    assert world.buffer.counts().buried == {}
    world.buffer.state()  # meta is exempt
    world.check()


def test_thinning_keeps_every_other_sample_of_the_oldest_batches() -> None:
    world = full(QuotaPolicy.THIN)
    appended = 0
    for index in range(1, 400):
        at = T0 + index * 100 * S
        world.clock.us = at
        payload = encoded(at, 400, 1000 + index)
        world.buffer.append(Stream.DATA, Kind.DATA, payload, 400, at, at + 400_000, compressed=True)
        appended += 400
        if world.buffer.counts().buried:
            break
        filler = world.random.randbytes(4000)
        world.buffer.append(Stream.EVENT, Kind.EVENT, filler, 0, at, at)
    counts = world.buffer.counts()
    kept = world.samples()
    assert counts.sealed == appended
    assert len(kept) == appended - counts.buried["quota"]
    assert len(set(kept)) == len(kept), "nothing is doubled"
    gaps = world.gaps()
    assert sum(gap.samples or 0 for gap in gaps) == counts.buried["quota"] > 0
    world.check()


def test_what_a_link_may_have_seen_is_never_thinned() -> None:
    world = full(QuotaPolicy.THIN)
    world.append(20, n=4)
    chain = world.chain()
    world.buffer.read(chain, 0, 10, 1 << 20)
    world.append(300, n=4)
    for index in range(200):
        at = world.clock.us + index
        world.buffer.append(Stream.EVENT, Kind.EVENT, world.random.randbytes(4000), 0, at, at)
    assert world.buffer.counts().buried
    times = world.samples()
    assert len(set(times)) * 4 >= len(times)
    for header in world.headers(chain)[1:10]:
        assert times.count(header.t_min_us) in (0, 4), "whole, or dropped whole"


def test_thinning_has_an_end_after_which_the_oldest_goes() -> None:
    world = full(QuotaPolicy.THIN, 300_000)
    for index in range(700):
        at = T0 + index * S
        world.clock.us = at
        world.buffer.append(
            Stream.DATA, Kind.DATA, encoded(at, 64, 1000), 64, at, at + 64_000, compressed=True
        )
        if index % 10 == 0:
            world.buffer.append(Stream.EVENT, Kind.EVENT, world.random.randbytes(3000), 0, at, at)
    assert world.buffer.used_bytes <= 300_000
    counts = world.buffer.counts()
    kept = world.samples()
    assert len(set(kept)) == len(kept) == counts.sealed - counts.buried["quota"]
    dropped = [gap for gap in world.gaps() if "dropped" in gap.detail]
    thinned = [gap for gap in world.gaps() if f"{THINNED_MAX} times" in gap.detail]
    assert dropped and thinned
    world.check()


def test_every_other_sample_is_counted_for_each_point_by_itself() -> None:
    block = SampleBlock.make(ValueType.F64, [1, 2, 1, 2, 1, 3], range(6), range(6))
    kept = every_other(block)
    assert list(zip(kept.point.tolist(), kept.time.tolist(), strict=True)) == [(1, 0), (1, 4), (2, 1), (3, 5)]
