"""A buffer's file that cannot be read: the gateway starts all the same, and says what is gone."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from edge_runtime.buffer import Buffer, Store
from edge_runtime.buffer.opening import open_store
from edge_runtime.store import SCHEMA_VERSION, Gate, translate
from protocols.batch import Kind, Stream
from protocols.errors import StoreDamagedError, StoreError, StoreFullError
from tests.unit.edge_buffers import GATEWAY, T0, TestClock, encoded

NOW = 1_700_000_000_000_000


def filled(path: Path, batches: int = 60) -> None:
    """A file as a killed gateway leaves it."""
    store = Store.open(path)
    buffer = Buffer(store, "gw1", GATEWAY, headquarters=None, clock=TestClock())
    buffer.begin()
    for _ in range(batches):
        buffer.append(Stream.DATA, Kind.DATA, random.Random(1).randbytes(3000), 10, T0, T0)
    store.close()


def test_a_sound_file_is_opened_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    filled(path)
    opened = open_store(path, Gate(), NOW)
    assert opened.set_aside is None
    assert opened.store.row("select max(next) from chains") == (61,)
    opened.store.close()


@pytest.mark.parametrize(
    "content",
    [
        b"no database at all, but long enough to be looked at as one" * 100,
        b"SQLite format 3\0" + b"\xff" * 5000,
    ],
)
def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "buffer.db"
    path.write_bytes(content)
    opened = open_store(path, Gate(), NOW)
    assert opened.set_aside == tmp_path / "buffer.db.damaged-1700000000"
    assert opened.set_aside.read_bytes() == content
    assert opened.why
    assert opened.store.row("select count(*) from batches") == (0,)
    opened.store.close()


@pytest.mark.parametrize("seed", range(8))
def test_pages_overwritten_with_rubbish_are_found_or_do_no_harm(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "buffer.db"
    filled(path)
    data = bytearray(path.read_bytes())
    chance = random.Random(seed)
    for _ in range(6):
        at = chance.randrange(1, len(data) // 4096) * 4096
        data[at : at + 4096] = chance.randbytes(4096)
    path.write_bytes(data)
    opened = open_store(path, Gate(), NOW)
    buffer = Buffer(opened.store, "gw1", GATEWAY, headquarters=None, clock=TestClock())
    buffer.begin()
    buffer.append(Stream.DATA, Kind.DATA, encoded(T0, 5), 5, T0, T0, compressed=True)
    opened.store.close()


def test_a_file_that_ends_too_early_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    filled(path)
    path.write_bytes(path.read_bytes()[: 4096 * 5])
    opened = open_store(path, Gate(), NOW)
    assert opened.set_aside is not None
    opened.store.close()


def test_the_check_is_broken_off_when_it_takes_too_long(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    filled(path, 300)
    seconds = iter(range(1000))
    opened = open_store(path, Gate(), NOW, monotonic=lambda: float(next(seconds)))
    assert opened.set_aside is None
    opened.store.close()


def test_a_file_of_a_newer_release_is_neither_used_nor_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="install the release"):
        open_store(path, Gate(), NOW)
    assert path.exists()


def test_a_directory_that_does_not_exist_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreFullError, match="disk"):
        open_store(tmp_path / "nowhere" / "buffer.db", Gate(), NOW)


def error(name: str) -> sqlite3.Error:
    made = sqlite3.OperationalError("what SQLite says")
    made.sqlite_errorname = name
    return made


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_FULL", StoreFullError),
        ("SQLITE_IOERR_WRITE", StoreFullError),
        ("SQLITE_IOERR_FSYNC", StoreFullError),
        ("SQLITE_CANTOPEN", StoreFullError),
        ("SQLITE_READONLY", StoreFullError),
        ("SQLITE_CORRUPT", StoreDamagedError),
        ("SQLITE_CORRUPT_INDEX", StoreDamagedError),
        ("SQLITE_NOTADB", StoreDamagedError),
        ("SQLITE_BUSY", StoreError),
        ("SQLITE_ERROR", None),
        ("SQLITE_CONSTRAINT_UNIQUE", None),
    ],
)
def test_errors_are_told_apart_by_whose_fault_they_are(name: str, kind: type[StoreError] | None) -> None:
    fault = translate(error(name))
    assert fault is None if kind is None else type(fault) is kind


def test_a_transaction_that_fails_leaves_nothing_and_the_lock_free(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "buffer.db")

    def change_and_fail() -> None:
        with store.transaction():
            store.remember("colour", "blue")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert store.fact("colour") is None
    with store.transaction(), store.transaction():
        store.remember("colour", "red")
    assert store.fact("colour") == "red"
    store.close()
