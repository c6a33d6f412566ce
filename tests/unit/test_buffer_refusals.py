"""What a refused batch leads to: whose fault it is decides, and nothing else is held up."""

from __future__ import annotations

import pytest

from edge_runtime.buffer import Verdict
from protocols.batch import Chain, Header, Kind, header_hash
from protocols.records import GapCause, Refusal, RefusalReason
from tests.unit.edge_buffers import World

BROKEN = b"\x55"


def refuse(world: World, chain: Chain, seq: int, reason: RefusalReason, head: bytes | None = None) -> Verdict:
    own = world.buffer.read(chain, seq, 1, 1)[0].header
    refusal = Refusal(chain, seq, head or header_hash(own), reason, "cannot be decoded", "hq")
    return world.buffer.on_refused(refusal, b"signed")


def damage(world: World, chain: Chain, seq: int, column: str) -> None:
    """Change one byte of a stored batch."""
    for id_, header in world.disk.execute("select id, header from batches").fetchall():
        parsed = Header.parse(header)
        if (parsed.chain, parsed.seq) == (chain, seq):
            [(old,)] = world.disk.execute(f"select {column} from batches where id = ?", (id_,))
            middle = len(old) // 2
            new = old[:middle] + bytes([old[middle] ^ 0x55]) + old[middle + 1 :]
            world.disk.execute(f"update batches set {column} = ? where id = ?", (new, id_))


def test_a_payload_nobody_can_read_becomes_a_tombstone_and_is_kept_for_people() -> None:
    world = World()
    world.append(5)
    chain = world.chain()
    payload = world.held(chain)[3].payload
    assert refuse(world, chain, 3, RefusalReason.PAYLOAD) is Verdict.BURIED
    world.check()
    held = world.held(chain)
    assert [batch.is_tombstone for batch in held] == [False, False, False, True, False, False]
    [gap] = world.gaps()
    assert (gap.cause, gap.seq_from, gap.seq_to, gap.samples) == (GapCause.REFUSED, 3, 4, 10)
    assert world.buffer.counts().buried == {"refused": 10}
    assert world.disk.execute("select payload, refusal from quarantine").fetchall() == [(payload, b"signed")]


@pytest.mark.parametrize("reason", [RefusalReason.SIGNATURE, RefusalReason.HASH, RefusalReason.HEADER])
def test_what_is_whole_here_was_damaged_on_the_way_and_is_sent_again(reason: RefusalReason) -> None:
    world = World()
    world.append(5)
    assert refuse(world, world.chain(), 3, reason) is Verdict.SOUND
    assert world.gaps() == []
    assert len(world.held(world.chain())) == 6


def test_what_is_refused_again_and_again_is_cast_out_and_the_rest_goes_on() -> None:
    world = World()
    world.append(5)
    old, times = world.chain(), world.samples()
    verdicts = [refuse(world, old, 3, RefusalReason.HEADER) for _ in range(3)]
    assert verdicts == [Verdict.SOUND, Verdict.SOUND, Verdict.CAST_OUT]
    world.check()
    assert [header.kind for header in world.headers(world.chain())] == [Kind.OPEN, Kind.DATA, Kind.DATA]
    assert [header.seq for header in world.headers(old)] == [0, 1, 2]
    assert world.samples() == [t for t in times if t != sorted(set(times))[2]]
    [gap] = world.gaps()
    assert (gap.epoch, gap.seq_from, gap.samples) == (old.epoch, 3, 10)


def test_a_signature_that_rotted_here_is_made_again() -> None:
    world = World()
    world.append(5)
    chain = world.chain()
    before = world.held(chain)[3]
    damage(world, chain, 3, "signature")
    refusal = Refusal(chain, 3, header_hash(before.header), RefusalReason.SIGNATURE, "no", "hub")
    assert world.buffer.on_refused(refusal, b"signed") is Verdict.REPAIRED
    assert world.held(chain)[3] == before


def test_a_signature_that_rotted_here_never_leaves() -> None:
    """A hub that lets one signature prove a run would not see it, and may be all that keeps the batch."""
    world = World()
    world.append(5)
    chain = world.chain()
    before = world.held(chain)
    damage(world, chain, 3, "signature")
    assert world.buffer.read(chain, 0, 10, 1 << 20) == before
    assert world.held(chain) == before


def test_a_payload_that_rotted_here_is_declared_lost() -> None:
    world = World()
    world.append(5)
    chain = world.chain()
    damage(world, chain, 3, "payload")
    assert refuse(world, chain, 3, RefusalReason.HASH) is Verdict.BURIED
    world.check()
    assert [gap.samples for gap in world.gaps()] == [10]


def test_a_header_that_rotted_here_is_cast_out() -> None:
    world = World()
    world.append(5)
    old = world.chain()
    damage(world, old, 3, "header")
    refusal = Refusal(old, 3, b"\x01" * 32, RefusalReason.HEADER, "does not parse", "hub")
    assert world.buffer.on_refused(refusal, b"signed") is Verdict.CAST_OUT
    assert len(world.headers(world.chain())) == 3
    world.check()


def test_a_key_that_is_not_allowed_there_costs_no_data() -> None:
    world = World()
    world.append(5)
    assert refuse(world, world.chain(), 3, RefusalReason.KEY) is Verdict.KEY
    assert len(world.samples()) == 50
    assert world.gaps() == []


def test_a_fork_named_by_a_refusal_is_signed_again() -> None:
    world = World()
    world.append(5)
    times = world.samples()
    assert refuse(world, world.chain(), 3, RefusalReason.FORK) is Verdict.FORKED
    assert world.samples() == times
    world.check()


@pytest.mark.parametrize("seq", [3, 9])
def test_a_refusal_of_something_else_moves_nothing(seq: int) -> None:
    world = World()
    world.append(5)
    refusal = Refusal(world.chain(), seq, b"\x01" * 32, RefusalReason.PAYLOAD, "", "hq")
    assert world.buffer.on_refused(refusal, b"signed") is Verdict.NOT_OURS
    assert len(world.samples()) == 50


def test_the_last_batch_of_a_chain_can_be_refused_too() -> None:
    world = World()
    world.append(5)
    assert refuse(world, world.chain(), 5, RefusalReason.PAYLOAD) is Verdict.BURIED
    world.append(2)
    world.check()
