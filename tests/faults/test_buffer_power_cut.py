"""The gateway's buffer under simulated power cuts: what was committed is there afterwards.

SQLite's file system calls are recorded by a VFS of our own. The disk after a cut holds
everything up to each file's last sync, and of the writes after it a random part: some
whole, some torn at a sector, some not at all, in any order a disk may choose.
"""

from __future__ import annotations

import bisect
import random
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge_runtime.buffer import Buffer, Progress, Store
from edge_runtime.ledger import Counts
from protocols.batch import Header, Kind, Stream, header_hash
from protocols.identity import VerifyKey
from protocols.records import Mark, Receipt, sign_record
from tests.unit.edge_buffers import GATEWAY, HEADQUARTERS, T0, TestClock

SECTOR = 512
BATCHES = 60
CUTS = 60


@dataclass
class Disk:
    """What was written, truncated, synced and deleted, in order."""

    log: list[tuple[str, str, int, bytes]] = field(default_factory=list)

    def after_a_cut(self, upto: int, chance: random.Random) -> dict[str, bytes]:
        """The files as they may be when power fails after `upto` calls."""
        synced: dict[str, int] = {}
        for index, (call, name, _, _) in enumerate(self.log[:upto]):
            if call == "sync":
                synced[name] = index
        files: dict[str, bytearray] = {}
        for index, (call, name, at, data) in enumerate(self.log[:upto]):
            durable = index < synced.get(name, -1)
            if call == "sync" or (not durable and call != "delete" and chance.random() < 0.5):
                continue
            content = files.setdefault(name, bytearray())
            if call == "write":
                if not durable and chance.random() < 0.2:
                    data = data[: chance.randrange(len(data) + 1) // SECTOR * SECTOR]
                content.extend(bytes(max(0, at - len(content))))
                content[at : at + len(data)] = data
            elif call == "truncate":
                del content[at:]
            else:
                files.pop(name, None)
        return {name: bytes(content) for name, content in files.items() if not name.endswith("-shm")}


class RecordedFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.log.append(("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.log.append(("truncate", self._name, size, b""))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.log.append(("sync", self._name, 0, b""))
        super().xSync(flags)


class RecordingVfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> RecordedFile:  # noqa: N802 - SQLite's name
        return RecordedFile(self._disk, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802 - SQLite's name
        self._disk.log.append(("delete", Path(name).name, 0, b""))
        super().xDelete(name, sync)


class ApswConnection:
    """As much of `sqlite3.Connection` as `Store` uses, on a connection of apsw."""

    isolation_level: str | None = None

    def __init__(self, path: Path, vfs: str) -> None:
        self._connection = apsw.Connection(str(path), vfs=vfs)

    def execute(self, sql: str, parameters: Any = ()) -> ApswCursor:
        return ApswCursor(self._connection.execute(sql, tuple(parameters)))

    def executemany(self, sql: str, rows: Any) -> None:
        self._connection.executemany(sql, rows)

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def close(self) -> None:
        self._connection.close()


class ApswCursor:
    def __init__(self, cursor: apsw.Cursor) -> None:
        self._cursor = cursor

    def fetchall(self) -> list[Any]:
        return list(self._cursor)

    def fetchone(self) -> Any:
        return next(iter(self._cursor), None)

    def close(self) -> None:
        self._cursor.close()

    def __iter__(self) -> Any:
        return iter(self._cursor)


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
