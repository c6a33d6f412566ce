"""The gateway's SQLite files: pragmas, schema, transactions, and whose fault an error is.

Rules:
1. What a transaction commits is on the disk (`synchronous=FULL`; with NORMAL most
   simulated power cuts lost commits, with FULL none did).
2. One connection a thread. A lock shared by all of them orders the writers, so that none
   spins in SQLite's busy handler.
3. Errors leave as `StoreFullError` (no room; may pass) or `StoreDamagedError` (cannot be
   read; the file must be set aside), never as `sqlite3.Error`.

>>> store = Store(sqlite3.connect(":memory:"))
>>> store.prepare()
>>> with store.transaction():
...     _ = store.execute("insert into facts values ('colour', 'blue')")
>>> store.fact("colour")
'blue'
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

from protocols import crash
from protocols.errors import StoreDamagedError, StoreError, StoreFullError

SCHEMA_VERSION = 1

SEQ_BITS = 40
"""A batch's rowid is its chain's number and its sequence: no second index, no second page a commit."""

PAGE_BYTES = 4096

CHECKPOINT_PAGES = 4000
"""16 MB of WAL before it is folded into the file: rarely enough not to show in commit times."""

_PRAGMAS = (
    f"pragma page_size = {PAGE_BYTES}",
    "pragma journal_mode = wal",
    "pragma synchronous = full",
    f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}",
    "pragma journal_size_limit = 33554432",
    "pragma secure_delete = off",  # Debian compiles it in; zeroing freed pages doubles what a trim writes
    "pragma cache_size = -400",
    "pragma busy_timeout = 10000",
)

_SCHEMA = (
    """create table if not exists chains(
        no integer primary key autoincrement,
        stream integer not null, epoch integer not null, reason text not null,
        closed integer not null default 0, oldest integer not null default 0, next integer not null default 0,
        head blob not null, final integer not null default 0, stored integer not null default 0,
        holder text not null default '', stripped integer not null default 0,
        emptied integer not null default 0, handed integer not null default 0,
        samples integer not null default 0, bytes integer not null default 0,
        t_min integer, t_max integer,
        heir integer, move_from integer not null default 0, move_to integer not null default 0)""",
    """create table if not exists batches(
        id integer primary key, thinned integer not null default 0,
        header blob not null, signature blob not null, payload blob)""",
    """create table if not exists journal(
        no integer primary key, n integer not null, t_min integer not null, t_max integer not null,
        table_hash blob not null, boot_id blob not null, monotonic integer not null,
        clock_state integer not null, clock_offset integer not null, payload blob not null)""",
    "create table if not exists totals(no integer primary key, collected integer not null, "
    "thinned integer not null, journalled integer not null, sealed integer not null)",
    "insert or ignore into totals values (1, 0, 0, 0, 0)",
    "create table if not exists counters(name text primary key, value integer not null) without rowid",
    "create table if not exists progress(task text primary key, instant integer not null, "
    "settled integer not null) without rowid",
    "create table if not exists facts(name text primary key, value) without rowid",
    "create table if not exists quarantine(no integer primary key, time integer not null, "
    "header blob not null, payload blob, signature blob not null, refusal blob not null)",
)


class Gate:
    """What all connections to one file share: the writers' lock, and how often one committed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.commits = 0


