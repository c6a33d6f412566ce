"""What is taken over from a damaged buffer: whatever holds, as it was, and nothing twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.buffer import Progress
from edge_runtime.buffer.salvage import Salvaged, salvage
from edge_runtime.ledger import Counts
from protocols.batch import Header, Stream
from tests.unit.edge_buffers import T0, S, World
from tests.unit.test_buffer import chunk


def old_file(path: Path, batches: int = 12, trimmed: int = 4) -> World:
    """A buffer that is about to be damaged, as a file."""
    world = World()
    world.append(batches)
    world.receipt(world.chain(), trimmed)
    world.buffer.journal(chunk(world, world.clock.us + S, 7), counts=Counts(collected=7))
    reached = world.clock.us + S
    world.buffer.account(Counts(), {"plc/fast": Progress(reached, reached)})
    target = sqlite3.connect(path)
    world.disk.backup(target)
    target.close()
    return world


def change(path: Path, seq: int, statement: str) -> None:
    """Do something to the data batch with this sequence; `?` is its rowid."""
    connection = sqlite3.connect(path)
    for id_, header in connection.execute("select id, header from batches").fetchall():
        parsed = Header.parse(header)
        if parsed.seq == seq and parsed.stream is Stream.DATA:
            connection.execute(statement, (id_,))
    connection.commit()
    connection.close()


def saved(path: Path) -> tuple[World, Salvaged]:
    """A new buffer with what could be saved."""
    world = World(seed=9, begin=False)
    world.clock.us = T0 + 3600 * S
    salvaged = world.buffer.salvage(path)
    world.buffer.begin()
    world.check()
    return world, salvaged


def test_from_a_file_that_can_be_read_everything_is_taken(tmp_path: Path) -> None:
    old = old_file(tmp_path / "old.db")
    new, salvaged = saved(tmp_path / "old.db")
    chain = old.chain()
    assert new.held(chain) == old.held(chain), "the very same batches: receivers drop what they have"
    assert new.samples() == old.samples()
    assert [c.n for c in new.buffer.journalled()] == [7]
    assert salvaged.batches == len(old.held(chain)) + 1
    counts = new.buffer.counts()
    assert (counts.sealed, counts.journalled, counts.unaccounted) == (90, 7, 0)


def test_new_epochs_are_newer_than_the_saved_ones_even_when_the_clock_is_not(tmp_path: Path) -> None:
    old = old_file(tmp_path / "old.db")
    new = World(seed=9, begin=False)
    new.clock.us = T0 - 3600 * S
    new.buffer.salvage(tmp_path / "old.db")
    new.buffer.begin()
    assert new.chain().epoch > old.chain().epoch


@pytest.mark.parametrize(
    "statement",
    [
        "delete from batches where id = ?",
        "update batches set payload = zeroblob(50) where id = ?",
        "update batches set signature = zeroblob(64) where id = ?",
        "update batches set header = zeroblob(250) where id = ?",
    ],
)
@pytest.mark.parametrize(
    ("seq", "kept", "lost_from"),
    [
        (6, range(7, 13), T0),  # before a hole nothing can be sent
        (12, range(4, 12), T0 + 11 * S + 1),
        (4, range(5, 13), T0),
    ],
)
def test_of_a_damaged_chain_the_newest_unbroken_run_is_taken(
    tmp_path: Path, statement: str, seq: int, kept: range, lost_from: int
) -> None:
    old = old_file(tmp_path / "old.db")
    change(tmp_path / "old.db", seq, statement)
    new, salvaged = saved(tmp_path / "old.db")
    assert [header.seq for header in new.headers(old.chain())] == list(kept)
    assert salvaged.lost_from_us == lost_from


def test_receipts_trim_what_was_saved(tmp_path: Path) -> None:
    old = old_file(tmp_path / "old.db")
    new, _ = saved(tmp_path / "old.db")
    assert new.receipt(old.chain(), 9)
    assert [header.seq for header in new.headers(old.chain())] == [9, 10, 11, 12]
    assert new.receipt(old.chain(), 13)
    assert old.chain() not in [offer.chain for offer in new.buffer.offers()]


def test_a_journal_that_cannot_be_decoded_is_part_of_the_loss(tmp_path: Path) -> None:
    old_file(tmp_path / "old.db")
    connection = sqlite3.connect(tmp_path / "old.db")
    connection.execute("update journal set payload = zeroblob(9)")
    connection.commit()
    connection.close()
    new, salvaged = saved(tmp_path / "old.db")
    assert new.buffer.journalled() == []
    assert salvaged.lost_from_us <= T0 + 13 * S


@pytest.mark.parametrize("ruin", [lambda data: b"rubbish" * 100, lambda data: data[:5000], lambda data: b""])
def test_from_a_file_that_is_no_database_nothing_is_taken_and_nothing_is_known(
    tmp_path: Path, ruin: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "old.db"
    old_file(path)
    path.write_bytes(ruin(path.read_bytes()))
    _, salvaged = saved(path)
    assert salvaged == Salvaged(0, 0)


def test_saving_ends_when_its_time_is_over(tmp_path: Path) -> None:
    old_file(tmp_path / "old.db")
    new = World(seed=9, begin=False)
    seconds = iter(range(1000))
    salvaged = salvage(
        tmp_path / "old.db", new.buffer._store, new.buffer._chains, monotonic=lambda: float(next(seconds))
    )
    assert salvaged.batches <= 2
