"""The gateway's buffer under simulated power cuts: what was committed is there afterwards.

See `tests.torn_sqlite` for what a cut leaves.
"""

from __future__ import annotations

import bisect
import random
import sqlite3
from pathlib import Path

import pytest

from edge_runtime.buffer import Buffer, Progress, Store
from edge_runtime.ledger import Counts
from protocols.batch import Header, Kind, Stream, header_hash
from protocols.identity import VerifyKey
from protocols.records import Mark, Receipt, sign_record
from tests.torn_sqlite import ApswConnection, Disk, RecordingVfs
from tests.unit.edge_buffers import GATEWAY, HEADQUARTERS, T0, TestClock

BATCHES = 60
CUTS = 60


def live(path: Path, disk: Disk, vfs: str, synchronous: str, seed: int) -> list[tuple[int, int, int]]:
    """A gateway's life until the cut: (calls so far, sequences made, sequences trimmed) after each commit."""
    store = Store(ApswConnection(path, vfs))  # type: ignore[arg-type]
    store.prepare()
    store.rows(f"pragma synchronous = {synchronous}")
    store.rows("pragma wal_autocheckpoint = 60")  # several checkpoints within the trial
    clock = TestClock()
    buffer = Buffer(store, "gw1", GATEWAY, headquarters=VerifyKey(HEADQUARTERS.public), clock=clock)
    buffer.begin()
    [chain] = [offer.chain for offer in buffer.offers() if offer.chain.stream is Stream.DATA]
    marks = []
    trimmed = 0
    chance = random.Random(seed)
    for number in range(1, BATCHES + 1):
        clock.us += 1_000_000
        buffer.append(
            Stream.DATA, Kind.DATA, chance.randbytes(chance.randrange(200, 9000)), 10, clock.us, clock.us,
            counts=Counts(collected=10), progress={"plc/fast": Progress(clock.us, clock.us)},
        )  # fmt: skip
        marks.append((len(disk.log), number, trimmed))
        if number % 11 == 0:
            [batch] = buffer.read(chain, number - 5, 1, 1)
            receipt = Receipt(chain, number - 4, header_hash(batch.header), Mark.HEADQUARTERS, 0)
            assert buffer.on_receipt(receipt, sign_record(receipt, HEADQUARTERS))
            trimmed = number - 4
            marks.append((len(disk.log), number, trimmed))
    store.close()
    return marks


def revive(directory: Path, files: dict[str, bytes]) -> tuple[Store, Buffer]:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    store = Store.open(directory / "buffer.db")
    assert store.rows("pragma integrity_check") == [("ok",)]
    clock = TestClock()
    clock.us += 10_000_000_000
    return store, Buffer(store, "gw1", GATEWAY, headquarters=None, clock=clock)


def lost_after_a_cut(buffer: Buffer, made: int) -> int:
    """Committed batches that are gone; everything else must fit together."""
    offers = [offer for offer in buffer.offers() if offer.chain.stream is Stream.DATA]
    if not offers:
        return made
    [offer] = offers
    previous = None
    for batch in buffer.read(offer.chain, offer.oldest, 1 << 20, 1 << 40):
        header = Header.parse(batch.header)
        assert previous is None or header.previous == previous
        previous = header_hash(batch.header)
    assert previous == offer.head
    counts = buffer.counts()
    assert counts.unaccounted == 0
    assert counts.sealed == 10 * (offer.next - 1)
    assert buffer.progress()["plc/fast"].instant_us == T0 + 1_000_000 * (offer.next - 1)
    return max(0, made - (offer.next - 1))


def cuts(tmp_path: Path, synchronous: str, seed: int) -> list[int]:
    """Batches lost in each of several cuts through one life."""
    disk = Disk()
    name = f"recorded-{synchronous}-{seed}"
    vfs = RecordingVfs(name, disk)
    marks = live(tmp_path / "buffer.db", disk, name, synchronous, seed)
    chance = random.Random(seed + 1000)
    begun = marks[0][0]
    losses = []
    for cut in range(CUTS):
        upto = chance.randrange(begun, len(disk.log))
        _, made, _ = marks[bisect.bisect_right([calls for calls, _, _ in marks], upto) - 1]
        store, buffer = revive(tmp_path / f"after-{cut}", disk.after_a_cut(upto, chance))
        losses.append(lost_after_a_cut(buffer, made))
        store.close()
    vfs.unregister()
    return losses


@pytest.mark.parametrize("seed", range(5))
def test_no_committed_batch_is_lost_in_a_power_cut(tmp_path: Path, seed: int) -> None:
    assert cuts(tmp_path, "full", seed) == [0] * CUTS


def test_the_simulation_would_notice_a_store_that_does_not_sync(tmp_path: Path) -> None:
    assert any(cuts(tmp_path, "normal", 1)), "with synchronous=NORMAL commits are lost"
    assert sqlite3.sqlite_version_info >= (3, 38)
