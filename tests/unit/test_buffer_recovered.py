"""A gateway restored from an image of a journal: what was delivered is dropped, all else is kept."""

from __future__ import annotations

import pytest

from edge_runtime.buffer import Chunk, Limits
from edge_runtime.ledger import Counts
from protocols.batch import ZERO_HASH, Chain, Clock, ClockState
from protocols.records import OpenReason, Refusal, RefusalReason, sign_record
from tests.unit.edge_buffers import HEADQUARTERS, T0, S, World, encoded

WRITER, RESTORED = b"w" * 16, b"r" * 16


def chunk(second: int, boot_id: bytes = WRITER) -> Chunk:
    at = T0 + second * S
    return Chunk(encoded(at, 4), 4, at, at, ZERO_HASH, Clock(boot_id, at - T0, ClockState.SYNCHRONISED, 0))


def image(*, sealed: int = 3, limits: Limits | None = None) -> World:
    """The disk of a process that sealed some batches since its start and then journalled a chunk."""
    world = World(limits)
    world.buffer.note_start(WRITER)
    for second in range(sealed):
        world.buffer.journal(chunk(second), counts=Counts(collected=4))
        world.buffer.cut(chunk(second), chunks=1)
    world.buffer.journal(chunk(sealed), counts=Counts(collected=4))
    return world


def restored(world: World, *seconds: int, boot_id: bytes = WRITER) -> Chain:
    """Start on the image: cut its journal, a batch for each second of it, and go on."""
    world.boot()
    for second in seconds or (3,):
        world.buffer.cut(chunk(second, boot_id), chunks=1, earlier=True)
    world.buffer.note_start(RESTORED)
    return world.chain()


def go_on(world: World) -> None:
    """Collect and seal one batch more."""
    with world.buffer.transaction():
        world.append(1)
        world.buffer.account(Counts(collected=10), {})


def delivered_before(world: World) -> int:
    world.check()
    counts = world.buffer.counts()
    assert counts.unaccounted == 0
    assert sum(row[3] for row in world.buffer.statement().chains) == counts.sealed
    assert len(world.samples()) == counts.sealed
    return counts.dropped["delivered-before"]


def test_a_batch_cut_from_an_images_journal_is_dropped_when_the_fork_falls_on_it() -> None:
    world = image()
    old = restored(world)
    go_on(world)
    go_on(world)
    new = world.buffer.on_forked(old, 4)
    assert new is not None
    assert delivered_before(world) == 4
    assert [header.n for header in world.headers(new)] == [0, 10, 10], "what came later is signed again"
    assert [header.seq for header in world.headers(old)] == [0, 1, 2, 3]


def test_that_it_came_from_the_journal_is_still_known_after_further_crashes() -> None:
    world = image()
    old = restored(world)
    world.buffer.journal(chunk(8, RESTORED), counts=Counts(collected=4))
    restored(world, 8, boot_id=RESTORED)
    world.boot()
    assert world.buffer.on_forked(old, 4) is not None
    assert delivered_before(world) == 4
    assert world.samples().count(T0 + 8 * S) == 4, "the restored gateway's own journal was never delivered"


@pytest.mark.parametrize("seq", [3, 5, 6])
def test_a_fork_elsewhere_drops_nothing(seq: int) -> None:
    world = image()
    old = restored(world)
    go_on(world)
    times = world.samples()
    assert world.buffer.on_forked(old, seq) is not None
    assert delivered_before(world) == 0
    assert world.samples() == times


def test_only_the_first_of_several_recovered_batches_is_proven_at_its_fork() -> None:
    world = image()
    world.buffer.journal(chunk(4), counts=Counts(collected=4))
    old = restored(world, 3, 4)
    world.buffer.on_forked(old, 4)
    assert delivered_before(world) == 4
    assert world.samples().count(T0 + 4 * S) == 4


def test_a_fork_at_the_second_of_several_recovered_batches_drops_that_one() -> None:
    world = image()
    world.buffer.journal(chunk(4), counts=Counts(collected=4))
    old = restored(world, 3, 4)
    world.buffer.on_forked(old, 5)
    assert delivered_before(world) == 4
    assert [header.seq for header in world.headers(old)] == [0, 1, 2, 3, 4]


def test_a_process_that_had_sealed_nothing_may_itself_be_restored_and_its_journal_is_kept() -> None:
    world = image(sealed=0)
    old = restored(world, 0)
    world.buffer.on_forked(old, 1)
    assert delivered_before(world) == 0
    assert world.samples() == [T0] * 4


def test_a_new_epoch_is_as_good_a_proof_as_a_batch() -> None:
    world = World()
    world.buffer.note_start(WRITER)
    world.clock.us += S
    world.buffer.open_epoch(world.chain().stream, OpenReason.LIVE_FIRST)
    world.buffer.journal(chunk(3), counts=Counts(collected=4))
    world.buffer.on_forked(restored(world), 1)
    assert delivered_before(world) == 4


def test_with_the_quota_half_used_thinning_may_have_come_between_and_all_is_kept() -> None:
    world = image(limits=Limits(400_000))
    world.append(50, size=3000)
    old = restored(world)
    seq = world.headers(old)[-1].seq
    world.buffer.on_forked(old, seq)
    assert "delivered-before" not in world.buffer.counts().dropped


def test_a_refusal_does_not_prove_delivery() -> None:
    world = image()
    old = restored(world)
    head = world.buffer.offers()[-1].head
    refusal = Refusal(old, 4, head, RefusalReason.FORK, "known by its header only", "hq")
    times = world.samples()
    world.buffer.on_refused(refusal, sign_record(refusal, HEADQUARTERS))
    assert delivered_before(world) == 0
    assert world.samples() == times


def test_marks_of_batches_that_left_are_forgotten() -> None:
    world = image()
    old = restored(world)
    assert world.receipt(old, 5)
    world.buffer.journal(chunk(8, RESTORED), counts=Counts(collected=4))
    go_on(world)
    restored(world, 8, boot_id=RESTORED)
    marks = world.disk.execute("select name from facts where name glob 'recovered:*'").fetchall()
    assert len(marks) == 1, "of the two"
