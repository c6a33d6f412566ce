"""The gateway's buffer: chains that grow, travel, are trimmed, and survive a crash anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_runtime.buffer import Chunk, Progress
from edge_runtime.ledger import Counts
from protocols import columns, crash
from protocols.batch import ZERO_HASH, Header, Kind, Stream
from protocols.identity import SigningKey
from protocols.records import Gap, GapCause, Mark, Opening, OpenReason, Statement
from tests.unit.edge_buffers import T0, PowerCutError, S, World, crash_at, encoded

DAY = 86_400 * S


@pytest.fixture(autouse=True)
def _no_crash_left() -> Iterator[None]:
    yield
    crash.install(None)


def test_a_new_buffer_opens_a_meta_and_a_data_chain() -> None:
    world = World()
    offers = world.buffer.offers()
    assert [offer.chain.stream for offer in offers] == [Stream.META, Stream.DATA]
    for offer in offers:
        [batch] = world.held(offer.chain)
        header = Header.parse(batch.header)
        assert (header.seq, header.kind, header.previous) == (0, Kind.OPEN, ZERO_HASH)
        assert Opening.parse(batch.payload) == Opening(OpenReason.FIRST, None, None)


def test_batches_follow_each_other_by_hash_and_are_signed() -> None:
    world = World()
    world.append(20)
    world.check()
    assert [header.seq for header in world.headers(world.chain())] == list(range(21))


def test_a_restart_goes_on_in_the_same_chain() -> None:
    world = World()
    world.append(3)
    before = world.chain()
    world.boot()
    world.append(2)
    world.check()
    assert world.chain() == before
    assert len(world.held(before)) == 6


def test_a_task_that_is_new_begins_now_and_one_that_died_early_where_it_began() -> None:
    world = World()
    assert world.buffer.resume(["plc/fast"], T0) == {"plc/fast": Progress(T0, T0)}
    world.boot()
    assert world.buffer.resume(["plc/fast", "plc/slow"], T0 + 5 * S) == {
        "plc/fast": Progress(T0, T0),
        "plc/slow": Progress(T0 + 5 * S, T0 + 5 * S),
    }


def test_a_read_gives_consecutive_batches_within_its_bounds_and_at_least_one() -> None:
    world = World()
    world.append(10, size=1000)
    chain = world.chain()
    read = world.buffer.read
    assert [Header.parse(b.header).seq for b in read(chain, 3, 4, 1 << 20)] == [3, 4, 5, 6]
    assert len(read(chain, 3, 100, 3000)) == 2
    assert len(read(chain, 3, 100, 1)) == 1
    assert read(chain, 11, 1, 1) == []
    assert read(chain._replace(epoch=5), 0, 1, 1) == []
    assert read(chain._replace(gateway="gw2"), 0, 1, 1) == []


@pytest.mark.parametrize(("point", "kept"), [("edge:before-commit", 0), ("edge:after-commit", 1)])
def test_a_crash_leaves_a_batch_with_all_its_marks_or_nothing_of_it(point: str, kept: int) -> None:
    world = World()
    world.append(2)
    crash.install(crash_at(point, 1, PowerCutError()))
    with pytest.raises(PowerCutError):
        world.buffer.append(
            Stream.DATA, Kind.DATA, encoded(T0, 5), 5, T0, T0, compressed=True,
            counts=Counts(collected=5), progress={"plc/fast": Progress(T0, T0)},
        )  # fmt: skip
    crash.install(None)
    world.boot()
    world.check()
    assert len(world.held(world.chain())) == 3 + kept
    assert world.buffer.counts().sealed == 20 + 5 * kept
    assert world.buffer.progress() == ({"plc/fast": Progress(T0, T0)} if kept else {})


# -- journal ---------------------------------------------------------------------------------------


def chunk(world: World, at: int, n: int) -> Chunk:
    return Chunk(encoded(at, n), n, at, at, ZERO_HASH, world.clock.stamp())


def test_journalled_samples_become_one_batch_and_are_counted_once() -> None:
    world = World()
    for second in range(3):
        world.buffer.journal(chunk(world, T0 + second * S, 4), counts=Counts(collected=4))
    counts = world.buffer.counts()
    assert (counts.journalled, counts.sealed, counts.unaccounted) == (12, 0, 0)
    blocks = [b for c in world.buffer.journalled() for b in columns.decode(c.payload)]
    whole = Chunk(columns.encode(blocks), 12, T0, T0 + 2 * S, ZERO_HASH, world.clock.stamp())
    world.buffer.cut(whole, chunks=3)
    counts = world.buffer.counts()
    assert (counts.journalled, counts.sealed, counts.unaccounted) == (0, 12, 0)
    assert len(world.samples()) == 12
    world.check()


def test_a_crash_in_a_cut_leaves_the_journal() -> None:
    world = World()
    world.buffer.journal(chunk(world, T0, 4), counts=Counts(collected=4))
    crash.install(crash_at("edge:before-commit", 1, PowerCutError()))
    with pytest.raises(PowerCutError):
        world.buffer.cut(chunk(world, T0, 4), chunks=1)
    crash.install(None)
    world.boot()
    assert [c.n for c in world.buffer.journalled()] == [4]
    assert world.samples() == []
    world.check()


# -- receipts ---------------------------------------------------------------------------------------


def test_what_headquarters_signed_for_leaves() -> None:
    world = World()
    world.append(600, size=20)
    chain = world.chain()
    assert world.receipt(chain, 500)
    assert world.headers(chain)[0].seq == 500
    assert world.receipt(chain, 601)
    assert world.held(chain) == []
    assert not world.buffer.settled  # the meta chain's opening is still here
    assert world.receipt(world.chain(Stream.META), 1)
    assert world.buffer.settled
    world.append(2)
    world.check()


def test_a_receipt_that_is_not_true_moves_nothing() -> None:
    world = World()
    world.append(5)
    chain = world.chain()
    assert not world.receipt(chain, 3, key=SigningKey(b"x" * 32))
    assert not world.receipt(chain, 3, head=b"\x07" * 32)
    assert not world.receipt(chain, 9, head=b"\x07" * 32)
    assert len(world.held(chain)) == 6
    assert world.receipt(chain, 3)
    assert world.receipt(chain, 2, head=b"\x07" * 32)  # late, and without effect
    assert len(world.held(chain)) == 3


def test_a_crash_while_trimming_is_made_good_by_the_next_receipt() -> None:
    world = World()
    world.append(600, size=20)
    chain = world.chain()
    crash.install(crash_at("edge:before-trim", 2, PowerCutError()))
    with pytest.raises(PowerCutError):
        world.receipt(chain, 601)
    crash.install(None)
    world.boot()
    world.check()
    assert 0 < len(world.held(chain)) < 600
    assert world.receipt(chain, 601)
    assert world.held(chain) == []


def test_a_closed_chain_is_forgotten_when_headquarters_has_it() -> None:
    world = World()
    world.append(3)
    old = world.chain()
    new = world.buffer.open_epoch(Stream.DATA, OpenReason.LIVE_FIRST)
    assert world.receipt(old, 4)
    assert [o.chain for o in world.buffer.offers() if o.chain.stream is Stream.DATA] == [new]


# -- epochs ------------------------------------------------------------------------------------------


def test_another_upstream_gets_new_epochs_and_the_old_ones_are_still_offered() -> None:
    world = World()
    world.append(3)
    assert world.buffer.on_ready("hub-a") == []
    old = world.chain()
    world.append(1)
    opened = world.buffer.on_ready("hub-b")
    assert {chain.stream for chain in opened} == {Stream.META, Stream.DATA}
    new = world.chain()
    assert new.epoch > old.epoch
    first = world.held(new)[0]
    assert Opening.parse(first.payload) == Opening(OpenReason.FAILOVER, old.epoch, 5)
    assert len(world.held(old)) == 5
    assert world.buffer.on_ready("hub-b") == []


def test_fresh_data_goes_first_when_the_oldest_unsent_batch_is_old() -> None:
    world = World()
    world.buffer.on_ready("hub-a", live_first_us=60 * S)
    world.append(50)
    assert world.buffer.on_ready("hub-a", live_first_us=60 * S) == []
    world.append(50)
    world.buffer.on_stored(world.chain(), 90)
    assert world.buffer.on_ready("hub-a", live_first_us=60 * S) == [], "only what is unsent counts"
    world.clock.us += 120 * S
    old = world.chain()
    [new] = world.buffer.on_ready("hub-a", live_first_us=60 * S)
    assert Opening.parse(world.held(new)[0].payload) == Opening(OpenReason.LIVE_FIRST, old.epoch, 101)
    assert len(world.held(old)) == 101


def test_an_epoch_is_never_used_again_even_when_the_clock_went_back() -> None:
    world = World()
    first = world.chain()
    world.clock.us -= 3600 * S
    second = world.buffer.open_epoch(Stream.DATA, OpenReason.LIVE_FIRST)
    third = world.buffer.open_epoch(Stream.DATA, OpenReason.LIVE_FIRST)
    assert first.epoch < second.epoch < third.epoch


def test_two_gateways_on_copies_of_one_disk_open_different_epochs() -> None:
    one, other = World(seed=1), World(seed=2)
    assert one.chain() != other.chain()


# -- forks and upstreams that lost something -----------------------------------------------------------


def test_a_fork_signs_everything_from_its_place_on_again() -> None:
    world = World()
    world.append(200)
    old, times = world.chain(), world.samples()
    new = world.buffer.on_forked(old, 41)
    assert new is not None
    world.check()
    assert world.samples() == times
    assert [header.seq for header in world.headers(old)] == list(range(41))
    assert len(world.held(new)) == 1 + 160
    assert Opening.parse(world.held(new)[0].payload) == Opening(OpenReason.FORK, old.epoch, 41)
    world.append(1)
    assert len(world.held(new)) == 162
    assert sum(row[3] for row in world.buffer.statement().chains) == world.buffer.counts().sealed


def test_a_receiver_that_is_ahead_of_a_restored_image_gets_a_new_epoch() -> None:
    world = World()
    world.append(5)
    old = world.chain()
    new = world.buffer.on_forked(old, 6)
    assert new is not None
    assert len(world.held(old)) == 6
    assert world.buffer.on_forked(old, 6) is None, "once is enough"
    world.check()


@pytest.mark.parametrize("visit", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("point", ["edge:before-commit", "edge:after-commit"])
def test_a_crash_while_signing_again_loses_and_doubles_nothing(point: str, visit: int) -> None:
    world = World()
    world.append(130)
    old, times = world.chain(), world.samples()
    crash.install(crash_at(point, visit, PowerCutError()))
    with pytest.raises(PowerCutError):
        world.buffer.on_forked(old, 1)
    crash.install(None)
    world.boot()
    world.check()
    assert world.samples() == times


def test_a_receiver_that_stands_before_what_is_held_gets_the_rest_and_a_gap() -> None:
    world = World()
    world.buffer.define(b"\x81\xa6points\x90")
    world.append(30)
    old = world.chain()
    world.receipt(old, 21)
    assert world.buffer.on_behind(old, 21, 21) is None
    new = world.buffer.on_behind(old, 4, 21)
    assert new is not None
    world.check()
    assert len(world.held(new)) == 1 + 10
    assert old not in [offer.chain for offer in world.buffer.offers()]
    [gap] = world.gaps()
    assert (gap.cause, gap.epoch, gap.seq_from, gap.seq_to) == (GapCause.TRIMMED, old.epoch, 4, 21)
    assert gap.t_to_us == T0 + 21 * S
    assert Opening.parse(world.held(new)[0].payload) == Opening(OpenReason.BEHIND, old.epoch, 21)


def test_a_receiver_that_lost_the_meta_chain_is_told_the_point_table_again() -> None:
    world = World()
    world.buffer.define(b"\x81\xa6points\x90")
    world.buffer.define(b"\x81\xa6points\x90")
    old = world.chain(Stream.META)
    assert [h.kind for h in world.headers(old)] == [Kind.OPEN, Kind.META], "the same table is sent once"
    world.receipt(old, 2)
    new = world.buffer.on_behind(old, 0, 2)
    assert new is not None
    assert [h.kind for h in world.headers(new)] == [Kind.OPEN, Kind.META, Kind.GAP]


def test_the_point_table_is_told_again_each_day_for_whoever_came_since() -> None:
    world = World()

    def told() -> int:
        return [h.kind for h in world.headers(world.chain(Stream.META))].count(Kind.META)

    world.buffer.define_again(DAY)
    assert told() == 0, "there is none yet"
    world.buffer.define(b"\x81\xa6points\x90")
    world.clock.us += DAY - S
    world.boot()
    world.buffer.define_again(DAY)
    assert told() == 1
    world.clock.us += S
    world.buffer.define_again(DAY)
    world.buffer.define_again(DAY)
    assert told() == 2
    world.clock.us -= DAY
    world.buffer.define_again(DAY)
    world.buffer.define_again(DAY)
    assert told() == 3


# -- statement -----------------------------------------------------------------------------------------


def test_a_statement_is_closed_and_names_every_chain() -> None:
    world = World()
    world.buffer.append(
        Stream.DATA,
        Kind.DATA,
        encoded(T0, 5),
        5,
        T0,
        T0,
        compressed=True,
        counts=Counts(collected=7, thinned=2),
    )
    world.buffer.declare([Gap(GapCause.OVERRUN, T0, T0 + S)])
    world.buffer.state()
    *_, batch = world.held(world.chain(Stream.META))
    statement = Statement.parse(batch.payload)
    assert (statement.collected, statement.thinned, statement.sealed) == (7, 2, 5)
    assert {(row[0], row[2], row[3]) for row in statement.chains} == {(1, 2, 0), (2, 2, 5)}


def test_gaps_beyond_one_record_go_into_several() -> None:
    world = World()
    gaps = [Gap(GapCause.OVERRUN, T0 + i, T0 + i + 1, (1,), 1) for i in range(2500)]
    world.buffer.declare(gaps)
    assert world.gaps() == gaps
    assert len(world.held(world.chain(Stream.META))) == 1 + 3


def test_the_backlog_tells_what_is_unsent() -> None:
    world = World()
    world.append(10)
    backlog = world.buffer.backlog()
    assert (backlog.batches, backlog.unsent, backlog.oldest_us) == (12, 12, T0)
    world.buffer.on_ready("hub-a")
    world.buffer.on_stored(world.chain(), 8)
    assert world.buffer.backlog().unsent == 4
    world.receipt(world.chain(), 8)
    assert world.buffer.backlog().oldest_us == T0 + 8 * S


def test_with_the_mark_of_a_hub_batches_leave_when_a_hub_has_them() -> None:
    world = World(trim=Mark.HUB)
    world.append(5)
    chain = world.chain()
    world.buffer.on_ready("hub-a")
    world.buffer.on_stored(chain, 4)
    assert [header.seq for header in world.headers(chain)] == [4, 5]
    world.check()


def test_with_the_mark_of_a_backup_a_receipt_for_the_lake_moves_nothing() -> None:
    world = World(trim=Mark.BACKED_UP)
    world.append(5)
    chain = world.chain()
    assert world.receipt(chain, 4)
    assert len(world.held(chain)) == 6
    assert world.receipt(chain, 4, mark=Mark.BACKED_UP)
    assert len(world.held(chain)) == 2
