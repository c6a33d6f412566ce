"""A node's files as they are at one moment, beside the process that changes them.

Rules:
1. Files that are replaced by renaming, or only grow, are *pinned*: a hard link keeps what they
   are now, at no cost, however long the copy takes. Of one that grows, its size now is noted.
2. SQLite files are copied by SQLite itself (its online backup), each in one transaction.
3. What a node would make anew by itself (sockets, locks, status) is left out; everything else is
   kept without being named, so that no new store is forgotten.
4. Everything lies in one folder that is emptied before and after.

Source: SQLite, "Using the SQLite Online Backup API".
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from protocols import limits
from protocols.backup.writing import Source
from protocols.errors import StoreError
from protocols.sqlitefile import sqlite_errors

SQLITE_MAGIC = b"SQLite format 3\0"
SQLITE_SUFFIX = ".db"
COMPANIONS = ("-wal", "-shm", "-journal")
SET_ASIDE = ".damaged-"
"""In the name of a store that could not be read and waits for somebody to look at it."""

TRANSIENT = (".new", ".tmp", ".sock", ".lock")
BUSY_S = 60.0
"""How long a store may be locked by whoever writes to it."""

FIRST = ("timestamp.json",)
"""Pinned before all else, because they name what is written before them: the update repository's."""


class HomeSnapshot:
    """The home directory of a node, without the parts that the node takes care of itself.

    Args:
        home: The home.
        folder: An empty folder on the same disk.
        leave_out: Files and folders that are not kept.
    """

    def __init__(self, home: Path, folder: Path, leave_out: Iterable[Path]) -> None:
        self._home = home.resolve()
        self._folder = folder
        self._leave_out = {path.resolve() for path in leave_out}

    def take(self) -> list[Source]:
        """Pin and copy everything.

        Raises:
            StoreError: The disk, or a store, failed.
        """
        found = sorted(self._files(), key=lambda path: (path.name not in FIRST, path))
        sources = [source for path in found if (source := self._take(path)) is not None]
        return sorted(sources, key=lambda source: source.path)

    def _files(self) -> Iterator[Path]:
        """Every file that is kept; links are followed, each folder once."""
        seen = {self._home, *self._leave_out}
        for folder, folders, files in os.walk(self._home, followlinks=True):
            here = Path(folder)
            known = {name: (here / name).resolve() for name in folders}
            folders[:] = sorted(name for name in folders if known[name] not in seen)
            seen.update(known[name] for name in folders)
            for name in files:
                path = here / name
                is_left_out = name.endswith((*COMPANIONS, *TRANSIENT)) or SET_ASIDE in name
                if not is_left_out and path.resolve() not in self._leave_out:
                    yield path

    def _take(self, path: Path) -> Source | None:
        relative = path.relative_to(self._home).as_posix()
        target = self._folder / relative
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return None
            if path.suffix == SQLITE_SUFFIX or _is_sqlite(path):
                copy_database(path, target)
                size, pieces = target.stat().st_size, limits.BACKUP_DATABASE_PIECE_BYTES
            else:
                pin(path.resolve(), target)
                size, pieces = target.stat().st_size, limits.BACKUP_PIECE_BYTES
        except FileNotFoundError:
            return None  # gone since the look
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; expected a file that can be read") from error
        return Source("home", relative, target, size, stat.S_IMODE(status.st_mode), pieces)


def pin(path: Path, target: Path) -> None:
    """Keep a file as it is under another name: by a link, or where disks differ by a copy.

    Raises:
        FileNotFoundError: It is gone.
        OSError: The disk refused.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copy2(path, target)


def copy_database(path: Path, target: Path) -> None:
    """Copy an SQLite file with all that was committed, while others may write to it.

    Raises:
        StoreError: It cannot be read, or the copy cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with sqlite_errors(str(path), "restore it from a backup"):
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S)
        try:
            copy = sqlite3.connect(target)
            try:
                source.backup(copy)
                # The copy stands alone: no log beside it is waited for.
                copy.execute("pragma journal_mode = delete")
            finally:
                copy.close()
        finally:
            source.close()


def fresh(folder: Path) -> Path:
    """An empty folder, whatever a cut left in it.

    Raises:
        StoreError: The disk refused.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; expected a folder that this user can write") from error
    return folder


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
