"""Power cuts under SQLite: its file system calls are recorded, and what a disk may hold after a cut is made.

The disk after a cut holds everything up to each file's last sync, and of the writes after it a
random part: some whole, some torn at a sector, some not at all, in any order a disk may choose.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


@dataclass
class Disk:
    """What was written, truncated, synced and deleted, in order."""

    log: list[tuple[str, str, int, bytes]] = field(default_factory=list, repr=False)

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
    """As much of `sqlite3.Connection` as our stores use, on a connection of apsw."""

    isolation_level: str | None = None

    def __init__(self, path: Path, vfs: str) -> None:
        self._connection = apsw.Connection(str(path), vfs=vfs)

    def execute(self, sql: str, parameters: Any = ()) -> ApswCursor:
        return ApswCursor(self._connection, self._connection.execute(sql, tuple(parameters)))

    def executemany(self, sql: str, rows: Any) -> None:
        self._connection.executemany(sql, rows)

    def executescript(self, sql: str) -> None:
        for _ in self._connection.execute(sql):
            pass

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def close(self) -> None:
        self._connection.close()


class ApswCursor:
    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.lastrowid = connection.last_insert_rowid()

    def fetchall(self) -> list[Any]:
        return list(self._cursor)

    def fetchone(self) -> Any:
        return next(iter(self._cursor), None)

    def close(self) -> None:
        self._cursor.close()

    def __iter__(self) -> Any:
        return iter(self._cursor)