class Store:
    """One connection to the buffer's file, or, in a subclass with another schema, to a file like it.

    Args:
        connection: Fresh, to a file or to `:memory:`; used by one thread only.
        gate: Shared by all connections to the same file.
    """

    what = "buffer"
    version = SCHEMA_VERSION
    schema: Sequence[str] = _SCHEMA

    def __init__(self, connection: sqlite3.Connection, gate: Gate | None = None) -> None:
        self._connection = connection
        self.gate = gate or Gate()
        self._transaction = Transaction(connection, self.gate)
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            self.rows(pragma)

    @classmethod
    def open(cls, path: Path, gate: Gate | None = None) -> Self:
        """Connect to the file at `path`, made when missing.

        Raises:
            StoreDamagedError: It is there and is no such file.
            StoreError: It cannot be opened.
        """
        try:
            connection = sqlite3.connect(path, check_same_thread=False)
        except sqlite3.Error as error:
            raise translate(error) or StoreError(f"expected to open {path}, got {error}") from error
        try:
            store = cls(connection, gate)
            store.prepare()
        except BaseException:
            connection.close()
            raise
        return store

    def prepare(self) -> None:
        """Make the tables that are missing.

        Raises:
            StoreError: The file was made by a newer version.
        """
        (version,) = self.row("pragma user_version")
        if version > self.version:
            raise StoreError(
                f"expected a file ({self.what}) of version {self.version} or older, got {version}; "
                "install the release that wrote it"
            )
        if version < self.version:
            with self.transaction():
                for statement in self.schema:
                    self.execute(statement)
                self.execute(f"pragma user_version = {self.version}")

    def warm(self, path: Path) -> None:
        """Let the WAL reach its full size now, by writing and dropping a large blob.

        Commits then overwrite blocks that the file system has already placed, which halves
        the cost of a disk sync; measured in `benchmarks/edge_commits.py`. A WAL that a kill
        left behind is already large.

        Raises:
            StoreFullError: No room for it.
        """
        wal = path.with_name(path.name + "-wal")
        size = CHECKPOINT_PAGES * PAGE_BYTES
        if wal.exists() and wal.stat().st_size >= size:
            return
        with self.transaction():
            self.execute("create table warm(filler blob)")
            self.execute("insert into warm values (zeroblob(?))", (size,))
        with self.transaction():
            self.execute("drop table warm")
        self.rows("pragma wal_checkpoint(restart)")

    def check(self, monotonic: Callable[[], float], seconds: float) -> None:
        """Look for damage, for at most so many seconds.

        Raises:
            StoreDamagedError: Found some.
        """
        end = monotonic() + seconds
        self._connection.set_progress_handler(lambda: int(monotonic() > end), 10_000)
        try:
            findings = [text for (text,) in self._connection.execute("pragma quick_check(1)")]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_INTERRUPT":
                raise_ours(error)
            return
        except sqlite3.Error as error:
            raise_ours(error)
        finally:
            self._connection.set_progress_handler(None, 0)
        if findings != ["ok"]:
            raise StoreDamagedError(
                f"expected a readable database, got damage: {findings[0]}; it is set aside"
            )

    def close(self) -> None:
        """Close the connection; the last one to a file folds its WAL in."""
        self._connection.close()

    def transaction(self) -> Transaction:
        """All or nothing, durable at the end; inside another one it simply joins it.

        Raises:
            StoreFullError, StoreDamagedError: Nothing of it happened.
        """
        return self._transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise_ours(error)

    def execute_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each of several rows of parameters."""
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise_ours(error)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run one query and fetch all of it, so that no read stays open."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise_ours(error)

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first row of a query, or `None`."""
        try:
            cursor = self._connection.execute(sql, parameters)
            found = cursor.fetchone()
            cursor.close()
        except sqlite3.Error as error:
            raise_ours(error)
        return found

    def fact(self, name: str) -> Any:
        """A remembered value, or `None`."""
        found = self.row("select value from facts where name = ?", (name,))
        return None if found is None else found[0]

    def remember(self, name: str, value: Any) -> None:
        """Keep a value under a name."""
        self.execute("insert or replace into facts values (?, ?)", (name, value))


class Transaction:
    """``with store.transaction():``; a class, because a generator costs more than a statement."""

    def __init__(self, connection: sqlite3.Connection, gate: Gate) -> None:
        self._connection = connection
        self._gate = gate
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            self._gate.lock.acquire()
            try:
                self._connection.execute("begin immediate")
            except BaseException as error:
                self._gate.lock.release()
                if isinstance(error, sqlite3.Error):
                    raise_ours(error)
                raise
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        try:
            if kind is None:
                crash.point("edge:before-commit")
                self._connection.execute("commit")
                self._gate.commits += 1
        except sqlite3.Error as failed:
            raise_ours(failed)
        finally:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            self._gate.lock.release()
        if kind is None:
            crash.point("edge:after-commit")


def raise_ours(error: sqlite3.Error) -> NoReturn:
    """Raise an error of SQLite as one of ours; one that only a bug can cause goes on as it is."""
    fault = translate(error)
    if fault is None:
        raise error
    raise fault from error


def translate(error: sqlite3.Error) -> StoreError | None:
    """Say whose fault an error of SQLite is; `None` when only a bug can cause it.

    An I/O error counts as "no room": a disk that is full or goes away says either, both
    may pass, and damage shows itself as damage at the next read.
    """
    name = getattr(error, "sqlite_errorname", None) or ""
    if name in ("", "SQLITE_ERROR", "SQLITE_MISUSE", "SQLITE_RANGE") or name.startswith("SQLITE_CONSTRAINT"):
        return None
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreDamagedError(f"expected a readable database, got {name}: {error}; it is set aside")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")):
        return StoreFullError(f"expected room on the disk, got {name}: {error}; free some or mend the disk")
    return StoreError(f"expected the database to be usable, got {name}: {error}; look at who else uses it")
