"""What every SQLite file of ours shares: its errors as ours, and a transaction that is whole or nothing.

>>> with writing(sqlite3.connect(":memory:", isolation_level=None)) as db:
...     _ = db.execute("create table t(a)")
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from protocols.errors import StoreDamagedError, StoreError, StoreFullError


@contextmanager
def sqlite_errors(what: str, when_damaged: str = "") -> Iterator[None]:
    """Turn SQLite's errors into ours.

    Args:
        what: The file in words, or its path.
        when_damaged: What to do when it cannot be read.

    Raises:
        StoreFullError: No room on the disk.
        StoreDamagedError: The file is not, or no longer, a database.
        StoreError: Anything else that the disk did to us.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # wrong use by us, not the disk's doing
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary == sqlite3.SQLITE_FULL:
            raise StoreFullError(f"no room for {what}; free disk space") from error
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            remedy = f"; {when_damaged}" if when_damaged else ""
            raise StoreDamagedError(f"{what} cannot be read: {error}{remedy}") from error
        raise StoreError(f"{what} failed: {error}; expected a disk with room, and one user") from error


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that is written within, or nothing; the connection commits nothing by itself."""
    connection.execute("begin immediate")
    try:
        yield connection
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
